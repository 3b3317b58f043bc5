"""The words under the table."""

from __future__ import annotations

import pytest

from sweep.ledger.bodies import start_body, taught_elsewhere
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import leaderboard
from sweep.results.caption import caption
from sweep.results.grid import layout
from sweep.results.notes import notes
from tests.support.boards import (
    BEHIND,
    MATCHED,
    better_with_k,
    cell,
    of_three_seeds,
    said,
    searched_plan,
    tell,
    three_epochs,
)
from tests.support.examples import begin, play, record, slot_of, small_spec


def test_the_papers_protocol_shows_the_best_test_epoch_and_says_so(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"], seeds=1, protocol="paper"))
    kd = three_epochs(ledger, plan, paper=True)
    assert (kd.values, kd.best, kd.last) == ({0: 95.0}, {0: 95.0}, {0: 92.0})
    assert "best epoch on the test set, as the papers report it:" in said(leaderboard(ledger))


def test_the_caption_says_what_is_shown_against_what(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    board = leaderboard(ledger)
    assert caption(board) == (
        "Top-1 test accuracy in %, last epoch: mean ± standard deviation (number of seeds); Δ: mean difference to kd"
        " over common seeds. Nothing can be told apart: a paired test needs 3 common seeds, there are 2."
    )
    assert notes(board) == ["Every configuration of the spec is shown; none was selected.", "Trials: 9 finished."]


@pytest.mark.parametrize("more", [BEHIND, MATCHED])
def test_the_caption_is_two_sentences_and_tells_the_marks_that_are_there(
    ledger: Ledger, more: dict[str, list[float]]
) -> None:
    board = of_three_seeds(ledger, more)
    numbers, marks = caption(board).split(". ")
    assert numbers.startswith("Top-1 test accuracy in %")
    text = str(layout(board))
    assert ("Bold: the best of its column" in marks) == ("bold=True" in text)
    assert ("†: the highest mean where it is not alone" in marks) == ("†" in text)
    assert ("*: a Δ that is told apart from 0" in marks) == ("*" in text) is True
    assert "Holm" not in caption(board)
    assert any("Holm's correction over the rows for Δ, and over all pairs of rows" in note for note in notes(board))


def test_rows_of_several_releases_are_named_with_what_differs(ledger: Ledger) -> None:
    plan = build_plan(small_spec(seeds=3, methods=["scratch", "kd", "dhkd"]))
    begin(ledger, plan)
    torch = {"scratch": ["2.11", "2.11", "2.11"], "kd": ["2.11", "2.15", "2.15"], "dhkd": ["2.15", "", "2.15"]}
    for slot in plan.students:
        release = torch[slot.method][slot.seed]
        made_with = {"kd-sweep": "0.1.0", "torch": release} if release else {}
        record(ledger, plan, slot, [90.0 + slot.seed], made_with=made_with)
    board = leaderboard(ledger)
    assert cell(board, "scratch").made_with == ()
    assert cell(board, "kd").made_with == ("torch 2.11", "torch 2.15")
    why = "resnet20→resnet8: kd-sweep 0.1.0, torch 2.15 and kd-sweep not noted, torch not noted."
    assert f"kd, resnet20→resnet8: torch 2.11 and torch 2.15; dhkd, {why}" in said(board)


def test_what_a_passport_alone_tells_of_mixes_no_releases(ledger: Ledger) -> None:
    """The teacher that is a row's student too, of its recipe and seed, may have been trained by another sweep."""
    plan = build_plan(small_spec(pairs=["resnet8 -> resnet8"], seeds=2, methods=["scratch", "kd"]))
    begin(ledger, plan)
    teacher, *_ = plan.slots
    passport = {"epoch": 3, "val_acc": 79.0, "test_acc": 81.0}
    ledger.append("start", teacher.id, body=start_body(teacher, teacher.trial()))
    ledger.append("final", teacher.id, body=taught_elsewhere(passport, {"architecture": "resnet8", "hash": "0" * 16}))
    record(ledger, plan, slot_of(plan, "scratch", seed=1), [80.0], made_with={"torch": "2.15"})
    scratch = cell(leaderboard(ledger), "scratch", "resnet8→resnet8")
    assert scratch.values == {0: 81.0, 1: 80.0}
    assert scratch.made_with == ()


def test_a_tie_for_want_of_a_test_is_counted(ledger: Ledger) -> None:
    board = of_three_seeds(ledger, {"dhkd α=1": [91.1, 91.6]})
    assert cell(board, "dhkd α=1").standing == "tied"
    assert "1 † for want of a test: fewer than 3 common seeds, or differences all equal." in said(board)


def test_equal_differences_are_told_from_too_few_seeds(ledger: Ledger) -> None:
    plan = build_plan(small_spec(seeds=3, methods=["scratch", "kd"]))
    tell(ledger, plan, {(n, s): a + s for n, a in (("scratch", 80.0), ("kd", 90.0)) for s in range(3)})
    assert "the differences are the same in every seed" in said(leaderboard(ledger))


def test_columns_without_enough_seeds_are_named_beside_others(ledger: Ledger) -> None:
    pairs = ["resnet20 -> resnet8", "resnet14 -> resnet32"]
    plan = build_plan(small_spec(seeds=3, methods=["kd", "dhkd"], pairs=pairs))
    begin(ledger, plan)
    for slot in plan.students:
        if slot.pair == "resnet20→resnet8" or slot.seed < 2:
            record(ledger, plan, slot, [{"kd": [90.0, 90.6, 90.9], "dhkd": [93.0, 93.8, 93.7]}[slot.method][slot.seed]])
    board = leaderboard(ledger)
    why = "Nothing can be told apart under resnet14→resnet32: a paired test needs 3 common seeds, there are 2."
    assert why in said(board)
    assert [c.standing for c in board.rows if c.pair == "resnet20→resnet8"] == ["worse", "best"]


def test_the_caption_tells_the_budgets_that_finite_spaces_leave(ledger: Ledger) -> None:
    methods = [{"gdkd": {"k": {"choice": [2, 3]}}}, {"dhkd": {"alpha": {"choice": [0.5, 1, 2]}}}]
    plan = build_plan(small_spec(methods=methods, search={"trials": 20, "sampler": "grid", "pruner": "none"}))
    play(ledger, plan, lambda slot: 80.0 + slot.seed + sum(slot.varied.values()))
    board = leaderboard(ledger)
    assert "the best of 2 to 3 configurations (grid, seed 0)" in said(board)
    assert [(c.label, c.budget) for c in board.rows] == [("gdkd tuned", 2), ("dhkd tuned", 3)]


def test_the_caption_says_what_was_searched_and_by_what(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k)
    assert (
        "Tuned rows: in each cell the best of 6 configurations (grid, seed 0) by validation accuracy after the last"
        " epoch, run again with the other seeds, of which alone these rows are made (seed 0 chose them); every other"
        " row is shown as the spec has it."
    ) in said(leaderboard(ledger))
    assert "none was selected" not in said(leaderboard(ledger))


def test_the_caption_says_which_sampler_has_suggested_what(ledger: Ledger) -> None:
    """A spec's sampler was changed while its search went on."""

    def plan(sampler: str, trials: int) -> Plan:
        return searched_plan(search={"trials": trials, "sampler": sampler, "pruner": "none"}, seeds=1)

    play(ledger, plan("random", 3), better_with_k)
    assert "of 3 configurations (random, seed 0)" in said(leaderboard(ledger))
    play(ledger, plan("qmc", 5), better_with_k)
    assert "of 5 configurations (3 by random, 2 by qmc, seed 0)" in said(leaderboard(ledger))
    play(ledger, plan("random", 6), better_with_k)
    assert "of 6 configurations (4 by random, 2 by qmc, seed 0)" in said(leaderboard(ledger))


def test_where_one_seed_chose_and_is_shown_the_caption_says_that_it_flatters(ledger: Ledger) -> None:
    play(ledger, searched_plan(seeds=[5]), better_with_k)
    board = leaderboard(ledger)
    assert set(cell(board, "gdkd tuned").values) == {5}
    assert "shown with the seed that it was chosen by (5), which flatters it; every other row" in said(board)


def test_the_papers_protocol_chooses_by_test_accuracy_and_says_so(ledger: Ledger) -> None:
    plan = searched_plan(protocol="paper", seeds=[4, 7])
    play(ledger, plan, better_with_k)
    board = leaderboard(ledger)
    assert cell(board, "gdkd tuned").values == {7: 81.5}
    assert "best epoch on the test set, as the papers report it" in said(board)
    assert "(grid, seed 4) by best test accuracy, as protocol 'paper' allows, run again" in said(board)
