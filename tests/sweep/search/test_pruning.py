"""Pruning rules: who goes on, who stops, and that a replay answers the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.search.pruning import Asha, MedianStopping, NoPruner, Pruner, make_pruner

REPORTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9), st.floats(0, 100)), max_size=60)


def fresh() -> list[Pruner]:
    return [Asha(1, 3, 9), MedianStopping(1), NoPruner()]


def test_asha_keeps_the_best_third_of_each_rung() -> None:
    asha = Asha(grace=1, reduction=3, epochs=9)
    assert sorted(asha.rungs) == [1, 3]
    assert [asha.report(name, 1, value) for name, value in zip("abcdef", [50, 60, 40, 55, 70, 45], strict=True)] == [
        False,  # alone
        False,  # the best of two
        True,
        False,  # second of four
        False,
        True,
    ]
    assert not asha.report("a", 2, 0.0)  # no rung
    assert asha.stopped == {"c": 1, "f": 1}


@pytest.mark.parametrize("rule", [Asha(1, 3, 9), MedianStopping(1)], ids=["asha", "median"])
def test_nobody_loses_to_trials_that_broke(rule: Pruner) -> None:
    for name in "abcde":
        rule.report(name, 1, 90.0)
        rule.forget(name)
    assert not rule.report("sound", 1, 10.0)
    assert not rule.report("a", 1, 90.0)  # tried again, it is answered as before and counts no more
    assert not rule.report("other", 1, 11.0)


def test_asha_never_stops_the_best() -> None:
    asha = Asha(grace=1, reduction=2, epochs=16)
    for number in range(20):
        for epoch in (1, 2, 4, 8):
            assert not asha.report(f"t{number}", epoch, float(number))


def test_the_last_epoch_is_no_rung() -> None:
    assert sorted(Asha(3, 3, 27).rungs) == [3, 9]
    assert sorted(Asha(1, 2, 2).rungs) == [1]
    assert Asha(5, 3, 5).rungs == {}


def test_the_median_needs_company_and_grace() -> None:
    rule = MedianStopping(grace=2)
    for number in range(4):
        assert not rule.report(f"t{number}", 1, 50.0)
        assert not rule.report(f"t{number}", 2, 50.0 + number)
    assert not rule.report("low", 1, 10.0)
    assert rule.report("low", 2, 10.0)
    assert not rule.report("good", 2, 52.0)
    assert not rule.report("was good", 1, 90.0)
    assert not rule.report("was good", 2, 10.0)


@given(REPORTS)
def test_a_replay_answers_as_before(reports: list[tuple[str, int, float]]) -> None:
    seen: dict[tuple[str, int], float] = {}
    for key, epoch, value in reports:
        seen.setdefault((key, epoch), value)
    for first, second in zip(fresh(), fresh(), strict=True):
        answers = [first.report(key, epoch, value) for key, epoch, value in reports]
        assert answers == [first.report(key, epoch, seen[key, epoch]) for key, epoch, _ in reports]
        assert answers == [second.report(key, epoch, value) for key, epoch, value in reports]
        assert first.stopped == second.stopped


@given(REPORTS)
def test_equal_values_never_stop(reports: list[tuple[str, int, float]]) -> None:
    for rule in fresh():
        assert not any(rule.report(key, epoch, 50.0) for key, epoch, _ in reports)


@pytest.mark.parametrize(
    ("pruner", "kind"), [("asha", Asha), ("median", MedianStopping), ("none", NoPruner)], ids=lambda value: str(value)
)
def test_the_spec_names_the_rule(pruner: str, kind: type[Pruner]) -> None:
    assert type(make_pruner({"pruner": pruner, "grace": None, "reduction": 3}, 60)) is kind


def test_grace_is_a_share_of_the_epochs_unless_it_is_given() -> None:
    found = make_pruner({"pruner": "asha", "grace": None, "reduction": 3}, 60)
    given = make_pruner({"pruner": "asha", "grace": 10, "reduction": 3}, 60)
    assert isinstance(found, Asha)
    assert isinstance(given, Asha)
    assert (sorted(found.rungs), sorted(given.rungs)) == ([6, 18, 54], [10, 30])
