"""A trial whose storage is away goes on, and asks for it now and then."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sweep.engine import stored_copy
from sweep.engine.stored_copy import REST, StoredCopy
from trainers.errors import AwayError
from trainers.storage.shared import NOWHERE, Storage

SECONDS = 100.0
"""That a client takes before it says that nobody answers."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Away(Storage):
    """One that is not there until it `is_back`."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.asked, self.is_back = clock, 0, False

    def mirror(self, folder: Path) -> None:
        self.asked += 1
        if not self.is_back:
            self._clock.now += SECONDS
            raise AwayError("the storage does not answer")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stored_copy, "time", clock)
    return clock


def test_what_a_storage_that_is_away_costs(clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = Away(clock)
    copy, epoch, epochs = StoredCopy(storage, tmp_path), 10.0, 1_000
    with caplog.at_level(logging.WARNING):
        for _ in range(epochs):
            clock.now += epoch
            assert not copy.renewed()
    assert 0 < storage.asked * SECONDS <= epochs * epoch / REST + SECONDS
    assert {record.message for record in caplog.records} == {"the storage does not answer; going on"}
    storage.is_back = True
    clock.now += REST * SECONDS
    before = storage.asked
    assert [copy.renewed() for _ in range(3)] == [True] * 3
    assert storage.asked == before + 3


def test_without_a_storage_there_is_nothing_to_renew(tmp_path: Path) -> None:
    assert StoredCopy(NOWHERE, tmp_path).renewed()
