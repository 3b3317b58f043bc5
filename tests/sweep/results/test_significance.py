"""Who is best, who is tied, and when nothing can be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from scipy.stats import ttest_rel

from sweep.results import significance
from sweep.results.metrics import METRICS
from sweep.results.rows import Row
from sweep.results.significance import common_seeds, judged, overall, standings, untested_ties
from sweep.search.suggest import DIRECTIONS
from sweep.statistics.noise import Column
from sweep.statistics.paired import shows


def row(label: str, values: Sequence[float] | Mapping[int, float], pair: str = "a→b", recipe: str = "r") -> Row:
    by_seed = dict(values) if isinstance(values, Mapping) else dict(enumerate(values))
    known: dict[str, Any] = {"varied": {}, "values": by_seed, "best": by_seed, "last": by_seed}
    return Row(recipe=recipe, pair=pair, method=label, label=label, delta=None, missing={}, **known)


CLEAR = {"a": [90.0, 90.5, 91.0, 90.2], "b": [80.0, 80.6, 81.1, 80.1], "c": [70.0, 70.4, 71.2, 70.3]}
CLOSE = {"a": [90.0, 90.5, 91.0, 90.2], "b": [90.3, 90.1, 90.6, 90.5], "c": [70.0, 70.4, 71.2, 70.3]}


def by_seed(values: Mapping[str, Sequence[float]]) -> dict[str, dict[int, float]]:
    return {name: dict(enumerate(some)) for name, some in values.items()}


def stood(values: Mapping[str, Sequence[float]]) -> dict[str, str]:
    return {name: verdict.standing for name, verdict in standings(by_seed(values)).items()}


def test_the_best_is_marked_where_every_other_row_is_shown_to_be_worse() -> None:
    assert stood(CLEAR) == {"a": "best", "b": "worse", "c": "worse"}


def test_a_highest_mean_that_is_matched_is_tied_and_so_is_what_matches_it() -> None:
    assert stood(CLOSE) == {"a": "tied", "b": "tied", "c": "worse"}


def test_p_values_are_those_of_the_columns_noise_corrected_for_all_its_pairs_of_rows() -> None:
    """Three rows are three pairs: the smaller p times 2 times 3/2, the larger times 3/2."""
    verdicts = standings(by_seed(CLEAR))
    raw = Column(by_seed(CLEAR)).against("a", "bc")
    b, c = (one for one in raw.values() if one is not None)
    low, high = sorted([b.p_common, c.p_common])
    expected = {low: 3 * low, high: max(3 * low, 1.5 * high)}
    assert verdicts["b"].p == pytest.approx(max(expected[b.p_common], b.p_own))
    assert verdicts["c"].p == pytest.approx(max(expected[c.p_common], c.p_own))
    assert verdicts["a"].p is None


def test_where_the_highest_mean_is_the_baseline_the_two_families_say_the_same() -> None:
    for values in (CLEAR, CLOSE):
        rows = {one.label: one for one in judged([row(name, some) for name, some in values.items()], "a")}
        if values is CLEAR:
            assert {name: one.p_best for name, one in rows.items()} == {name: one.p_delta for name, one in rows.items()}
        assert all(one.standing == "worse" for one in rows.values() if (one.p_best or 1.0) < 0.05)


def test_a_baseline_that_the_highest_row_is_shown_to_beat_is_not_tied_with_it() -> None:
    """The choice among all pairs of rows costs more than the planned comparison; the marks must not contradict it."""
    base = [0.0, 1.5, 0.7]
    shifts = {"kd": (0, 0, 0), "top": (5.5, 4.5, 5.9), "a": (4.5, 5.3, 3.9), "b": (4.0, 3.2, 5.0), "c": (4.2, 5.0, 3.4)}
    values = {name: [60 + b + s for b, s in zip(base, some, strict=True)] for name, some in shifts.items()}
    rows = {one.label: one for one in judged([row(name, some) for name, some in values.items()], "kd")}
    alone = standings(by_seed(values), "kd")["kd"]
    assert alone.standing == "tied"
    assert shows(rows["top"].p_delta)
    assert rows["kd"].standing == "worse"
    assert rows["kd"].p_best == rows["top"].p_delta
    assert {rows[name].standing for name in ("top", "a", "b", "c")} == {"tied"}


def test_a_row_that_is_dropped_costs_no_other_its_star() -> None:
    """Of rows that are as noisy as each other, and of one gone wild: fewer comparisons, the same noise."""
    values = {
        name: [70.0 + s + shift for s, shift in zip((0, 1.5, 0.7), some, strict=True)] for name, some in DRAWN.items()
    }
    starred = {one.label for one in judged([row(n, some) for n, some in values.items()], "kd") if shows(one.p_delta)}
    assert starred == {"mine", "worst"}
    for dropped in values.keys() - {"kd", "mine", "worst"}:
        fewer = [row(name, some) for name, some in values.items() if name != dropped]
        assert {one.label for one in judged(fewer, "kd") if shows(one.p_delta)} == starred


DRAWN = {
    "kd": [0.0, 0.1, -0.1],
    "a": [0.1, 0.0, 0.2],
    "b": [-0.1, 0.1, 0.1],
    "mine": [1.1, 1.0, 1.2],
    "worst": [-2.0, -2.1, -1.8],
    "wild": [-30.0, 5.0, -12.0],
}
"""What rows differ by from their seeds."""


def test_noise_of_one_row_hides_no_difference_of_two_others() -> None:
    """A noisy row far below is no tie of the others, and they are told apart as if it were not there."""
    values = {name: [70.0 + shift for shift in some] for name, some in DRAWN.items()}
    rows = {one.label: one for one in judged([row(name, some) for name, some in values.items()], "kd")}
    assert (rows["mine"].standing, rows["worst"].standing, rows["kd"].standing) == ("tied", "worse", "worse")


def test_the_correction_counts_the_columns_comparisons() -> None:
    """One comparison shows a difference that does not survive among forty."""
    a, b = [90.0, 91.0, 92.0], [89.0, 89.5, 91.3]
    alone = ttest_rel(a, b).pvalue
    assert 0.05 / 40 < alone < 0.05
    assert stood({"a": a, "b": b}) == {"a": "best", "b": "worse"}
    noise = {f"n{k}": [a[0] - 0.1 - k * 0.01, a[1] + 1, a[2] - 1.5] for k in range(39)}
    assert stood({"a": a, "b": b} | noise)["b"] == "tied"


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_fewer_than_three_common_seeds_nobody_stands_out(seeds: int) -> None:
    assert set(stood({name: some[:seeds] for name, some in CLEAR.items()}).values()) == {""}


def test_a_row_with_too_few_common_seeds_counts_as_tied_beside_tested_ones() -> None:
    values = by_seed(CLEAR)
    values["b"] = {0: 80.0, 9: 80.0}
    verdicts = standings(values)
    assert (verdicts["a"].standing, verdicts["b"].standing, verdicts["c"].standing) == ("tied", "tied", "worse")
    assert verdicts["b"].p is None


def test_one_lucky_seed_at_the_top_keeps_nothing_from_being_tested() -> None:
    """It is tied for want of a test, and so is the best of the others: nothing shows that it is better."""
    verdicts = standings(by_seed(CLEAR) | {"lucky": {0: 99.0}})
    assert {name: verdict.standing for name, verdict in verdicts.items()} == {
        "a": "tied",
        "b": "worse",
        "c": "worse",
        "lucky": "tied",
    }
    assert [name for name, verdict in verdicts.items() if verdict.p is None] == ["a", "lucky"]
    rows = judged([row(name, some) for name, some in CLEAR.items()] + [row("lucky", {0: 99.0})], None)
    assert [one.label for one in untested_ties(rows)] == ["lucky"]
    assert common_seeds(rows) == 4


def test_three_common_seeds_are_enough_to_be_tested_against() -> None:
    values = by_seed({name: some[:3] for name, some in CLEAR.items()})
    verdicts = standings(values | {"lucky": {0: 99.0}})
    assert [name for name, verdict in verdicts.items() if verdict.p is None] == ["a", "lucky"]


def test_rows_of_other_seeds_are_tested_among_themselves() -> None:
    """The highest mean has as many seeds as the others, and none in common with them."""
    elsewhere = {seed + 10: 99.0 + seed / 10 for seed in range(4)}
    verdicts = standings(by_seed(CLEAR) | {"elsewhere": elsewhere})
    assert {name: verdict.standing for name, verdict in verdicts.items()} == {
        "a": "tied",
        "b": "worse",
        "c": "worse",
        "elsewhere": "tied",
    }


def test_a_row_that_is_better_in_every_common_seed_is_not_worse() -> None:
    """The other's highest mean comes of a seed that this one lacks."""
    values = {
        "kd": {0: 76.0, 1: 73.0, 2: 73.1, 3: 72.9, 4: 73.05},
        "tuned": {1: 73.30, 2: 73.42, 3: 73.18, 4: 73.36},
    }
    verdicts = standings(values)
    assert {name: verdict.standing for name, verdict in verdicts.items()} == {"kd": "tied", "tuned": "tied"}


def test_equal_differences_are_no_evidence() -> None:
    assert set(stood({"a": [90.0, 91.0, 92.0], "b": [89.0, 90.0, 91.0]}).values()) == {""}


def test_a_row_alone_is_not_the_best_of_anything() -> None:
    assert stood({"a": [90.0, 91.0, 92.5]}) == {"a": ""}
    assert standings({}) == {}


def test_columns_and_recipes_are_judged_apart() -> None:
    rows = [row(name, some) for name, some in CLEAR.items()]
    rows += [row(name, some, pair="c→d") for name, some in CLOSE.items()]
    rows += [row(name, some[::-1], recipe="other") for name, some in reversed(CLEAR.items())]
    found = {(one.recipe, one.pair, one.label): one.standing for one in judged(rows, "b")}
    assert found["r", "a→b", "a"] == found["other", "a→b", "a"] == "best"
    assert found["r", "c→d", "a"] == "tied"


def test_differences_to_the_baseline_have_p_values_of_their_own() -> None:
    found = {one.label: one for one in judged([row(name, some) for name, some in CLOSE.items()], "b")}
    raw = {name: one for name, one in Column(by_seed(CLOSE)).against("b", "ac").items() if one is not None}
    assert found["b"].p_delta is None
    assert found["c"].p_delta == pytest.approx(max(2 * raw["c"].p_common, raw["c"].p_own))
    assert found["a"].p_delta == pytest.approx(max(2 * raw["c"].p_common, raw["a"].p_common, raw["a"].p_own))
    assert all(one.p_delta is None for one in judged([row(name, some) for name, some in CLOSE.items()], None))


def test_a_row_without_numbers_is_left_alone() -> None:
    empty = row("d", {})
    rows = judged([*(row(name, some) for name, some in CLEAR.items()), empty], "a")
    assert rows[-1] == empty
    assert rows[0].standing == "best"


# -- over all pairs -----------------------------------------------------------------------------------------------

MEANS = {"a": [90.0, 80.0, 70.0, 60.0], "b": [88.0, 77.5, 68.1, 57.2], "c": [80.0, 85.0, 60.0, 64.0]}
"""Of each row, a mean under each of four pairs."""


def over_pairs(means: Mapping[str, Sequence[float]]) -> list[Row]:
    spread = (-0.5, 0.0, 0.5)
    return [
        row(name, [value + s for s in spread], pair=f"t{k}→s")
        for name, some in means.items()
        for k, value in enumerate(some)
    ]


def test_rows_are_tested_over_their_mean_differences_under_each_pair() -> None:
    found = {name: one for (_, name), one in overall(over_pairs(MEANS), "b").items()}
    assert {name: one.mean for name, one in found.items()} == pytest.approx({"a": 75.0, "b": 72.7, "c": 72.25})
    column = Column({name: dict(enumerate(some)) for name, some in MEANS.items()})
    raw = {name: one for name, one in column.against("a", "bc").items() if one is not None}
    b, c = raw["b"].p_common, raw["c"].p_common
    assert b < c
    assert found["c"].verdict.p == pytest.approx(max(3 * b, 1.5 * c, raw["c"].p_own))
    planned = {name: one for name, one in column.against("b", "ac").items() if one is not None}
    assert found["a"].p_delta == pytest.approx(max(2 * planned["a"].p_common, planned["a"].p_own))
    assert found["b"].verdict.p == found["a"].p_delta
    assert found["b"].p_delta is None
    assert found["a"].delta == pytest.approx(2.3)
    assert found["b"].delta is None


def test_every_pair_weighs_the_same_however_many_seeds_it_has() -> None:
    """Of a: 90 and 60, not the mean of its six trials, 85; of its differences to b over common seeds: 2 and 8."""
    rows = [
        row("a", [89.0, 90.0, 91.0, 90.0, 90.0], pair="t0→s"),
        row("a", {3: 60.0}, pair="t1→s"),
        row("b", {1: 88.0, 2: 89.0, 7: 99.0}, pair="t0→s"),
        row("b", {3: 52.0, 4: 54.0}, pair="t1→s"),
    ]
    found = {name: one for (_, name), one in overall(rows, "b").items()}
    assert {name: one.mean for name, one in found.items()} == pytest.approx({"a": 75.0, "b": (92.0 + 53.0) / 2})
    assert found["a"].delta == pytest.approx((2.0 + 8.0) / 2)


def test_a_row_that_lacks_a_pair_has_no_mean() -> None:
    rows = over_pairs(MEANS)
    assert {name for _, name in overall(rows[:-1], "b")} == {"a", "b"}


def test_one_pair_has_no_mean_and_two_are_not_tested() -> None:
    assert overall([row(name, some) for name, some in CLEAR.items()], "a") == {}
    two = overall(over_pairs({name: some[:2] for name, some in MEANS.items()}), "a")
    assert {one.verdict.standing for one in two.values()} == {""}


def test_ties_that_were_tested_are_told_from_those_that_were_not() -> None:
    few = judged([row(name, values) for name, values in (CLOSE | {"d": [90.4, 90.3]}).items()], None)
    assert [one.label for one in few if one.standing == "tied"] == ["a", "b", "d"]
    assert [one.label for one in untested_ties(few)] == ["d"]
    assert [one.label for one in untested_ties(judged([row(name, some) for name, some in CLEAR.items()], None))] == []
    assert untested_ties([row("a", [])]) == []


def test_a_column_is_testable_where_some_row_shares_enough_seeds_with_its_highest_mean() -> None:
    top, many, one = row("a", [90.0, 91.0, 92.0, 93.0]), row("b", [80.0, 81.0, 82.0]), row("c", {0: 70.0, 9: 71.0})
    assert (common_seeds([many, top, one]), significance.testable([many, top, one])) == (3, True)
    assert (common_seeds([top, one]), significance.testable([top, one])) == (1, False)
    assert (common_seeds([top]), common_seeds([])) == (0, 0)


def test_every_metric_of_a_search_has_its_words() -> None:
    assert METRICS.keys() == DIRECTIONS.keys()
