"""A sweep that grows names its rows anew; its runs in MLflow follow, those that were done long before among them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweep.layout import Root, SweepPaths
from sweep.ledger.bodies import taught_elsewhere
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results import read
from sweep.results.board import board_of, leaderboard
from sweep.results.records import records
from sweep.tracking import read_back
from sweep.tracking.sync import sync
from tests.support.examples import SPEC, begin, epoch_body, play, record, small_spec, teacher_of
from tests.support.tracked import content, faults, forget, lose_run, runs

NewStore = Callable[..., str]


def grow(root: Root, ledger: Ledger, uri: str, plan: Plan) -> None:
    """What is new of a plan is run, and delivered."""
    begin(ledger, plan)
    done = {event.body["slot"] for event in ledger.events("start")}
    for slot in plan.slots:
        if slot.id not in done:
            record(ledger, plan, slot, [70.0 + slot.seed], val_accs=[69.0])
    sync(root, "small", uri)


def labels(uri: str) -> list[str]:
    return [row["label"] for row in records(board_of(read_back.read("small", uri)))]


@pytest.mark.slow(1)
def test_a_method_that_becomes_a_grid_has_its_new_labels(root: Root, ledger: Ledger, new_store: NewStore) -> None:
    uri = new_store()
    grow(root, ledger, uri, build_plan(small_spec(methods=["kd", {"dhkd": {"alpha": 0.5}}])))
    assert labels(uri) == ["kd", "dhkd"]
    grow(root, ledger, uri, build_plan(small_spec(methods=["kd", {"dhkd": {"alpha": [0.5, 1]}}])))
    assert labels(uri) == [row["label"] for row in records(leaderboard(ledger))] == ["kd", "dhkd α=0.5", "dhkd α=1"]
    students = {run.info.run_name: run.data.tags for run in runs(uri).values() if "student" in run.data.tags}
    assert "resnet20→resnet8 · dhkd · seed 0" not in students
    old = students["resnet20→resnet8 · dhkd α=0.5 · seed 1"]
    assert (old["label"], old["row"], old["state"]) == ("dhkd α=0.5", "dhkd α=0.5", "finished")


@pytest.mark.slow(1)
def test_and_its_old_ones_again_when_it_is_no_grid_any_more(root: Root, ledger: Ledger, new_store: NewStore) -> None:
    uri = new_store()
    grow(root, ledger, uri, build_plan(small_spec(methods=["kd", {"dhkd": {"alpha": [0.5, 1]}}])))
    grow(root, ledger, uri, build_plan(small_spec(methods=["kd", {"dhkd": {"alpha": 0.5}}])))
    assert labels(uri)[:2] == [row["label"] for row in records(leaderboard(ledger))] == ["kd", "dhkd"]


@pytest.mark.slow(1)
def test_a_recipe_field_that_becomes_a_grid_moves_its_trials_too(
    root: Root, ledger: Ledger, new_store: NewStore
) -> None:
    uri = new_store()
    grow(root, ledger, uri, build_plan(small_spec(methods=["kd"])))
    recipe = SPEC["recipe"] | {"lr": [0.05, 0.1]}
    grow(root, ledger, uri, build_plan(small_spec(methods=["kd"], recipe=recipe)))
    ours, theirs = records(leaderboard(ledger)), records(board_of(read_back.read("small", uri)))
    assert [(row["recipe"], row["label"], row["n"]) for row in theirs] == [
        (row["recipe"], row["label"], row["n"]) for row in ours
    ]


def test_nothing_is_asked_where_no_name_changes(root: Root, ledger: Ledger, new_store: NewStore) -> None:
    uri, plan = new_store(), build_plan(small_spec(methods=["kd"]))
    grow(root, ledger, uri, plan)
    begin(ledger, plan)
    with faults(lambda *_: None) as made:
        sync(root, "small", uri)
    # that it runs, the plan's tags, and the description are the parent's; how far it was told, before and after
    assert made.count("update_run") == 1
    assert made.count("log_batch") <= 1
    assert made.count("set_tag") <= 3


@pytest.mark.slow(1)
def test_a_trial_that_a_search_has_won_counts_for_its_row_also_when_its_run_was_lost(
    root: Root, ledger: Ledger, new_store: NewStore
) -> None:
    search = {"trials": 3, "sampler": "grid", "pruner": "none"}
    plan = build_plan(small_spec(methods=[{"gdkd": {"k": {"choice": [2, 3, 4]}}}], search=search))
    play(ledger, plan, lambda slot: 70.0 + slot.varied["k"])
    uri = new_store()
    sync(root, "small", uri)
    won = [run for run in runs(uri).values() if run.data.tags.get("row") and run.data.tags["stage"] == "search"]
    assert [run.data.tags["row"] for run in won] == ["gdkd k=4 tuned"]
    lose_run(uri.removeprefix("sqlite:///"), won[0].info.run_id)
    sync(root, "small", uri)
    assert runs(uri)[won[0].data.tags["sweep.key"]].data.tags["row"] == "gdkd k=4 tuned"


def test_a_teacher_that_was_trained_again_has_its_new_accuracy(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    uri, teacher = new_store(), small_plan.teachers[0]
    begin(ledger, small_plan)
    key = record(ledger, small_plan, teacher, [96.0, 97.0], val_accs=[95.0, 96.0])
    sync(root, "small", uri)
    again = taught_elsewhere(epoch_body(2, 95.0, 94.0), teacher_of(teacher).model_dump() | {"hash": "0" * 16})
    ledger.append("retrained", key, body=again)
    sync(root, "small", uri)
    assert read_back.read("small", uri).teachers == read.read(ledger).teachers == {"resnet20": 95.0}
    shown = runs(uri)[key].data.metrics
    assert {name: shown[name] for name in ("test_acc", "val_acc", "train_acc", "best_test_acc")} == {
        "test_acc": 95.0,
        "val_acc": 94.0,
        "train_acc": 95.0,
        "best_test_acc": 95.0,
    }


def test_what_is_not_known_of_a_teacher_s_new_weights_is_not_told_of_its_former_ones(
    root: Root, ledger: Ledger, paths: SweepPaths, small_plan: Plan, new_store: NewStore
) -> None:
    """Another sweep trained it again: its passport has no training accuracy, no loss and no top-5 accuracy."""
    uri, teacher = new_store(), small_plan.teachers[0]
    begin(ledger, small_plan)
    key = record(ledger, small_plan, teacher, [96.0, 97.0], val_accs=[95.0, 96.0])
    sync(root, "small", uri)
    numbers = {"epoch": 2, "val_acc": 94.0, "test_acc": 95.0}
    again = taught_elsewhere(numbers, teacher_of(teacher).model_dump() | {"hash": "0" * 16})
    ledger.append("retrained", key, body=again)
    for _ in range(2):  # told once more it is the same
        sync(root, "small", uri)
        shown = runs(uri)[key].data.metrics
        assert {name: shown[name] for name in ("test_acc", "val_acc", "best_test_acc")} == {
            "test_acc": 95.0,
            "val_acc": 94.0,
            "best_test_acc": 95.0,
        }
        unknown = {name for name, value in shown.items() if value != value}
        assert unknown == {"train_acc", "train_acc5", "val_acc5", "test_acc5", "loss", "lr"}
        forget(paths)


def best_of(uri: str) -> dict[str, tuple[float, float]]:
    """What the runs of trials say of their best epoch: its number and its accuracy, by label."""
    some = {run.data.tags.get("label", ""): run.data.metrics for run in runs(uri).values()}
    return {label: (one["best_epoch"], one["best_test_acc"]) for label, one in some.items() if "best_epoch" in one}


@pytest.mark.slow(1)
def test_trials_that_ended_under_another_protocol_show_the_best_epoch_by_the_present_one(
    root: Root, ledger: Ledger, new_store: NewStore
) -> None:
    """Where nothing is held out the protocols have their trials in common. Back and forth: each time the runs, and what
    is read back, say what the table says."""
    uri, recipe = new_store(), SPEC["recipe"] | {"val_fraction": 0.0}
    for protocol, best in (("validation", (3.0, 75.0)), ("paper", (2.0, 80.0)), ("validation", (3.0, 75.0))):
        plan = build_plan(small_spec(methods=["kd"], seeds=1, recipe=recipe, protocol=protocol))
        done = ledger.finals()
        begin(ledger, plan)
        for slot in () if done else plan.slots:
            record(ledger, plan, slot, [70.0, 80.0, 75.0])
        sync(root, "small", uri)
        assert best_of(uri) == {"kd": best, "teacher": best}
        assert records(board_of(read_back.read("small", uri))) == records(leaderboard(ledger))
    begin(ledger, build_plan(small_spec(methods=["kd"], seeds=1, recipe=recipe, protocol="paper")))
    whole = new_store("whole.db")
    sync(root, "small", whole)  # in one
    assert best_of(whole) == {"kd": (2.0, 80.0), "teacher": (2.0, 80.0)}
    with faults(lambda *_: None) as made:
        sync(root, "small", whole)
    assert "log_batch" not in made


@pytest.mark.slow(1)
@pytest.mark.parametrize("state", ["failed", "interrupted", "running"])
def test_a_teacher_that_is_trained_again_in_vain_has_its_result_still(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore, state: str
) -> None:
    uri, teacher = new_store(), small_plan.teachers[0]
    begin(ledger, small_plan)
    key = record(ledger, small_plan, teacher, [96.0, 97.0], val_accs=[95.0, 96.0])
    sync(root, "small", uri)
    before = content(uri)[key]
    record(ledger, small_plan, teacher, state=state)
    sync(root, "small", uri)
    assert content(uri)[key] == before
    whole = new_store("whole.db")
    sync(root, "small", whole)  # in one
    assert content(whole)[key] == before
