"""Suggestions: in their space, repeatable, and better than chance where they learn."""

from __future__ import annotations

import logging
import logging.handlers
import math
from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import space as spaces
from sweep.search.suggest import PRIMES, Asked, frozen_trials, seed_of, suggest

SPACE: dict[str, dict[str, Any]] = {
    "alpha": {"range": [0.1, 10.0], "log": True},
    "weight": {"range": [0.0, 2.0], "log": False, "step": 0.25},
    "k": {"range": [2, 9], "integer": True, "log": False},
    "width": {"range": [1, 1000], "integer": True, "log": True},
    "head": {"choice": ["linear", None, [1, 2], {"name": "gdkd"}]},
}
DISCRETE = {name: SPACE[name] for name in ("weight", "k", "head")}
SAMPLERS = ("tpe", "gp", "random", "qmc", "grid", "brute_force")
LEARNING = ("tpe", "gp")


def in_space(space: dict[str, dict[str, Any]], params: dict[str, Any]) -> bool:
    assert list(params) == list(space)
    for name, value in params.items():
        dimension = space[name]
        if "choice" in dimension:
            assert value in dimension["choice"]
            continue
        low, high = dimension["range"]
        assert low <= value <= high
        assert isinstance(value, int if dimension.get("integer") else float)
        if dimension.get("step"):
            assert (value - low) / dimension["step"] == pytest.approx(round((value - low) / dimension["step"]))
    return True


def goodness(params: dict[str, Any]) -> float:
    return -abs(math.log(params["alpha"])) - abs(params["k"] - 5) - (params["head"] is not None)


def search(sampler: str, trials: int, space: dict[str, dict[str, Any]] = SPACE, seed: int = 0) -> list[Asked]:
    history: list[Asked] = []
    for number in range(trials):
        params = suggest(space, history, sampler=sampler, metrics=["val_acc"], seed=seed)
        if params is None:
            break
        assert in_space(space, params)
        state = ("finished", "finished", "pruned", "failed")[number % 4]
        done = goodness({"alpha": 1.0} | params)
        values = (done,) if state == "finished" else None
        epochs = {} if state == "failed" else {1: done - 1, 3: done}
        history.append(Asked(params, state, values, epochs))  # type: ignore[arg-type]
    return history


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_suggestions_stay_in_their_space_and_repeat(sampler: str) -> None:
    space = DISCRETE if sampler in ("grid", "brute_force") else SPACE
    trials = 12 if sampler == "gp" else 16
    first = search(sampler, trials, space)
    assert search(sampler, trials, space) == first
    assert sampler == "grid" or search(sampler, trials, space, seed=1) != first


@pytest.mark.parametrize("sampler", LEARNING)
def test_the_next_suggestion_depends_on_the_history_alone(sampler: str) -> None:
    history = search("random", 24)  # half of them finished: ten are what both samplers begin with
    again = [suggest(SPACE, list(history), sampler=sampler, metrics=["val_acc"], seed=3) for _ in range(2)]
    assert again[0] == again[1]
    better = [*history[:-1], Asked(history[-1].params, "finished", (100.0,), {1: 100.0})]
    assert suggest(SPACE, better, sampler=sampler, metrics=["val_acc"], seed=3) != again[0]


@pytest.mark.slow(1)
def test_tpe_finds_what_random_search_does_not() -> None:
    best = {name: max(goodness(asked.params) for asked in search(name, 60)) for name in ("tpe", "random")}
    assert best["tpe"] > best["random"]


def test_tpe_is_optunas_with_all_dimensions_together_and_running_trials_taken_for_poor() -> None:
    space = {name: dimension for name, dimension in SPACE.items() if name != "head"}  # which Optuna knows by number

    def without_head(asked: Asked) -> Asked:
        return replace(asked, params={name: asked.params[name] for name in space})

    running = [Asked(asked.params) for asked in search("random", 6, seed=1)]
    history = [without_head(asked) for asked in [*search("random", 24), *running]]
    seed = seed_of(3, len(history))

    def by_optuna(multivariate: bool, constant_liar: bool) -> dict[str, Any]:
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=multivariate, constant_liar=constant_liar)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(frozen_trials(space, history))
        return study.ask(study.trials[0].distributions).params

    ours = suggest(space, history, sampler="tpe", metrics=["val_acc"], seed=3)
    assert ours == by_optuna(True, True)
    assert ours not in (by_optuna(True, False), by_optuna(False, True))


def test_optuna_says_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    logger, told = logging.getLogger("optuna"), logging.handlers.BufferingHandler(100)
    monkeypatch.setattr(logger, "handlers", [told])
    logger.setLevel(logging.INFO)  # as Optuna sets it
    suggest(SPACE, [], sampler="tpe", metrics=["val_acc"], seed=0)
    assert told.buffer == []


def test_running_trials_are_not_suggested_again() -> None:
    history = search("random", 12)
    free = suggest(SPACE, history, sampler="tpe", metrics=["val_acc"], seed=0)
    assert free is not None
    alike = [*history, *(Asked(free) for _ in range(5))]
    assert suggest(SPACE, alike, sampler="tpe", metrics=["val_acc"], seed=0) != free


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_finite_samplers_try_every_point_once_and_end(sampler: str) -> None:
    space = {"k": {"range": [1, 3], "integer": True}, "flag": {"choice": [True, False]}}
    found = [asked.params for asked in search_all(space, sampler)]
    assert len(found) == spaces.count(space) == 6
    assert [params for index, params in enumerate(found) if params in found[:index]] == []
    assert (found == sorted(found, key=lambda p: (p["k"], not p["flag"]))) == (sampler == "grid")


def search_all(space: dict[str, dict[str, Any]], sampler: str) -> list[Asked]:
    history: list[Asked] = []
    while (params := suggest(space, history, sampler=sampler, metrics=["val_acc"], seed=0)) is not None:
        history.append(Asked(params, "finished", (0.0,)))
    return history


def test_infinitely_many_points_are_not_counted() -> None:
    assert spaces.count(SPACE) is None
    assert spaces.count(DISCRETE) == 9 * 8 * 4


def test_halton_points_fill_the_space_evenly() -> None:
    space = {"a": {"range": [0.0, 1.0]}, "b": {"range": [0.0, 1.0]}}
    points = [suggest(space, [Asked({})] * n, sampler="qmc", metrics=["val_acc"], seed=0) for n in range(64)]
    found = [point for point in points if point]
    for name in space:
        for quarter in range(4):
            assert sum(quarter / 4 <= point[name] < (quarter + 1) / 4 for point in found) in range(13, 20)


def test_halton_points_are_the_shifted_digits_mirrored_in_prime_bases() -> None:
    space = {name: {"range": [0.0, 1.0]} for name in "abc"}
    points = [suggest(space, [Asked({})] * n, sampler="qmc", metrics=["val_acc"], seed=0) for n in range(6)]
    mirrored = {
        "a": [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8],
        "b": [1 / 3, 2 / 3, 1 / 9, 4 / 9, 7 / 9, 2 / 9],
        "c": [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1 / 25, 6 / 25],
    }
    shifts = {}
    for name, wanted in mirrored.items():
        shifts[name], *others = ((point[name] - unit) % 1 for point, unit in zip(points, wanted, strict=True) if point)
        assert others == pytest.approx([shifts[name]] * 5)
    assert len(set(shifts.values())) == 3
    assert PRIMES[:10] == (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
    assert (len(PRIMES), PRIMES[-1]) == (55, 257)


def test_several_metrics_are_searched_together() -> None:
    history = [Asked({"alpha": 0.1 * n + 0.1}, "finished", (float(n), float(-n))) for n in range(15)]
    space = {"alpha": SPACE["alpha"]}
    found = suggest(space, history, sampler="tpe", metrics=["val_acc", "device_seconds"], seed=0)
    assert found is not None
    assert in_space(space, found)


@settings(deadline=None, max_examples=200)
@given(st.floats(0, 1, exclude_max=True), st.sampled_from(sorted(SPACE)))
def test_every_unit_is_a_value(unit: float, name: str) -> None:
    assert in_space({name: SPACE[name]}, {name: spaces.point(SPACE[name], unit)})


def test_the_history_is_a_study_that_optuna_reads() -> None:
    history = [*search("random", 8), Asked({name: spaces.point(d, 0.5) for name, d in SPACE.items()})]
    study = optuna.create_study(direction="maximize")
    study.add_trials(frozen_trials(SPACE, history))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"] * 2 + ["RUNNING"]
    assert study.best_value == max(asked.values[0] for asked in history if asked.values)
    assert study.trials[0].user_attrs["head"] == history[0].params["head"]


def test_steps_reach_the_written_values() -> None:
    space = {"weight": {"range": [0.1, 0.7], "step": 0.1, "log": False, "integer": False}}
    history = search_all(space, "grid")
    assert [asked.params["weight"] for asked in history] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert len(frozen_trials(space, history)) == 7  # Optuna refuses what is a little above the range's end


def test_every_field_of_a_wide_space_has_a_value() -> None:
    space = {f"field{number}": {"range": [0.0, 1.0]} for number in range(50)}
    for sampler in ("qmc", "random"):
        found = suggest(space, [], sampler=sampler, metrics=["val_acc"], seed=0)
        assert found is not None
        assert in_space(space, found)
        assert len(set(found.values())) == 50


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_a_finite_sampler_tries_every_point_whoever_tried_the_first(sampler: str) -> None:
    space = {"alpha": {"choice": [1, 2, 3]}, "k": {"range": [2, 3], "integer": True, "log": False}}
    history = [Asked({"alpha": 3, "k": 2}, "finished", (90.0,)), Asked({"alpha": 1, "k": 3}, "pruned")]
    while (params := suggest(space, history, sampler=sampler, metrics=["val_acc"], seed=0)) is not None:
        assert params not in [asked.params for asked in history]
        history.append(Asked(params))
    assert {tuple(asked.params.values()) for asked in history} == {(alpha, k) for alpha in (1, 2, 3) for k in (2, 3)}


def test_no_point_lies_beyond_the_end_of_its_range_by_rounding() -> None:
    ends = [
        (spaces.point({"range": [low, high], "log": log}, math.nextafter(1.0, 0.0)), high) for low, high, log in RANGES
    ]
    assert all(value <= high for value, high in ends)


RANGES = [(0.01, 0.3, True), (0.1, 0.7, True), (0.1, 0.3, False), (1e-5, 0.9, True)]


def test_a_point_that_an_earlier_release_put_beyond_the_end_is_taken_for_the_end() -> None:
    """Its ledger is still read."""
    space = {"lr": {"range": [0.01, 0.3], "log": True}}
    beyond = Asked({"lr": 0.30000000000000004}, "finished", (80.0,), {1: 80.0})
    (trial,) = frozen_trials(space, [beyond])
    assert trial.params == {"lr": 0.3}
