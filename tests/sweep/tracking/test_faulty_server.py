"""Deliveries to a server that refuses, answers too late, is away, and forgets: in the end its runs are the ledger's.

Every draw is one history: the ledger grows between deliveries, each request of each meets a fault of its own, and
between deliveries the server may lose a run, be set back to what it was before, or lose everything.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from sweep.layout import Root
from sweep.ledger.store import Event, Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import board_of, leaderboard
from sweep.results.records import records
from sweep.tracking import delivery, read_back
from sweep.tracking.sync import sync
from tests.support.examples import begin, record, slot_of, small_spec
from tests.support.tracked import Fault, content, copy_store, faults, lose_run, runs
from trainers.errors import StorageError

NewStore = Callable[..., str]

FAULTS: tuple[Fault, ...] = ("lost", "late", "refused", "failed")
DELIVERIES = 4


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """What happens in a sweep that fails, is broken off, goes on, and grows, so that two rows have other names."""
    first = build_plan(small_spec(methods=["kd", {"dhkd": {"alpha": 0.5}}], seeds=1))
    grown = build_plan(small_spec(methods=["kd", {"dhkd": {"alpha": [0.5, 1]}}], seeds=1))
    with Ledger(Root(tmp_path_factory.mktemp("history")).sweep("small").ledger) as ledger:
        begin(ledger, first, small_spec())
        record(ledger, first, first.teachers[0], [97.0, 97.5], val_accs=[96.0, 96.5])
        record(ledger, first, slot_of(first, "dhkd"), [71.0, 72.0], val_accs=[70.0, 71.0])
        record(ledger, first, slot_of(first, "kd"), [50.0], "interrupted", [49.0])
        ledger.append("stop", body={"exit_code": 130})
        begin(ledger, grown, small_spec())
        record(ledger, grown, slot_of(grown, "kd"), [50.0, 60.0], val_accs=[49.0, 59.0])
        record(ledger, grown, slot_of(grown, "dhkd α=1"), state="failed")
        record(ledger, grown, slot_of(grown, "dhkd α=1"), [10.0], "diverged", [10.0])
        ledger.append("report", body={"markdown": "| a table |", "records": [{"label": "kd"}], "figure": None})
        ledger.append("stop", body={"exit_code": 1})
        return list(ledger.events())


def happen(ledger: Ledger, events: list[Event]) -> None:
    """The events, each at a millisecond of its own: when a run began shows which of its trial's attempts it knows."""
    for event in events:
        time.sleep(0.002)
        ledger.append(event.kind, event.trial, event.epoch, event.body)


def portions(events: list[Event], draw: random.Random) -> Iterator[list[Event]]:
    """The events in as many parts as there are deliveries, of any size."""
    ends = [*sorted(draw.choices(range(1, len(events)), k=DELIVERIES - 1)), len(events)]
    for start, end in zip([0, *ends], ends, strict=False):
        yield events[start:end]


class Store:
    """A SQLite store that may forget."""

    def __init__(self, uri: str, empty: Path, draw: random.Random) -> None:
        self.uri, self._empty, self._draw = uri, empty, draw
        self._path = uri.removeprefix("sqlite:///")
        self._backup = Path(self._path).with_suffix(".backup")
        copy_store(str(empty), str(self._backup))

    def fault(self, name: str, _: Any) -> Fault | None:
        if name == "log_batch" and self._draw.random() < 0.05:
            copy_store(self._path, str(self._backup))
        return self._draw.choice(FAULTS) if self._draw.random() < 0.15 else None

    def forget(self) -> None:
        """Now and then a run, all that came after a backup, or everything."""
        what = self._draw.choice(("nothing", "a run", "a run", "what was new", "everything"))
        with closing(sqlite3.connect(self._path)) as opened:
            there = sorted(run for (run,) in opened.execute("SELECT run_uuid FROM runs"))
        if what == "a run" and there:
            lose_run(self._path, self._draw.choice(there))
        elif what == "what was new":
            copy_store(str(self._backup), self._path)
        elif what == "everything":
            copy_store(str(self._empty), self._path)


@pytest.mark.slow(2)
@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 24))])
def test_the_runs_are_the_ledgers_in_the_end(
    root: Root,
    ledger: Ledger,
    history: list[Event],
    opened_store: Path,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(delivery, "BATCH", 7)
    store = Store(new_store(), opened_store, draw)
    for some in portions(history, draw):
        happen(ledger, some)
        with faults(store.fault), suppress(StorageError):
            sync(root, "small", store.uri)
        store.forget()
    said: list[str] = []
    sync(root, "small", store.uri, said.append)
    assert said == []
    whole = new_store("whole.db")
    sync(root, "small", whole)
    assert content(store.uri) == content(whole)
    read = records(board_of(read_back.read("small", store.uri)))
    assert [(row["label"], row["n"], row["mean"]) for row in read] == [
        (row["label"], row["n"], row["mean"]) for row in records(leaderboard(ledger))
    ]


def test_a_plan_is_what_the_history_ends_with(history: list[Event]) -> None:
    plans = [Plan.from_json(event.body) for event in history if event.kind == "plan"]
    assert {slot.label for slot in plans[0].students} == {"kd", "dhkd"}
    assert {slot.label for slot in plans[1].students} == {"kd", "dhkd α=0.5", "dhkd α=1"}


@pytest.mark.slow(1)
def test_a_store_loses_what_it_is_to_lose(
    root: Root, ledger: Ledger, history: list[Event], new_store: NewStore
) -> None:
    happen(ledger, history)
    uri = new_store()
    sync(root, "small", uri)
    lost = next(iter(runs(uri)))
    lose_run(uri.removeprefix("sqlite:///"), runs(uri)[lost].info.run_id)
    assert lost not in runs(uri)
