"""A server that fails some requests, or answers some too late: everything is there once, and nothing is told anew."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.board import Leaderboard, board_of, leaderboard
from sweep.results.records import records
from sweep.tracking import delivery, patience, read_back
from sweep.tracking.runs import TOLD
from sweep.tracking.sync import sync
from tests.support.boards import tell
from tests.support.examples import begin, job_of, record, slot_of
from tests.support.tracked import Fault, client_of, content, copy_store, faults, lose_run, runs
from trainers.errors import InputError, StorageError

NewStore = Callable[..., str]

FEW = {("kd", 0): 90.0, ("dhkd α=0.5", 0): 91.0, ("dhkd α=0.5", 1): 94.0}
"""Trials, besides the teacher's, and their accuracies."""


@pytest.fixture(scope="module")
def whole(
    small_plan: Plan, opened_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The ledger of a small sweep, and what a store holds of it that was always there."""
    folder = tmp_path_factory.mktemp("whole")
    paths = Root(folder).sweep("small")
    with Ledger(paths.ledger) as ledger:
        tell(ledger, small_plan, FEW)
    shutil.copyfile(opened_store, folder / "whole.db")
    uri = f"sqlite:///{folder / 'whole.db'}"
    sync(Root(folder), "small", uri)
    return paths.ledger, content(uri)


@pytest.fixture
def expected(ledger: Ledger, paths: SweepPaths, whole: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    """What a store holds that was always there, of the sweep that `ledger` holds."""
    copy_store(str(whole[0]), str(paths.ledger))
    return whole[1]


def nth(request: str, number: int, fault: Fault, times: int = 1) -> Callable[[str, Any], Fault | None]:
    """A fault of some requests of one kind, counted from 1."""
    seen: list[str] = []

    def decide(name: str, _: Any) -> Fault | None:
        seen.append(name)
        at = seen.count(request)
        return fault if name == request and number <= at < number + times else None

    return decide


@pytest.mark.slow(1)
@pytest.mark.parametrize("fault", ["late", "lost"])
def test_a_run_whose_making_was_not_answered_is_there_once(
    root: Root, expected: dict[str, Any], new_store: NewStore, fault: Fault
) -> None:
    uri = new_store()
    with faults(nth("create_run", 3, fault)):
        sync(root, "small", uri)
    assert content(uri) == expected


def test_one_that_could_not_be_looked_for_either_is_found_by_the_next_delivery(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    late = nth("create_run", 3, "late")
    broken: list[bool] = []

    def decide(name: str, given: Any) -> Fault | None:
        broken.append(late(name, given) == "late")
        return "late" if broken[-1] else "lost" if any(broken) else None

    with faults(decide), pytest.raises(StorageError, match=r"does not answer \(.*\); try again later"):
        sync(root, "small", uri)
    assert len(runs(uri)) == 3
    sync(root, "small", uri)
    assert content(uri) == expected


def test_the_same_connection_looks_for_it_too(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    connection = delivery.Delivery(root, root.sweep("small"), ledger, uri)
    down: list[str] = []

    def decide(name: str, _: Any) -> Fault | None:
        down.append(name)
        made = down.count("create_run")
        return None if made < 3 else "late" if made == 3 and name == "create_run" else "lost"

    with faults(decide), pytest.raises(ConnectionResetError):
        connection.deliver()
    while connection.deliver():
        continue
    assert len(runs(uri)) == len(expected) - 1


def doubled(uri: str, key: str) -> None:
    """A server that made a run twice: the second time so late that nobody looked for it any more."""
    client, first = client_of(uri), runs(uri, deleted=False)[key]
    names = ("sweep.id", "sweep.key", "sweep.name", "stage", "sweep.told")
    tags = {name: first.data.tags[name] for name in names if name in first.data.tags}
    client.create_run(first.info.experiment_id, first.info.start_time, tags | {"state": "running"})


def table(board: Leaderboard) -> list[tuple[str, int, float]]:
    """The rows with a number."""
    return [(row["label"], row["n"], row["mean"]) for row in records(board) if row["n"]]


@pytest.mark.slow(1)
def test_a_run_that_appears_twice_all_the_same_is_one_again(
    root: Root, ledger: Ledger, small_plan: Plan, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    sync(root, "small", uri)
    for key in ("sweep", next(key for key in expected if key not in ("sweep", "views"))):
        doubled(uri, key)
        assert table(board_of(read_back.read("small", uri))) == table(leaderboard(ledger))
        sync(root, "small", uri)
        assert content(uri) == expected


def test_a_run_that_was_only_just_made_is_not_read(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    with faults(nth("log_batch", 5, "lost", times=99)), pytest.raises(StorageError):
        sync(root, "small", uri)
    (untold,) = [run for run in runs(uri).values() if not run.data.params and run.data.tags["sweep.key"] != "sweep"]
    read = {trial.key for trial in read_back.read("small", uri).trials}
    assert read == runs(uri).keys() - {"sweep", untold.data.tags["sweep.key"]}


def test_a_sweep_without_a_plan_is_told_apart_from_none(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    with faults(nth("log_batch", 1, "lost", times=99)), pytest.raises(StorageError):
        sync(root, "small", uri)
    with pytest.raises(InputError, match=r"was not told the plan of this sweep yet; sweep sync small, on"):
        read_back.read("small", uri)


def test_a_trial_that_has_finished_but_not_yet_its_numbers_still_runs(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    begin(ledger, small_plan)
    key = record(ledger, small_plan, slot_of(small_plan, "kd"), [80.0])
    uri = new_store()
    with faults(lambda name, given: "refused" if name == "log_batch" and _tells(given, "best_test_acc") else None):
        sync(root, "small", uri)
    (trial,) = read_back.read("small", uri).trials
    assert (trial.key, trial.state) == (key, "running")


def _tells(given: Any, metric: str) -> bool:
    return any(getattr(one, "key", "") == metric for some in given if isinstance(some, list) for one in some)


def test_a_server_that_fails_every_tenth_request_takes_it_all_at_once(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    draw = random.Random(0)
    with faults(lambda *_: draw.choice(("late", "lost")) if draw.random() < 0.1 else None) as made:
        assert sync(root, "small", uri) == ledger.last_seq()
    assert content(uri) == expected
    assert made.count("create_run") < 2 * (len(expected) - 1)


@pytest.mark.slow(1)
def test_what_was_told_before_the_server_went_away_is_not_told_again(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    """The server goes away after each trial; every delivery takes one more, and makes no run that is there."""
    uri = new_store()
    told: list[str] = []
    for _ in range(len(expected) + 3):
        one = nth("set_terminated", 2, "lost", times=99)
        with faults(one) as made:
            try:
                sync(root, "small", uri)
            except StorageError:
                told += made
                continue
        told += made
        break
    assert content(uri) == expected
    assert told.count("create_run") == len(runs(uri))


def test_a_run_that_the_server_lost_is_made_anew(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    sync(root, "small", uri)
    lost = next(run for key, run in runs(uri).items() if key != "sweep")
    lose_run(uri.removeprefix("sqlite:///"), lost.info.run_id)
    assert sync(root, "small", uri) == 0
    assert content(uri) == expected


def from_the(number: int) -> Callable[[str, Any], Fault | None]:
    """From some request on, counted from 1, none arrives."""
    seen: list[str] = []

    def decide(name: str, _: Any) -> Fault | None:
        seen.append(name)
        return "lost" if len(seen) >= number else None

    return decide


def lose_one(uri: str) -> None:
    """The server loses the run of a trial."""
    lost = next(run for key, run in sorted(runs(uri).items()) if key != "sweep")
    lose_run(uri.removeprefix("sqlite:///"), lost.info.run_id)


def refuse_one(root: Root, uri: str) -> None:
    """The server is told everything, and refuses the end of a trial."""
    with faults(nth("set_terminated", 1, "refused")):
        sync(root, "small", uri)


@pytest.fixture(params=["lost", "refused", "parent"])
def lacking(request: pytest.FixtureRequest, root: Root, new_store: NewStore, expected: dict[str, Any]) -> str:
    """A server that lacks something of what it was told; its address."""
    uri = new_store()
    if request.param == "lost":
        sync(root, "small", uri)
        lose_one(uri)
    elif request.param == "refused":
        refuse_one(root, uri)
    else:
        with faults(nth("log_text", 1, "refused")):
            sync(root, "small", uri)
    assert content(uri) != expected
    return uri


@pytest.mark.slow(3)
def test_what_is_told_anew_is_told_to_its_end_wherever_it_broke_off(
    root: Root,
    ledger: Ledger,
    paths: SweepPaths,
    expected: dict[str, Any],
    lacking: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0)
    database, before, said = lacking.removeprefix("sqlite:///"), tmp_path / "before.db", tmp_path / "said.db"
    copy_store(database, str(before))
    copy_store(str(paths.ledger), str(said))
    for number in range(1, 200):
        copy_store(str(before), database)
        copy_store(str(said), str(paths.ledger))
        with faults(from_the(number)):
            try:
                sync(root, "small", lacking)
                break
            except StorageError:
                pass
        sync(root, "small", lacking)
        assert content(lacking) == expected, number
    assert number > 5


@pytest.mark.slow(2)
def test_a_server_that_is_set_back_while_it_was_told_anew_is_told_to_the_end(
    root: Root,
    ledger: Ledger,
    paths: SweepPaths,
    expected: dict[str, Any],
    lacking: str,
    tmp_path: Path,
) -> None:
    database = lacking.removeprefix("sqlite:///")
    copies: list[Path] = []

    def copy(_: str, __: Any) -> None:
        copies.append(tmp_path / f"{len(copies)}.backup")
        copy_store(database, str(copies[-1]))

    with faults(copy):
        sync(root, "small", lacking)
    assert len(copies) > 5
    assert content(lacking) == expected
    for number, kept in enumerate(copies):
        copy_store(str(kept), database)
        sync(root, "small", lacking)
        assert content(lacking) == expected, number


@pytest.mark.parametrize("batch", range(1, 8))
def test_a_trial_that_a_search_has_asked_for_begins_with_its_start(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    begin(ledger, small_plan)
    asked, other = slot_of(small_plan, "dhkd α=0.5"), slot_of(small_plan, "kd")
    ledger.append("ask", job_of(small_plan, asked).key, body={"cell": "a cell", "number": 0, "params": {}})
    record(ledger, small_plan, other, [90.0], val_accs=[90.0])
    key = record(ledger, small_plan, asked, [91.0], val_accs=[91.0])
    ledger.append("stop", body={"exit_code": 0})
    monkeypatch.setattr(delivery, "BATCH", batch)
    uri = new_store()
    sync(root, "small", uri)
    began = next(ledger.events("start", trial=key)).time
    assert runs(uri)[key].info.start_time == int(began * 1000)


@pytest.mark.slow(1)
@pytest.mark.parametrize("edited", ["", "soon", "3 soon"])
def test_marks_that_somebody_has_edited_only_cost_telling_it_again(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore, edited: str
) -> None:
    uri = new_store()
    sync(root, "small", uri)
    for run in runs(uri).values():
        client_of(uri).set_tag(run.info.run_id, TOLD, edited)
    assert sync(root, "small", uri) > 0
    assert content(uri) == expected
    assert all(run.data.tags[TOLD].partition(" ")[0].isdecimal() for run in runs(uri).values())
