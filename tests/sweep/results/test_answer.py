"""The answer in one sentence."""

from __future__ import annotations

from dataclasses import replace

from sweep.results.answer import answer, remarks
from sweep.results.comparison import OVER_PAIRS, Difference

BETTER = Difference(
    mine="mykd",
    against="kd",
    recipe="r",
    pair="a→b",
    seeds=5,
    ours=80.42,
    theirs=80.0,
    difference=0.42,
    low=0.21,
    high=0.63,
    p=0.003,
    p_corrected=0.003,
    p_table=0.02,
    more_seeds=0,
    missing="",
)
SAME = replace(BETTER, difference=0.11, low=-0.12, high=0.34, p=0.31, p_corrected=0.31, p_table=0.9, more_seeds=14)
WORSE = replace(BETTER, difference=-0.42, low=-0.63, high=-0.21)
UNTESTED = replace(BETTER, low=None, high=None, p=None, p_corrected=None, p_table=None, seeds=2, more_seeds=1)
OVER = replace(BETTER, pair=OVER_PAIRS, seeds=3, more_seeds=0)


def test_of_one_pair_it_says_which_is_better_by_how_much_and_how_sure() -> None:
    assert answer([BETTER]) == "mykd is better than kd by 0.42 points (95 % CI 0.21 … 0.63, corrected p = 0.003)."
    assert answer([WORSE]) == "mykd is worse than kd by 0.42 points (95 % CI 0.21 … 0.63, corrected p = 0.003)."
    assert answer([replace(BETTER, p_corrected=1e-9)]).endswith("corrected p < 0.0001).")


def test_what_is_not_told_apart_comes_with_the_seeds_that_would_show_it() -> None:
    assert answer([SAME]) == (
        "mykd is not told apart from kd: +0.11 points (95 % CI −0.12 … 0.34, corrected p = 0.31; 14 more seeds would"
        " show a difference of this size with a power of 80 %)."
    )
    assert "not even 1000 seeds would show" in answer([replace(SAME, more_seeds=None)])


def test_of_several_pairs_it_counts_those_under_which_it_shows() -> None:
    told = answer([BETTER, SAME, replace(BETTER, pair="c→d"), OVER])
    assert told == (
        "mykd is better than kd by 0.42 points over 3 pairs (95 % CI 0.21 … 0.63, corrected p = 0.003), better"
        " under 2 of 3 pairs."
    )
    untested = replace(UNTESTED, pair=OVER_PAIRS, difference=0.3)
    assert answer([BETTER, WORSE, untested]) == (
        "mykd against kd is better under 1, worse under 1 of 2 pairs, mean difference +0.30 points."
    )
    assert answer([SAME, SAME, untested]).startswith("mykd is not told apart from kd under any of 2 pairs")
    assert answer([UNTESTED, UNTESTED, untested]).startswith("mykd is not tested against kd under any of 2 pairs")


def test_each_that_it_is_compared_with_has_a_clause() -> None:
    told = answer([BETTER, replace(SAME, against="dkd")])
    assert told.index("better than kd by") < told.index("; mykd is not told apart from dkd: ")


def test_without_a_common_seed_there_is_nothing_to_say() -> None:
    nothing = replace(UNTESTED, seeds=0, ours=None, theirs=None, difference=None, more_seeds=3)
    assert answer([nothing]) == "mykd and kd have no seed in common under a→b."


def test_where_the_leaderboard_says_otherwise_that_is_said() -> None:
    assert len(remarks([BETTER, SAME])) == 1
    (_, other) = remarks([replace(BETTER, p_table=0.08)])
    assert other == (
        "The leaderboard corrects for all its rows and says otherwise of mykd against kd, a→b: p = 0.08 there."
    )
