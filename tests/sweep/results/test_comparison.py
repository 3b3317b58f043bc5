"""Two methods beside each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from sweep.formats import Format
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.answer import answer, render
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.comparison import OVER_PAIRS, compare, contrasts, records
from sweep.statistics.noise import Column
from tests.support.examples import begin, record, small_spec
from trainers.errors import InputError

KD = [80.0, 82.0, 81.0, 84.0]
DHKD = [82.0, 83.5, 82.5, 87.0]
SCRATCH = [79.0, 78.0, 80.0, 80.5]
PAIRS = ["resnet20→resnet8", "resnet14→resnet8"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    pairs = ["resnet20 -> resnet8", "resnet14 -> resnet8"]
    return build_plan(small_spec(pairs=pairs, methods=["scratch", "kd", {"dhkd": {"alpha": [0.5, 1]}}], seeds=4))


@pytest.fixture
def board(ledger: Ledger, plan: Plan) -> Leaderboard:
    """Under the second pair the last seed of kd is missing."""
    begin(ledger, plan)
    for slot in plan.students:
        accs = {"scratch": SCRATCH, "kd": KD, "dhkd α=0.5": DHKD, "dhkd α=1": KD}[slot.label]
        if (slot.pair, slot.label, slot.seed) != (PAIRS[1], "kd", 3):
            record(ledger, plan, slot, [accs[slot.seed]])
    return leaderboard(ledger)


def test_each_pair_has_the_difference_its_interval_and_the_leaderboards_test(board: Leaderboard) -> None:
    first, second = compare(board, "dhkd α=0.5", "kd")
    assert [first.pair, second.pair] == PAIRS
    assert (first.seeds, second.seeds) == (4, 3)
    for found, n in ((first, 4), (second, 3)):
        rows = {row.label: row.values for row in board.rows if row.pair == found.pair}
        expected = Column(rows).against("kd", ["dhkd α=0.5"])["dhkd α=0.5"]
        assert expected is not None
        assert found.difference == pytest.approx(sum(DHKD[:n]) / n - sum(KD[:n]) / n)
        assert (found.low, found.high) == pytest.approx(expected.interval)
        assert found.p == found.p_corrected == expected.p


def test_the_other_way_round_only_the_signs_differ(board: Leaderboard) -> None:
    for ours, theirs in zip(compare(board, "kd", "scratch"), compare(board, "scratch", "kd"), strict=True):
        assert ours.difference == -(theirs.difference or 0)
        assert (ours.low, ours.high) == pytest.approx((-(theirs.high or 0), -(theirs.low or 0)))
        assert (ours.p, ours.ours) == (pytest.approx(theirs.p), theirs.theirs)
        assert ours.p_table == theirs.p_table


def test_what_cannot_be_tested_has_no_interval(board: Leaderboard) -> None:
    (equal, _) = compare(board, "dhkd α=1", "kd")
    assert (equal.difference, equal.low, equal.p, equal.p_corrected, equal.seeds) == (0.0, None, None, None, 4)
    assert equal.more_seeds is None
    assert "the differences are all equal" in answer([equal])
    assert "[" not in render(board, [equal], Format.TABLE)


def test_what_is_corrected_for_is_what_is_asked_under_each_pair(board: Leaderboard) -> None:
    """Two comparisons under each pair: the smaller p twice; the leaderboard has three under it."""
    for pair in PAIRS:
        both = [one for one in contrasts(board, "dhkd α=0.5", ["kd", "scratch"]) if one.pair == pair]
        alone = [one for name in ("kd", "scratch") for one in compare(board, "dhkd α=0.5", name) if one.pair == pair]
        assert [one.p for one in both] == [one.p for one in alone]
        assert all((two.p_corrected or 0) >= (one.p_corrected or 0) for two, one in zip(both, alone, strict=True))
        row = next(row for row in board.rows if (row.label, row.pair) == ("dhkd α=0.5", pair))
        assert [one.p_table for one in both] == [row.p_delta, None]


def test_a_comparison_with_the_baseline_beside_nothing_else_is_the_leaderboards(ledger: Ledger) -> None:
    """One row beside the baseline: the star and the comparison have one p."""
    plan = build_plan(small_spec(methods=["kd", "dhkd"], seeds=4))
    begin(ledger, plan)
    for slot in plan.students:
        record(ledger, plan, slot, [{"kd": KD, "dhkd": DHKD}[slot.method][slot.seed]])
    board = leaderboard(ledger)
    (found,) = contrasts(board, "dhkd", ["kd"])
    assert found.p_corrected == found.p_table == next(row.p_delta for row in board.rows if row.label == "dhkd")
    assert found.p_corrected == pytest.approx(stats.ttest_rel(DHKD, KD).pvalue)


def test_over_pairs_the_mean_difference_of_each_counts_once(board: Leaderboard) -> None:
    over = next(one for one in contrasts(board, "dhkd α=0.5", ["kd"]) if one.pair == OVER_PAIRS)
    first, second = compare(board, "dhkd α=0.5", "kd")
    assert over.difference == pytest.approx(((first.difference or 0) + (second.difference or 0)) / 2)
    assert (over.seeds, over.p, over.low) == (2, None, None)
    assert answer(contrasts(board, "dhkd α=0.5", ["kd"])).startswith("dhkd α=0.5 ")


def test_it_prints_and_is_flat_records(board: Leaderboard) -> None:
    found = contrasts(board, "dhkd α=0.5", ["kd"])
    shown = render(board, found, Format.TABLE)
    assert f"+{found[0].difference:.2f}" in shown
    assert shown.splitlines()[0] == answer(found)
    assert [record["pair"] for record in records(found)] == [*PAIRS, OVER_PAIRS]


def test_a_row_is_named_as_it_is_printed_too(board: Leaderboard) -> None:
    names = {"dhkd α=0.5": "DHKD (ours)", "kd": "scratch", "scratch": "nothing"}
    printed = replace(board, plan=replace(board.plan, table={"names": names}))
    assert compare(printed, "DHKD (ours)", "kd") == compare(board, "dhkd α=0.5", "kd")
    assert compare(printed, "kd", "scratch") == compare(board, "kd", "scratch")  # a label is its own row's before all
    with pytest.raises(InputError, match=r"unknown row 'DHKD'.*DHKD \(ours\)"):
        compare(printed, "DHKD", "kd")


def test_what_is_read_has_the_names_in_print_and_records_have_labels(board: Leaderboard) -> None:
    names = {"dhkd α=0.5": "DHKD (ours)", "kd": "scratch", "scratch": "nothing"}
    printed = replace(board, plan=replace(board.plan, table={"names": names}))
    found = [
        replace(one, missing="1 diverged (dhkd α=0.5), 2 failed (kd)") for one in compare(printed, "kd", "scratch")
    ]
    shown = render(printed, found, Format.MARKDOWN)
    assert shown.splitlines()[0].startswith("scratch ")
    assert "| scratch | nothing |" in shown
    assert "1 diverged (dhkd α=0.5), 2 failed (scratch)" in shown
    assert '"mine": "kd"' in render(printed, found, Format.JSON)


def test_a_row_is_named_as_a_terminal_without_greek_letters_has_it(board: Leaderboard) -> None:
    assert compare(board, "dhkd alpha=0.5", "kd") == compare(board, "dhkd α=0.5", "kd")


def test_a_row_against_itself_is_refused(board: Leaderboard) -> None:
    with pytest.raises(InputError, match="'kd' is the row of 'kd' itself"):
        contrasts(board, "kd", ["scratch", "kd"])


@pytest.mark.parametrize(
    ("ours", "says"),
    [
        ("dhkd", "'dhkd' has several rows under resnet20→resnet8; name one of them: 'dhkd α=0.5', 'dhkd α=1'"),
        ("kdd", "unknown row 'kdd'; did you mean 'kd'?"),
    ],
)
def test_a_name_without_one_row_is_refused(board: Leaderboard, ours: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        compare(board, ours, "kd")
