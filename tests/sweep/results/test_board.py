"""The table: means, differences over common seeds, and nothing left out silently."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sweep.formats import Format
from sweep.layout import Root, SweepPaths
from sweep.ledger.lock import exclusive
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import leaderboard
from sweep.results.draw import render
from sweep.results.grid import grid
from sweep.results.read import trials
from tests.support.boards import cell, rows, said, tell
from tests.support.examples import SPEC, begin, play, record, slot_of, small_spec
from trainers.errors import InputError


def test_a_sweep_without_a_plan_has_no_table(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="holds no plan yet"):
        leaderboard(ledger)


def test_without_the_baseline_there_are_no_differences(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["scratch", "dhkd"]))
    tell(ledger, plan, {("scratch", 0): 80.0, ("dhkd", 0): 81.0})
    board = leaderboard(ledger)
    assert board.baseline is None
    assert all(c.delta is None for c in board.rows)
    columns, lines = grid(board)
    assert columns == ["method", "resnet20→resnet8", "missing"]
    assert {len(line) for line in lines} == {3}
    assert "Δ" not in said(board)


# -- what is missing ----------------------------------------------------------------------------------------------


def test_what_gave_no_number_is_counted_by_its_state(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"], seeds=6))
    begin(ledger, plan)
    record(ledger, plan, plan.teachers[0], [97.0], val_accs=[90.0])
    for seed, state in enumerate(["finished", "diverged", "failed", "interrupted", "running"]):
        record(ledger, plan, slot_of(plan, "kd", seed), [90.0, 99.0], state=state, val_accs=[1.0, 2.0])
    with exclusive(SweepPaths(ledger.path.parent).lock, "sweep 'small'"):
        board = leaderboard(ledger)
    kd = cell(board, "kd")
    assert kd.values == {0: 99.0}
    assert kd.missing == {"diverged": 1, "failed": 1, "interrupted": 1, "running": 1, "waiting": 1}
    assert rows(board)["kd"][-1] == "1 diverged, 1 failed, 1 interrupted, 1 running, 1 waiting"
    assert said(board).endswith("Trials: 2 finished, 1 diverged, 1 failed, 1 interrupted, 1 running, 1 waiting.")


def test_without_a_driver_nothing_runs(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "scratch"), [50.0], state="running")
    with exclusive(SweepPaths(ledger.path.parent).lock, "sweep 'small'"):
        assert leaderboard(ledger).states == {"waiting": 8, "running": 1}
    assert leaderboard(ledger).states == {"waiting": 8, "interrupted": 1}


def test_a_table_with_nothing_missing_has_no_such_column(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    columns, lines = grid(leaderboard(ledger))
    assert columns == ["method", "resnet20→resnet8", "Δ kd"]
    assert [line[0] for line in lines] == ["teacher", "scratch", "kd", "dhkd α=0.5", "dhkd α=1"]
    assert said(leaderboard(ledger)).endswith("Trials: 9 finished.")


def test_a_sweep_that_has_only_been_planned_has_a_table_of_waiting_trials(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    board = leaderboard(ledger)
    assert board.states == {"waiting": 9}
    assert board.teachers == {}
    assert rows(board)["kd"] == ["kd", "–", "", "2 waiting"]
    for how in Format:
        assert render(board, how)


def test_the_last_event_of_a_trial_says_how_it_is(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    slot = slot_of(small_plan, "scratch")
    for state in ("failed", "running", "interrupted", "running"):
        record(ledger, small_plan, slot, [50.0], state=state)
        with exclusive(SweepPaths(ledger.path.parent).lock, "sweep 'small'"):
            (found,) = [trial for trial in trials(ledger)[1] if trial.slot == slot]
        assert found.state == state
    record(ledger, small_plan, slot, [50.0])
    record(ledger, small_plan, slot, state="failed")
    (found,) = [trial for trial in trials(ledger)[1] if trial.slot == slot]
    assert (found.state, found.epochs) == ("finished", 1)


def test_a_teacher_trained_anew_means_its_students_wait_again(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    slot = slot_of(small_plan, "kd")
    key = next(trial.key for trial in trials(ledger)[1] if trial.slot == slot)
    assert key is not None
    other = next(ledger.events("start", trial=key)).body
    ledger.append("start", "0" * 16, body=other)
    (found,) = [trial for trial in trials(ledger)[1] if trial.slot == slot]
    assert (found.key, found.state, found.epochs) == ("0" * 16, "running", 0)


# -- several pairs, recipes and plans -----------------------------------------------------------------------------


def test_pairs_stand_side_by_side_with_their_own_differences(ledger: Ledger) -> None:
    plan = build_plan(
        small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet32"], methods=["kd", "dhkd"], seeds=1)
    )
    begin(ledger, plan)
    for slot in plan.teachers:
        record(ledger, plan, slot, [97.0 if slot.pair == "resnet20" else 96.0])
    for label, pair, accuracy in (
        ("kd", "resnet20→resnet8", 80.0),
        ("dhkd", "resnet20→resnet8", 81.0),
        ("kd", "resnet14→resnet32", 90.0),
        ("dhkd", "resnet14→resnet32", 88.0),
    ):
        record(ledger, plan, slot_of(plan, label, pair=pair), [accuracy])
    board = leaderboard(ledger)
    assert grid(board) == (
        ["method", "resnet20→resnet8", "Δ kd", "resnet14→resnet32", "Δ kd", "mean", "Δ kd"],
        [
            ["teacher", "97.00", "", "96.00", "", "", ""],
            ["kd", "80.00 (1)", "", "90.00 (1)", "", "85.00", ""],
            ["dhkd", "81.00 (1)", "+1.00", "88.00 (1)", "−2.00", "84.50", "−0.50"],
        ],
    )
    assert "Mean: over all pairs, not tested: a test needs 3 pairs" in said(board)
    assert "Nothing can be told apart: a paired test needs 3 common seeds, there is 1." in said(board)


def test_a_method_that_stands_under_one_pair_alone_leaves_the_other_blank(ledger: Ledger) -> None:
    whole = build_plan(
        small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet32"], methods=["kd", "dhkd"], seeds=1)
    )
    left_out = slot_of(whole, "dhkd", pair="resnet20→resnet8")
    plan = replace(whole, slots=tuple(slot for slot in whole.slots if slot != left_out))
    tell(ledger, plan, {("kd", 0): 80.0, ("dhkd", 0): 81.0})
    assert grid(leaderboard(ledger)) == (
        ["method", "resnet20→resnet8", "Δ kd", "resnet14→resnet32", "Δ kd", "mean", "Δ kd"],
        [
            ["teacher", "97.25", "", "97.25", "", "", ""],
            ["kd", "80.00 (1)", "", "80.00 (1)", "", "80.00", ""],
            ["dhkd", "", "", "81.00 (1)", "+1.00", "–", ""],
        ],
    )


@pytest.mark.parametrize(
    ("larger", "on_the_front"), [(90.0, ("resnet8", "resnet32")), (80.0, ("resnet8",)), (79.0, ("resnet8",))], ids=str
)
def test_the_pareto_front_holds_what_nothing_beats_in_accuracy_and_cost(
    ledger: Ledger, larger: float, on_the_front: tuple[str, ...]
) -> None:
    """With the same search under both pairs, all points of which end alike."""
    pairs = ["resnet20 -> resnet32", "resnet20 -> resnet8"]
    search = {"trials": 2, "sampler": "grid", "pruner": "none", "metrics": ["val_acc", "student_macs"]}
    plan = build_plan(small_spec(pairs=pairs, methods=[{"kd": {"alpha": {"choice": [1, 2]}}}], seeds=1, search=search))
    macs = {cell.pair: cell.student_macs for cell in plan.cells}
    assert macs["resnet20→resnet32"] > macs["resnet20→resnet8"] > 0
    play(ledger, plan, lambda slot: larger if slot.pair == pairs[0].replace(" -> ", "→") else 80.0)
    *each, front = leaderboard(ledger).findings
    assert f"kd tuned α=1, resnet20→resnet8: val_acc 79, student_macs {macs['resnet20→resnet8']:.6g}" in each[-1]
    assert each[-1].endswith("; on the Pareto front of 2")
    shown = {"resnet8": 80.0, "resnet32": larger}
    assert front == "Pareto front over all cells, test accuracy against the student's MACs: " + "; ".join(
        f"kd tuned α=1, resnet20→{name} ({shown[name]:.2f} % at {macs[f'resnet20→{name}']:,} MACs)"
        for name in on_the_front
    )


def test_recipes_have_rows_of_their_own_and_are_compared_within(ledger: Ledger) -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]}, methods=["kd", "dhkd"], seeds=1))
    begin(ledger, plan)
    for slot in plan.students:
        offset = 0.0 if slot.recipe.endswith("0.05") else 20.0
        record(ledger, plan, slot, [offset + {"kd": 60.0, "dhkd": 63.0}[slot.label]])
    board = leaderboard(ledger)
    columns, lines = grid(board)
    assert columns == ["recipe", "method", "resnet20→resnet8", "Δ kd", "missing"][: len(columns)]
    assert [line[:4] for line in lines] == [
        ["digits lr=0.05", "kd", "60.00 (1)", ""],
        ["digits lr=0.05", "dhkd", "63.00 (1)", "+3.00"],
        ["digits lr=0.1", "kd", "80.00 (1)", ""],
        ["digits lr=0.1", "dhkd", "83.00 (1)", "+3.00"],
    ]


def test_only_the_latest_plans_trials_are_in_the_table(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    longer = build_plan(small_spec(recipe=SPEC["recipe"] | {"epochs": 4}))
    begin(ledger, longer)
    assert leaderboard(ledger).states == {"waiting": 9}
    record(ledger, longer, slot_of(longer, "kd"), [99.0])
    kd = cell(leaderboard(ledger), "kd")
    assert kd.values == {0: 99.0}
    assert kd.missing == {"waiting": 1}


def test_a_spec_that_grew_keeps_its_old_results(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    begin(ledger, build_plan(small_spec(seeds=3)))
    board = leaderboard(ledger)
    assert cell(board, "kd").values == {0: 90.0, 1: 92.0}
    assert cell(board, "kd").missing == {"waiting": 1}


def test_a_spec_that_shrank_shows_what_is_left(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    begin(ledger, build_plan(small_spec(methods=["kd"], seeds=1)))
    board = leaderboard(ledger)
    assert [c.label for c in board.rows] == ["kd"]
    assert cell(board, "kd").values == {0: 90.0}
    assert board.states == {"finished": 2}


def test_a_stored_teachers_accuracy_is_read_from_its_passport(ledger: Ledger, small_plan: Plan, root: Root) -> None:
    teacher = {"architecture": "resnet20", "hash": "0123456789abcdef"}
    pair = "resnet20@01234567→resnet8"
    slots = [
        replace(slot, pair=pair, teacher=None, config=slot.config | {"teacher": teacher})
        for slot in small_plan.students
    ]
    begin(ledger, replace(small_plan, slots=tuple(slots)))
    assert leaderboard(ledger).teachers == {}
    passport = root.teachers / teacher["hash"] / "passport.json"
    passport.parent.mkdir(parents=True)
    passport.write_text(json.dumps({"test_acc": 97.5}))
    board = leaderboard(ledger)
    assert board.teachers == {"resnet20@01234567": 97.5}
    assert rows(board)["teacher"][1] == "97.50"
