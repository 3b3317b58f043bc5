"""Two methods beside each other."""

from __future__ import annotations

import pytest
from scipy import stats

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.comparison import compare, records, text
from sweep.results.statistics import interval, paired_t
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


def test_each_pair_has_the_difference_its_interval_and_the_paired_test(board: Leaderboard) -> None:
    first, second = compare(board, "dhkd α=0.5", "kd")
    assert [first.pair, second.pair] == PAIRS
    assert (first.seeds, second.seeds) == (4, 3)
    for found, n in ((first, 4), (second, 3)):
        tested = stats.ttest_rel(DHKD[:n], KD[:n])
        ends = tested.confidence_interval(0.95)
        assert found.difference == pytest.approx(sum(DHKD[:n]) / n - sum(KD[:n]) / n)
        assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
        assert found.p == pytest.approx(tested.pvalue)
    smaller, larger = sorted([first, second], key=lambda one: one.p or 0.0)
    assert smaller.p_corrected == pytest.approx(2 * (smaller.p or 0))
    assert larger.p_corrected == pytest.approx(max(larger.p or 0, 2 * (smaller.p or 0)))


def test_the_other_way_round_only_the_signs_differ(board: Leaderboard) -> None:
    for ours, theirs in zip(compare(board, "kd", "scratch"), compare(board, "scratch", "kd"), strict=True):
        assert ours.difference == -(theirs.difference or 0)
        assert (ours.low, ours.high) == (-(theirs.high or 0), -(theirs.low or 0))
        assert (ours.p, ours.ours) == (theirs.p, theirs.theirs)


def test_what_cannot_be_tested_has_no_interval(board: Leaderboard) -> None:
    (equal, _) = compare(board, "dhkd α=1", "kd")
    assert (equal.difference, equal.low, equal.p, equal.p_corrected, equal.seeds) == (0.0, None, None, None, 4)
    assert "[" not in text("dhkd α=1", "kd", [equal])


def test_an_interval_misses_zero_where_the_test_rejects() -> None:
    """At each level: they are the same test."""
    differences = [1.0, 2.0, 1.5, 0.5]
    p = paired_t(differences)
    assert p is not None
    for level, excludes in ((p * 1.001, True), (p * 0.999, False)):
        ends = interval(differences, level)
        assert ends is not None
        assert (ends[0] > 0) == excludes
    assert interval([1.0, 2.0]) is None
    assert interval([1.0, 1.0, 1.0]) is None


def test_it_prints_and_is_flat_records(board: Leaderboard) -> None:
    found = compare(board, "dhkd α=0.5", "kd")
    shown = text("dhkd α=0.5", "kd", found)
    assert f"+{found[0].difference:.2f}" in shown
    assert "dhkd α=0.5 − kd" in shown
    assert [record["pair"] for record in records(found)] == PAIRS


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
