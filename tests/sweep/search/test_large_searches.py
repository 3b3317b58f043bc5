"""What a search costs its driver as it grows, told in instructions; and what it is compared with stays the same."""

from __future__ import annotations

import math
import random
import statistics
from pathlib import Path

import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.search.pruning import Asha, MedianStopping, Ranked
from sweep.search.searches import Searches
from tests.support.counting import instructions
from tests.support.examples import epoch_body, play, small_spec


def searched(trials: int, pruner: str, cells: int = 1) -> Plan:
    """A plan of so many searches of one method, each of so many trials of three epochs."""
    section = {"trials": trials, "sampler": "random", "pruner": pruner}
    methods = [{"kd": {"alpha": {"range": [0.1, 1.0]}, "temperature": [1 + place for place in range(cells)]}}]
    recipe = {"base": "digits", "epochs": 3, "samples_per_class": 8, "val_fraction": 0.2}
    return build_plan(small_spec(methods=methods, baseline="kd", seeds=1, search=section, recipe=recipe))


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_replaying_a_search_is_as_much_work_a_trial_however_many_it_has(tmp_path: Path, pruner: str) -> None:
    few, many = (_replaying(tmp_path / f"{trials}.db", trials, pruner) for trials in (25, 100))
    assert many < 1.1 * few


def _replaying(path: Path, trials: int, pruner: str) -> float:
    """Instructions of reading back a search whose trials have all ended, for each."""
    plan, draw = searched(trials, pruner), random.Random(0)
    with Ledger(path) as ledger:
        play(ledger, plan, lambda slot: 50 + 10 * draw.random())
        found: list[int] = []
        work = instructions(lambda: found.append(len(Searches.read(plan, ledger)[0].asked)))
    assert found == [trials]
    return work / trials


def test_hearing_of_an_epoch_is_as_much_work_however_many_searches_there_are() -> None:
    few, many = (_hearing(searched(2, "none", cells)) for cells in (2, 40))
    assert many < 1.1 * few


def _hearing(plan: Plan) -> int:
    """Instructions of an epoch of the first cell's first trial, of all cells' searches with a trial each."""
    searches = Searches(plan)
    keys = [asked[0] for _ in plan.cells if (asked := searches.ask(lambda teacher: True, lambda slot: slot.id))]
    assert len({*keys}) == len(plan.cells)
    return instructions(lambda: searches.report(keys[0], epoch_body(1, 50.0, 50.0)))


def test_how_many_run_is_known_whatever_becomes_of_a_search(tmp_path: Path) -> None:
    plan, draw = searched(20, "asha"), random.Random(1)
    with Ledger(tmp_path / "ledger.db") as ledger:
        play(ledger, plan, lambda slot: 50 + 10 * draw.random(), side_by_side=3, trials=9)
        (search,) = Searches.read(plan, ledger)
        states = [asked.state for asked in search.asked]
        assert {"finished", "pruned", "running"} <= {*states}
        assert search.running == states.count("running")
        search.ask(search.asked[0].params, search.keys[0])  # the same trial again
        assert search.running == states.count("running") + 1
        assert search.repeat(search.keys[0])
        assert search.running == states.count("running")


def test_numbers_are_ranked_as_if_they_were_sorted_each_time() -> None:
    draw, ranked, known = random.Random(2), Ranked(), dict[str, float]()
    assert math.isnan(ranked.median)
    for _ in range(300):
        key = f"{draw.randrange(40)}"
        if draw.random() < 0.3:
            ranked.drop(key)
            known.pop(key, None)
        else:
            known[key] = float(draw.randrange(20))  # with equal ones among them
            ranked.put(key, known[key])
        assert ranked.values == sorted(known.values())
        assert not known or ranked.median == statistics.median(known.values())


def test_rules_answer_as_the_plain_arithmetic_does() -> None:
    draw = random.Random(3)
    asha, median = Asha(1, 3, 9), MedianStopping(1)
    rungs: dict[int, list[float]] = {1: [], 3: []}
    best: dict[str, float] = {}
    heard: dict[int, list[float]] = {}
    for trial in range(60):
        for epoch in range(1, 5):
            key, value = str(trial), 50 + draw.randrange(200) / 10
            if epoch in rungs:
                rungs[epoch].append(value)
                bar = sorted(rungs[epoch], reverse=True)[math.ceil(len(rungs[epoch]) / 3) - 1]
            assert asha.report(key, epoch, value) == (epoch in rungs and value < bar)
            best[key] = max(value, best.get(key, value))
            others = heard.setdefault(epoch, [])
            worse = len(others) >= 4 and best[key] < statistics.median(others)
            assert median.report(key, epoch, value) == worse
            others.append(value)
