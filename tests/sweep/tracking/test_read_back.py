"""What was projected into MLflow, read back: the same table as from the ledger."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import Leaderboard, board_of, leaderboard
from sweep.results.records import records
from sweep.tracking import read_back, run_content, sync
from sweep.tracking import server as server_module
from sweep.tracking.mlflow_internals import LONGEST_TAG
from sweep.tracking.server import Tracked, served, stored
from tests.support.boards import said
from tests.support.examples import begin, play, record, slot_of, small_spec
from tests.support.mlflow_server import TrackingServer
from tests.support.tracked import client_of
from trainers.errors import InputError, StorageError

Store = Callable[[str], str]


def both(root: Root, name: str, uri: str) -> tuple[Leaderboard, Leaderboard]:
    """The table from the ledger, and from the server that it is delivered to."""
    sync.sync(root, name, uri)
    with closing(Ledger(root.sweep(name).ledger)) as ledger:
        return leaderboard(ledger), board_of(read_back.read(name, uri))


def cells(board: Leaderboard) -> list[dict[str, Any]]:
    """Records without empty columns: a server's table has no column for a hyperparameter that none of its rows has."""
    return [{name: value for name, value in one.items() if value not in (None, "", 0)} for one in records(board)]


def test_the_table_is_the_ledgers(root: Root, ledger: Ledger, new_store: Store) -> None:
    """Two pairs share a student, so scratch ran once; a seed diverged, a grid point failed, a search has won."""
    gdkd = {"gdkd": {"k": {"choice": [2, 3]}, "w2": {"choice": [1, 8]}}}
    methods = ["scratch", "kd", {"dhkd": {"alpha": [0.5, 1]}}, gdkd]
    plan = build_plan(
        small_spec(
            pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"],
            methods=methods,
            seeds=3,
            search={"trials": 20, "sampler": "grid", "pruner": "none"},
        )
    )

    def accuracy(slot: Slot) -> float:
        noise = (slot.seed * 7 + len(slot.label)) % 5 / 10
        start = {"scratch": 60.0, "kd": 70.0, "dhkd": 72.0, "gdkd": 74.0}[slot.method]
        return start + noise + float(slot.varied.get("k", 0))

    record(ledger, plan, slot_of(plan, "dhkd α=1", 2), state="failed")
    record(ledger, plan, slot_of(plan, "kd", 2), [50.0], state="diverged")
    for seed, torch in enumerate(("2.11.0", "2.15.0+cpu")):
        record(ledger, plan, slot_of(plan, "dhkd α=0.5", seed), [72.0 + seed], made_with={"torch": torch})
    for teacher in plan.teachers:
        record(ledger, plan, teacher, [97.0], val_accs=[96.0])
    play(ledger, plan, accuracy)
    ours, theirs = both(root, "small", new_store("mlflow.db"))
    assert cells(theirs) == cells(ours)
    assert theirs.teachers == ours.teachers
    assert theirs.states == ours.states
    assert theirs.findings == ours.findings
    assert (theirs.baseline, theirs.metric, theirs.plan.dataset) == (ours.baseline, ours.metric, ours.plan.dataset)
    assert said(theirs) == said(ours)
    assert "dhkd α=0.5, resnet20→resnet8: torch 2.11.0 and torch 2.15.0+cpu" in said(theirs)
    assert any(one.standing == "best" for one in ours.rows) or any(one.standing == "tied" for one in ours.rows)


def test_a_teacher_that_is_a_student_too_counts_for_its_row_on_a_server_as_well(
    root: Root, ledger: Ledger, new_store: Store
) -> None:
    """One trial, and one run: the teacher's. Without it the row of scratch would lack a seed, under both pairs."""
    plan = build_plan(small_spec(pairs=["resnet8 -> resnet8", "resnet14 -> resnet8"], methods=["scratch", "kd"]))
    assert {slot.id for slot in plan.teachers} & {slot.id for slot in plan.students}
    for teacher in plan.teachers:
        record(ledger, plan, teacher, [81.0], val_accs=[80.0])
    play(ledger, plan, lambda slot: 70.0 + slot.seed + len(slot.label))
    ours, theirs = both(root, "small", new_store("mlflow.db"))
    assert cells(theirs) == cells(ours)
    assert [len(row.values) for row in theirs.rows] == [2, 2, 2, 2]
    assert theirs.states == ours.states
    assert theirs.teachers == ours.teachers


def test_a_search_with_one_seed_needs_no_run_but_its_own(root: Root, ledger: Ledger, new_store: Store) -> None:
    search = {"trials": 3, "sampler": "grid", "pruner": "none"}
    plan = build_plan(small_spec(methods=[{"gdkd": {"k": {"choice": [2, 3, 4]}}}], seeds=1, search=search))
    play(ledger, plan, lambda slot: 70.0 + slot.varied["k"])
    ours, theirs = both(root, "small", new_store("mlflow.db"))
    assert cells(theirs) == cells(ours)
    assert theirs.rows[0].varied == {"k": 4}


def test_a_larger_search_replaces_what_was_chosen(root: Root, ledger: Ledger, new_store: Store) -> None:
    uri = new_store("mlflow.db")
    for trials in (2, 3):
        search = {"trials": trials, "sampler": "grid", "pruner": "none"}
        plan = build_plan(small_spec(methods=[{"gdkd": {"k": {"choice": [2, 3, 4]}}}], seeds=1, search=search))
        play(ledger, plan, lambda slot: 70.0 + slot.varied["k"])
        ours, theirs = both(root, "small", uri)
        assert cells(theirs) == cells(ours)


@pytest.mark.slow(1)
def test_rows_stand_in_the_plans_order_whatever_started_first(root: Root, ledger: Ledger, new_store: Store) -> None:
    """The baseline is the first row of its method, so that it depends on the order; a row between two others is new,
    another has gone."""
    uri = new_store("mlflow.db")
    for alphas in ([5, 0.5], [5, 1, 0.5], [5, 1]):
        spec = small_spec(methods=["scratch", {"dhkd": {"alpha": alphas}}, "kd"], baseline="dhkd")
        plan = build_plan(spec)
        done = {event.body["slot"] for event in ledger.events("start")}
        begin(ledger, plan)
        for slot in reversed([slot for slot in plan.slots if slot.id not in done]):
            record(ledger, plan, slot, [70.0 + slot.seed])
        ours, theirs = both(root, "small", uri)
        labels = ["scratch", *(f"dhkd α={alpha}" for alpha in alphas), "kd"]
        gone = ["dhkd α=0.5"] if 0.5 not in alphas else []
        assert [row.label for row in ours.rows] == labels
        assert [row.label for row in theirs.rows] == labels + gone
        assert theirs.baseline == ours.baseline == "dhkd α=5"


@pytest.mark.slow(1)
def test_a_pareto_front_stands_in_its_searchs_place(root: Root, ledger: Ledger, new_store: Store) -> None:
    """Who trains longer gets further, so that no configuration beats another."""
    recipe = {"base": "digits", "epochs": {"choice": [3, 4, 5]}, "samples_per_class": 8}
    search = {"trials": 3, "sampler": "grid", "pruner": "none", "metrics": ["val_acc", "device_seconds"], "confirm": 3}
    plan = build_plan(small_spec(methods=["kd", "dkd"], recipe=recipe, search=search))
    play(ledger, plan, lambda slot: 70.0 + slot.epochs, side_by_side=3, last_first=True)
    ours, theirs = both(root, "small", new_store("mlflow.db"))
    assert [row.label.split()[0] for row in ours.rows] == ["kd"] * 3 + ["dkd"] * 3
    assert cells(theirs) == cells(ours)


@pytest.mark.slow(1)
def test_a_race_is_told_of_on_a_server_as_well(root: Root, ledger: Ledger, new_store: Store) -> None:
    search = {"trials": 4, "sampler": "grid", "pruner": "none", "confirm": 3, "race": 3}
    methods = ["kd", {"gdkd": {"k": {"choice": [2, 3, 4, 5]}}}]
    plan = build_plan(small_spec(methods=methods, seeds=2, search=search))
    for teacher in plan.teachers:
        record(ledger, plan, teacher, [97.0], val_accs=[96.0])
    play(ledger, plan, lambda slot: 70.0 + random.Random(f"{slot.varied} {slot.seed}").random())
    ours, theirs = both(root, "small", new_store("mlflow.db"))
    assert "ahead of 2 others in a race over 3 seeds, not told apart from k=" in "".join(ours.findings)
    assert theirs.findings == ours.findings
    assert cells(theirs) == cells(ours)
    assert theirs.states == ours.states
    assert said(theirs) == said(ours)


def test_a_search_that_stands_under_several_pairs_has_its_place_under_each(
    root: Root, ledger: Ledger, new_store: Store
) -> None:
    recipe = {"base": "digits", "epochs": {"choice": [3, 4]}, "samples_per_class": 8}
    search = {"trials": 2, "sampler": "grid", "pruner": "none"}
    pairs = ["resnet20 -> resnet8", "resnet14 -> resnet8"]
    plan = build_plan(small_spec(pairs=pairs, methods=["scratch", "kd"], seeds=1, recipe=recipe, search=search))
    assert any(cell.also for cell in plan.cells)
    play(ledger, plan, lambda slot: 70.0 + slot.epochs)
    ours, theirs = both(root, "small", new_store("mlflow.db"))
    assert [row.label.split()[0] for row in ours.rows] == ["scratch"] * 2 + ["kd"] * 2
    assert cells(theirs) == cells(ours)


def test_a_table_of_many_rows_is_in_order(small_plan: Plan) -> None:
    """Tags hold 8,000 characters."""
    first = small_plan.students[0]
    slots = tuple(replace(first, label=f"kd T={number}") for number in range(2000))
    tags = run_content.order_tags(replace(small_plan, slots=slots))
    assert len(tags) > 2
    assert all(len(value) <= LONGEST_TAG for value in tags.values())
    place = read_back._places(Tracked(0, tags), [])
    assert sorted([*slots[1000:], *slots[:1000]], key=place) == list(slots)


def test_without_a_name_the_latest_sweep_is_read(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: Store
) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "kd"), [90.0])
    uri = new_store("mlflow.db")
    sync.sync(root, "small", uri)
    assert read_back.read(None, uri).plan.name == "small"


def test_a_sweep_that_the_server_does_not_know_is_refused(new_store: Store) -> None:
    uri = new_store("mlflow.db")
    with pytest.raises(InputError, match="knows no sweep 'none'"):
        read_back.read("none", uri)
    with pytest.raises(InputError, match=r"knows no sweep$"):
        read_back.read(None, uri)


@pytest.mark.slow
def test_an_http_server_gives_what_its_database_gives(
    root: Root, ledger: Ledger, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {"trials": 3, "sampler": "grid", "pruner": "none"}
    plan = build_plan(small_spec(methods=["scratch", {"gdkd": {"k": {"choice": [2, 3, 4]}}}], search=search))
    play(ledger, plan, lambda slot: 70.0 + float(slot.varied.get("k", 0)) + slot.seed)
    monkeypatch.setattr(server_module, "PAGE", 4)  # there are six runs and their parent: two pages
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    server = TrackingServer(tmp_path, empty_store)
    try:
        sync.sync(root, "small", server.uri)
        for name in ("small", None):
            asked, read = served(name, server.uri), stored(name, f"sqlite:///{tmp_path}/server.db")
            assert len(asked) == len(read) == 7
            assert cells(board_of(read_back.results(asked))) == cells(board_of(read_back.results(read)))
        assert served("other", server.uri) == []
    finally:
        server.kill()


def test_a_deleted_run_is_not_read(root: Root, ledger: Ledger, small_plan: Plan, new_store: Store) -> None:
    begin(ledger, small_plan)
    for seed in (0, 1):
        record(ledger, small_plan, slot_of(small_plan, "kd", seed), [90.0 + seed])
    uri = new_store("mlflow.db")
    sync.sync(root, "small", uri)
    client = client_of(uri)
    places = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(places, "tags.seed = '1' and tags.stage = 'confirm'")
    client.delete_run(run.info.run_id)
    assert board_of(read_back.read("small", uri)).rows[0].values == {0: 90.0}


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no file"):
        read_back.read("small", f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not answer"):
        read_back.read("small", "http://127.0.0.1:9")


@pytest.mark.parametrize("value", [0.1, 4.0, 3, True, None, "binary_kl_norm", [150, 180], {"name": "kd", "params": {}}])
def test_parameters_come_back_as_they_were(value: object) -> None:
    assert read_back.value_of(str(value)) == value
