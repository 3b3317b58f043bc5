"""The rows: means over seeds, differences, and what searches have won."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from sweep.formats import Format
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import leaderboard
from sweep.results.draw import render
from sweep.results.grid import grid
from sweep.results.records import records
from tests.support.boards import (
    GDKD,
    RESULTS,
    SEARCHED,
    better_with_k,
    cell,
    rows,
    said,
    searched_plan,
    tell,
    three_epochs,
)
from tests.support.examples import SPEC, begin, job_of, play, record, small_spec
from tests.sweep.results.test_draw import check_latex


def test_means_and_sample_deviations_are_those_computed_by_hand(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    board = leaderboard(ledger)
    kd = cell(board, "kd")
    assert kd.values == {0: 90.0, 1: 92.0}
    assert kd.mean == 91.0
    assert kd.std == pytest.approx(2**0.5)
    assert kd.shown() == "91.00 ± 1.41 (2)"
    assert cell(board, "dhkd α=0.5").shown() == "92.50 ± 2.12 (2)"
    assert board.teachers == {"resnet20": 97.25}
    assert board.states == {"finished": 9}


def test_three_seeds_divide_by_two(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"], seeds=3))
    tell(ledger, plan, {("kd", 0): 1.0, ("kd", 1): 2.0, ("kd", 2): 6.0})
    kd = cell(leaderboard(ledger), "kd")
    assert (kd.mean, kd.std) == (3.0, pytest.approx(7**0.5))
    assert kd.shown() == "3.00 ± 2.65 (3)"


def test_one_seed_has_no_deviation_and_none_is_a_dash(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan, {("kd", 1): 90.125})
    board = leaderboard(ledger)
    assert (cell(board, "kd").std, cell(board, "kd").shown()) == (None, "90.12 (1)")
    assert (cell(board, "scratch").mean, cell(board, "scratch").shown()) == (None, "–")


def test_differences_are_means_over_paired_seeds(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    board = leaderboard(ledger)
    assert board.baseline == "kd"
    assert cell(board, "dhkd α=0.5").delta == pytest.approx(((91 - 90) + (94 - 92)) / 2)
    assert cell(board, "dhkd α=0.5").shown_delta() == "+1.50"
    assert cell(board, "scratch").shown_delta() == "−9.50"
    assert cell(board, "kd").delta is None
    assert cell(board, "kd").shown_delta() == ""


def test_a_difference_counts_common_seeds_only(ledger: Ledger, small_plan: Plan) -> None:
    results = {place: value for place, value in RESULTS.items() if place not in (("kd", 0), ("scratch", 1))}
    tell(ledger, small_plan, results)
    board = leaderboard(ledger)
    assert cell(board, "dhkd α=0.5").delta == 94.0 - 92.0
    assert cell(board, "dhkd α=0.5").mean == 92.5
    assert cell(board, "scratch").delta is None


def test_another_baseline_can_be_named(ledger: Ledger) -> None:
    plan = build_plan(small_spec(baseline="scratch"))
    tell(ledger, plan)
    board = leaderboard(ledger)
    assert cell(board, "kd").shown_delta() == "+9.50"
    assert "Δ scratch" in grid(board)[0]


def test_of_a_swept_baseline_the_first_row_is_taken(ledger: Ledger) -> None:
    plan = build_plan(small_spec(baseline="dhkd"))
    tell(ledger, plan)
    board = leaderboard(ledger)
    assert board.baseline == "dhkd α=0.5"
    assert cell(board, "dhkd α=0.5").delta is None
    assert cell(board, "dhkd α=1").delta == pytest.approx(((88 - 91) + (88.5 - 94)) / 2)


def test_the_table_shows_the_last_epoch(ledger: Ledger) -> None:
    kd = three_epochs(ledger, build_plan(small_spec(methods=["kd"], seeds=1)), paper=False)
    assert (kd.values, kd.best, kd.last) == ({0: 92.0}, {0: 91.0}, {0: 92.0})
    assert "last epoch:" in said(leaderboard(ledger))
    assert "best" not in said(leaderboard(ledger))


def test_a_row_whose_recipe_was_searched_is_marked(ledger: Ledger) -> None:
    recipe = SPEC["recipe"] | {"lr": {"choice": [0.05, 0.1]}}
    search = {"trials": 9, "sampler": "grid", "pruner": "none"}
    plan = build_plan(small_spec(recipe=recipe, methods=["kd", "dhkd"], search=search))

    def accuracy(slot: Slot) -> float:
        best = {"kd": 0.05, "dhkd": 0.1}[slot.method]
        return (90.0 if slot.varied["recipe.lr"] == best else 80.0) + slot.seed

    play(ledger, plan, accuracy)
    board = leaderboard(ledger)
    assert cell(board, "kd tuned").recipe_differs == {}
    assert cell(board, "dhkd tuned").recipe_differs == {"lr": (0.1, 0.05)}
    assert rows(board)["dhkd tuned"][1].endswith("‡")
    marked = "‡: trained by another recipe than its column (dhkd tuned, resnet20→resnet8: lr=0.1, not 0.05)."
    assert marked in said(board)
    assert records(board)[1]["recipe_differs"] == "lr=0.1"
    check_latex(render(board, Format.LATEX))


def test_a_tuned_row_shows_the_best_of_the_search_with_the_other_seeds(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k)
    board = leaderboard(ledger)
    row = cell(board, "gdkd tuned")
    assert row.values == {1: 75.5, 2: 76.5}
    assert row.shown() == "76.00 ± 0.71 (2)"
    assert row.delta == pytest.approx(-5.5)
    assert row.varied == {"k": 4, "kl": "both"}
    assert row.tuned == "k=4 kl=both, the best of 6"
    assert row.missing == {}
    assert board.findings == ["gdkd tuned, resnet20→resnet8: k=4 kl=both, the best of 6"]
    assert [c.label for c in board.rows] == ["kd", "gdkd tuned"]
    assert board.states == {"finished": 3 + 6 + 2, "waiting": 1}  # the teacher is another sweep's


def test_of_several_confirmed_the_best_on_validation_is_shown(ledger: Ledger) -> None:
    plan = searched_plan(search=SEARCHED["search"] | {"confirm": 3})

    def one_seed_was_lucky(slot: Slot) -> float:
        lucky = slot.varied.get("k") == 4 and slot.seed > 0
        return better_with_k(slot) - (30.0 if lucky else 0.0)

    done = play(ledger, plan, one_seed_was_lucky)
    confirmed = [job.slot.varied for job in done if job.slot.label == "gdkd tuned" and job.slot.seed == 2]
    assert confirmed == [{"k": 4, "kl": "both"}, {"k": 4, "kl": "forward"}, {"k": 3, "kl": "both"}]
    row = cell(leaderboard(ledger), "gdkd tuned")
    assert (row.varied, row.values) == ({"k": 3, "kl": "both"}, {1: 74.5, 2: 75.5})
    assert row.tuned == "k=3 kl=both, the best of 6"


@pytest.mark.parametrize(("confirmed", "shown"), [(2, {1: 80.0}), (3, {1: 75.5, 2: 76.5}), (4, {1: 80.0, 2: 81.0})])
def test_of_several_confirmed_none_wins_by_seeds_that_others_lack(
    ledger: Ledger, confirmed: int, shown: dict[int, float]
) -> None:
    """The second of two is the better one with every seed; for a while it has one seed less."""
    plan = searched_plan(search=SEARCHED["search"] | {"confirm": 2})

    def second_is_better(slot: Slot) -> float:
        second = {"k": 4, "kl": "forward"}.items() <= slot.varied.items()
        return better_with_k(slot) + (5.0 if second and slot.seed > 0 else 0.0)

    play(ledger, plan, second_is_better, trials=6 + 3 + confirmed)
    assert cell(leaderboard(ledger), "gdkd tuned").values == shown


def test_a_race_that_is_left_out_again_leaves_nothing_behind(ledger: Ledger) -> None:
    plan = searched_plan()
    play(ledger, plan, better_with_k)
    before = leaderboard(ledger)
    racing = searched_plan(search=SEARCHED["search"] | {"confirm": 3, "race": 3})
    assert [job.slot.stage for job in play(ledger, racing, better_with_k, trials=2)] == ["race"] * 2
    assert leaderboard(ledger).states != before.states
    play(ledger, plan, better_with_k)
    after = leaderboard(ledger)
    assert (after.rows, after.states, after.findings) == (before.rows, before.states, before.findings)


def test_test_accuracy_chooses_nothing_where_images_are_held_out(ledger: Ledger) -> None:
    plan = searched_plan(search={"trials": 3, "sampler": "grid", "pruner": "none", "confirm": 2}, seeds=1)
    (found,) = plan.cells
    begin(ledger, plan)
    asked = [found.slot({"k": k, "kl": kl}, "search", 0) for k, kl in ((2, "forward"), (2, "both"), (3, "forward"))]
    for number, (slot, test, val) in enumerate(zip(asked, [50.0, 99.0, 70.0], [60.0, 10.0, 80.0], strict=True)):
        params = {"k": slot.varied["k"], "kl": slot.varied["kl"]}
        body = {"cell": found.id, "number": number, "params": params, "slot": asdict(slot)}
        ledger.append("ask", job_of(plan, slot).key, body=body)
        record(ledger, plan, slot, [test], val_accs=[val])
    play(ledger, plan, better_with_k)
    row = cell(leaderboard(ledger), "gdkd tuned")
    assert (row.varied, row.values) == ({"k": 3, "kl": "forward"}, {0: 70.0})


def test_trials_that_were_given_up_are_counted_with_the_finding(ledger: Ledger) -> None:
    plan = searched_plan(search={"trials": 6, "sampler": "grid", "pruner": "asha"})
    play(ledger, plan, lambda slot: 95.0 - better_with_k(slot))
    board = leaderboard(ledger)
    pruned = len({event.trial for event in ledger.events("pruned")})
    assert pruned > 1
    assert board.states["pruned"] == pruned
    assert cell(board, "gdkd tuned").tuned == f"k=2 kl=forward, the best of 6 ({pruned} pruned)"
    assert f"{pruned} pruned" in said(board)


@pytest.mark.parametrize(
    ("trials", "missing"),
    [
        (0, {"to try": 6}),
        (2, {"to try": 4}),
        (6 + 3, {"waiting": 2}),
        (6 + 3 + 1, {"waiting": 1}),
    ],
)
def test_a_search_that_goes_on_has_a_row_that_says_so(ledger: Ledger, trials: int, missing: dict[str, int]) -> None:
    play(ledger, searched_plan(), better_with_k, trials=trials)
    board = leaderboard(ledger)
    row = cell(board, "gdkd tuned")
    assert row.missing == missing
    assert row.values == {seed: 74.5 + seed for seed in range(1, trials - 8)}
    assert row.shown() == ("75.50 (1)" if trials == 10 else "–")
    assert bool(row.tuned) == (trials >= 6)
    assert board.findings == ([f"gdkd tuned, resnet20→resnet8: {row.tuned}"] if row.tuned else [])
    for how in Format:
        assert "gdkd tuned" in render(board, how)


def test_a_search_whose_last_trials_run_has_nothing_left_to_try(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k, side_by_side=4, trials=3)
    assert cell(leaderboard(ledger), "gdkd tuned").missing == {"searching": 1}


def test_a_baseline_may_be_a_tuned_row(ledger: Ledger) -> None:
    play(ledger, searched_plan(methods=[GDKD, "kd"], baseline="gdkd"), better_with_k)
    board = leaderboard(ledger)
    assert board.baseline == "gdkd tuned"
    assert cell(board, "kd").delta == pytest.approx(5.5)
    assert cell(board, "gdkd tuned").delta is None


def test_a_larger_search_changes_the_row_and_keeps_what_was_found_until_then(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k)
    larger = searched_plan(search=SEARCHED["search"] | {"trials": 8})
    before = ledger.count()
    done = play(ledger, larger, better_with_k)
    assert [job.slot.label for job in done] == [
        "gdkd k=5 kl=forward",
        "gdkd k=5 kl=both",
        "gdkd tuned",
        "gdkd tuned",
    ]
    assert ledger.count() > before
    row = cell(leaderboard(ledger), "gdkd tuned")
    assert (row.tuned, row.values) == ("k=5 kl=both, the best of 8", {1: 76.5, 2: 77.5})
