"""What a clock counts: its blocks, and nothing between them."""

from __future__ import annotations

import pytest

from trainers.loop.clock import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until it is changed."""
    time = [100.0]
    monkeypatch.setattr("trainers.loop.clock.time.perf_counter", lambda: time[0])
    return time


def test_only_what_happens_in_its_blocks_is_counted(now: list[float]) -> None:
    clock = Clock()
    with clock:
        now[0] += 2
        assert clock.seconds == 2  # it can be read while it runs
    now[0] += 30
    assert clock.seconds == 2
    with clock:
        now[0] += 5
    assert clock.seconds == 7


def test_a_block_that_fails_has_taken_its_time_too(now: list[float]) -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="halfway"), clock:
        now[0] += 3
        raise ValueError("halfway")
    now[0] += 1
    assert clock.seconds == 3
