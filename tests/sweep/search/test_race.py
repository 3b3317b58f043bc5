"""The race of a search's best: who is given up, when it ends, and that only numbers decide."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.schema import FIRST_RACE_SEED
from sweep.plan.slots import SearchedCell
from sweep.search.history import Chosen
from sweep.search.race import Numbers, Place, Race, race, races

CELL = SearchedCell("0" * 8, "a→b", "gdkd", "gdkd tuned", {}, "digits", (0, 1), {}, {}, {"race": 5, "confirm": 4})
FOUR = [Chosen(number, {"k": number}, (90.0 - number,)) for number in (7, 3, 5, 1)]
"""As a search ranks them."""
SEEDS = range(FIRST_RACE_SEED, FIRST_RACE_SEED + 5)
NOISE = {7: [0.1, -0.1, 0.2, 0.0, -0.2], 3: [-0.1, 0.2, 0.0, -0.2, 0.1], 5: [0.2, 0.0, -0.2, 0.1, -0.1], 1: [0.0] * 5}


def numbers(means: dict[int, float], seeds: int = 5) -> dict[Place, float | None]:
    """Of each its mean and some noise, with what all share of a seed."""
    return {
        (number, seed): mean + NOISE[number][place] + 5.0 * place
        for number, mean in means.items()
        for place, seed in enumerate(SEEDS[:seeds])
    }


def raced(some: Numbers, most: int = 5) -> Race:
    return race(replace(CELL, search={"race": most, "confirm": 4}), FOUR, some)


def left(one: Race) -> list[int]:
    return [chosen.number for chosen in one.left]


def test_only_several_race_and_only_where_the_spec_asks_for_it() -> None:
    assert races(CELL, FOUR)
    assert not races(CELL, FOUR[:1])
    assert not races(replace(CELL, search={"confirm": 4}), FOUR)


def test_all_begin_with_the_first_seed() -> None:
    start = raced({})
    assert start.waits == start.asked == tuple((number, SEEDS[0]) for number in (7, 3, 5, 1))
    assert (left(start), start.seeds, start.winner.number) == ([7, 3, 5, 1], 1, 7)


def test_the_next_seed_waits_for_the_whole_of_the_one_before() -> None:
    some = numbers({7: 80.0, 3: 80.0, 5: 80.0, 1: 80.0}, seeds=2)
    assert {seed for _, seed in raced(some).waits} == {SEEDS[2]}
    del some[3, SEEDS[1]]
    assert raced(some).waits == ((3, SEEDS[1]),)
    del some[1, SEEDS[0]]
    assert raced(some).waits == ((1, SEEDS[0]),)


def test_one_that_is_shown_to_be_worse_gets_no_more_from_the_third_seed_on() -> None:
    means = {7: 80.0, 3: 80.3, 5: 60.0, 1: 80.1}
    assert raced(numbers(means, seeds=2)).fallen == ()
    third = raced(numbers(means, seeds=3))
    (fallen,) = third.fallen
    assert (fallen.chosen.number, fallen.seeds) == (5, 3)
    assert fallen.p is not None
    assert fallen.p < 0.05
    assert fallen.difference == pytest.approx(-20.333, abs=0.001)
    assert third.waits == tuple((number, SEEDS[3]) for number in (7, 3, 1))
    end = raced(numbers(means))
    assert (end.waits, end.seeds, len(end.asked), end.saved) == ((), 5, 3 * 4 + 2 * 3, 2)
    assert left(end) == [3, 1, 7]
    assert end.winner.number == 3
    assert end.means[3] == pytest.approx(80.3 + 10.0)


def test_it_ends_with_the_last_but_one_that_is_given_up() -> None:
    end = raced(numbers({7: 60.0, 3: 80.0, 5: 61.0, 1: 62.0}))
    assert (left(end), end.waits, end.seeds, end.saved) == ([3], (), 3, 20 - 12)
    assert {one.chosen.number for one in end.fallen} == {7, 5, 1}


def test_equals_are_not_told_apart_and_the_searchs_better_one_leads() -> None:
    end = raced({(number, seed): 80.0 for number in (7, 3, 5, 1) for seed in SEEDS})
    assert (left(end), end.saved, end.fallen) == ([7, 3, 5, 1], 0, ())


def test_one_without_a_number_is_out_of_it() -> None:
    some = numbers({7: 80.0, 3: 80.3, 5: 80.2, 1: 80.1}) | {(3, SEEDS[1]): None}
    end = raced(some)
    assert [(one.chosen.number, one.seeds, one.p) for one in end.fallen] == [(3, 2, None)]
    assert left(end) == [5, 1, 7]
    assert (3, SEEDS[2]) not in end.asked


def test_where_all_break_off_the_searchs_best_has_won() -> None:
    end = raced({(number, SEEDS[0]): None for number in (7, 3, 5, 1)})
    assert (end.left, end.waits, end.winner.number) == ((), (), 7)


def test_a_longer_race_goes_on_from_a_shorter_one() -> None:
    some = numbers({7: 80.0, 3: 80.3, 5: 80.2, 1: 80.1}, seeds=3)
    assert raced(some, most=3).waits == ()
    assert raced(some, most=4).asked[:12] == raced(some, most=3).asked
    assert {seed for _, seed in raced(some, most=4).waits} == {SEEDS[3]}


@given(seed=st.integers(0, 2**32))
def test_the_order_in_which_trials_end_decides_nothing(seed: int) -> None:
    chance = random.Random(seed)
    all_of_it = {(one.number, at): chance.gauss(0, 1) - 3 * (one.number == 5) for one in FOUR for at in SEEDS}
    known: dict[Place, float | None] = {}
    now = raced(known)
    while now.waits:
        place = chance.choice(now.waits)
        known[place] = all_of_it[place]
        now = raced(known)
    assert now == raced(all_of_it)


def test_of_equals_at_most_one_race_in_twenty_gives_any_up() -> None:
    draw = np.random.default_rng(0)
    places = [(one.number, seed) for one in FOUR for seed in SEEDS]
    ends = [raced(dict(zip(places, draw.standard_normal(len(places)), strict=True))) for _ in range(400)]
    assert 0 < sum(bool(end.fallen) for end in ends) <= 20


def test_of_races_with_one_worse_most_give_it_up() -> None:
    draw = np.random.default_rng(0)
    places = [(one.number, seed) for one in FOUR for seed in SEEDS]
    worse = np.array([6.0 * (number == 5) for number, _ in places])
    ends = [raced(dict(zip(places, draw.standard_normal(len(places)) - worse, strict=True))) for _ in range(100)]
    assert sum([one.chosen.number for one in end.fallen] == [5] for end in ends) > 80
    assert sum(end.saved for end in ends) > 100
