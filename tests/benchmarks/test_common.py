"""The arithmetic of the measurements, and what they read of the system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import memory, search_cost, search_problems, search_transfer, trials
from benchmarks.common import Load, Row, at_least, at_most, own, processor, ratios, rounds, spread
from trainers.config import Recipe


def test_contestants_take_turns_and_the_first_turn_does_not_count() -> None:
    turns: list[str] = []

    def contestant(name: str, value: float) -> float:
        turns.append(name)
        return value + len(turns)

    found = rounds({"a": lambda: contestant("a", 0), "b": lambda: contestant("b", 10)}, count=2)
    assert turns == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [14, 16]}
    assert ratios(found["b"], found["a"]) == [14 / 3, 16 / 5]


def test_a_figure_is_the_median_with_its_quartiles_and_its_goal() -> None:
    assert spread([4, 1, 2, 3, 5]) == (3, 2, 4)
    assert spread([7]) == (7, 7, 7)
    assert Row("x", [1, 2, 3], at_least(2)).cells() == ("x", "2", "1.5 … 2.5", "≥ 2", "yes")
    assert Row("x", [1, 2, 3], at_most(1.9)).cells()[-1] == "no"
    assert Row("x", [1.0]).cells()[-2:] == ("", "")


def test_the_load_of_others_does_not_hold_our_own() -> None:
    spin = "import time; e = time.process_time() + 0.3\nwhile time.process_time() < e: pass"
    before = own()
    with Load() as load:
        subprocess.run([sys.executable, "-c", spin], check=True)
    assert own() - before >= 0.25
    assert 0 <= load.others <= (os.cpu_count() or 1)
    assert processor()[0]


def test_a_process_s_memory_is_that_of_the_system() -> None:
    held = memory.held(os.getpid())
    assert 1 < held.uss <= held.pss


def test_random_pixels_have_cifar_100_s_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", "before")  # put back afterwards
    data = trials.image_data(None, 200, 100, tmp_path)
    assert (len(data.train), len(data.test), data.num_classes, data.image_size) == (200, 100, 100, (32, 32))
    assert 120 < sum(data.mean) / 3 * 255 < 135


@pytest.mark.parametrize("problem", search_problems.SPECS)
def test_the_recorded_curves_are_the_whole_grid_s(problem: str) -> None:
    cell, curves = search_problems.read(search_problems.curves_file(problem))
    wanted = {search_problems.name(params) for params in search_problems.grid(cell)}
    assert len(wanted) == (27 if problem == "digits-gdkd" else 25)
    assert set(curves) == set(cell.seeds)
    for known in curves.values():
        assert set(known) == wanted
        assert all(len(curve.val) == len(curve.test) == cell.epochs for curve in known.values())


def test_the_recorded_cell_is_the_spec_s() -> None:
    (planned,) = search_problems.the_plan("digits", Path("nowhere")).cells
    recorded, _ = search_problems.read(search_problems.curves_file("digits"))
    expected = asdict(recorded)
    expected["config"]["code"] = {}  # which the release that recorded it did not know
    expected["config"]["recipe"] = Recipe().model_dump() | expected["config"]["recipe"]  # nor some of these
    assert json.loads(json.dumps(asdict(planned))) == json.loads(json.dumps(expected))


def test_a_replay_of_the_whole_grid_finds_its_best_and_trains_all_of_it() -> None:
    cell, curves = search_problems.read(search_problems.curves_file("digits"))
    whole = search_cost.replay(cell, curves[0], search_cost.Setting("brute_force", "none"), seed=0)
    assert whole.epochs == 25 * cell.epochs
    assert whole.leader() == search_cost.best(curves[0])
    assert whole.reached is not None
    assert whole.reached % cell.epochs == 0
    pruned = search_cost.replay(cell, curves[0], search_cost.Setting("brute_force", "asha"), seed=0)
    assert pruned.epochs < whole.epochs / 2


@pytest.mark.slow(3)
def test_a_replay_of_pauses_trains_each_epoch_once_and_knows_when_nothing_has_finished() -> None:
    cell, curves = search_problems.read(search_problems.curves_file("cifar10"))
    setting = search_cost.Setting("curves", "curves", at_once=4, pauses=True)
    found = search_cost.replay(cell, curves[0], setting, seed=0)
    assert found.search is not None
    assert setting.label == "curves, pauses, 4 at once"
    assert found.search.lets_go or found.search.complete
    assert found.epochs == sum(len(asked.epochs) for asked in found.search.asked) < 25 * cell.epochs
    assert found.search.paused, "what the engine then gives up"
    assert (found.leader(12), found.leader()) == (None, search_cost.best(curves[0]))
    losses = {search_problems.confirmed(curves, name) for name in curves[0]}
    worst = search_problems.confirmed(curves, search_cost.best(curves[0])) - min(losses)
    assert found.loss(curves[0], curves, 12) == worst > found.loss(curves[0], curves) == 0.0


def test_a_replay_begins_with_what_a_search_of_another_problem_has_found() -> None:
    cell, curves = search_problems.read(search_problems.curves_file("cifar10"))
    source = search_problems.read(search_problems.curves_file("tinyimagenet"))
    setting = search_cost.Setting("brute_force", "none")
    learned = [one["params"] for one in search_transfer.taught(source, cell, setting, 0, student=1)]
    ends = {name: curve.val[-1] for name, curve in source[1][1].items()}
    assert [search_problems.name(params) for params in learned] == sorted(ends, key=lambda name: -ends[name])[:3]
    ((_, found), *others) = search_transfer.replays((cell, curves), source, setting, [0])
    assert len(others) == 2
    assert found.search is not None
    best = [one["params"] for one in search_transfer.taught(source, cell, setting, 0, student=0)]
    assert [asked.params for asked in found.search.asked[:3]] == best
    assert found.epochs == 25 * cell.epochs
