"""What a search tries next: a pure function of the cell's space, the seed and what was tried before.

Nothing is kept between two suggestions. `tpe` and `gp` build an Optuna study from the history each time (30 trials cost
5 ms) with a sampler seeded by the trial's number; `random`, `qmc`, `grid` and `brute_force` are sequences of points. So
a search that was broken off goes on as if it had not been, from the ledger alone.

Here, in :mod:`sweep.search.optuna_storage` and in :mod:`sweep.search.importance` only public names of Optuna are used,
as read in release 5.0. One of them is experimental by its documentation, `Study.set_metric_names`, which names the
columns of a mirrored study; before release 5 multivariate TPE was another.
"""

from __future__ import annotations

import hashlib
import logging
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from search_spaces.space import Space, all_points, anywhere, point

if TYPE_CHECKING:
    import optuna

State = Literal["running", "finished", "pruned", "failed"]
PRIMES = tuple(n for n in range(2, 260) if all(n % divisor for divisor in range(2, n)))
"""Bases of the Halton sequence, one per dimension: more than a recipe and a method have fields."""
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "val_acc": "maximize",
    "test_acc": "maximize",
    "student_macs": "minimize",
    "device_seconds": "minimize",
}
"""Of each metric that a search can be asked for."""


@dataclass(frozen=True)
class Asked:
    """A suggestion and what came of it."""

    params: dict[str, Any]
    state: State = "running"
    values: tuple[float, ...] | None = None
    """Of each metric, for a finished one."""
    epochs: dict[int, float] = field(default_factory=dict)
    """The first metric by epoch."""


def suggest(
    space: Space, history: Sequence[Asked], *, sampler: str, metrics: Sequence[str], seed: int
) -> dict[str, Any] | None:
    """The next point of `space`; None where a finite sequence has come to its end. A finite sequence goes on with the
    first of its points that was not tried, whichever sampler has tried the others.

    Args:
        space: what is searched.
        history: all earlier suggestions, in order.
        sampler: `tpe`, `gp`, `random`, `qmc`, `grid` or `brute_force`.
        metrics: names of the values, see :data:`DIRECTIONS`.
        seed: the same for all suggestions of a search.
    """
    number = len(history)
    if sampler in ("tpe", "gp"):
        return _by_optuna(space, history, sampler, metrics, seed_of(seed, number))
    if sampler == "random":
        return anywhere(space, random.Random(seed_of(seed, number)))
    if sampler == "qmc":
        return _halton(space, number, seed)
    points = list(all_points(space))
    if sampler == "brute_force":
        random.Random(seed_of(seed)).shuffle(points)
    tried = [asked.params for asked in history]
    return next((point for point in points if point not in tried), None)


def _halton(space: Space, number: int, seed: int) -> dict[str, Any]:
    """A point of the Halton sequence, shifted by a random vector modulo 1 (Cranley & Patterson 1976)."""
    shifts = random.Random(seed_of(seed))
    return {
        name: point(dimension, (_radical_inverse(number + 1, base) + shifts.random()) % 1)
        for (name, dimension), base in zip(space.items(), PRIMES, strict=False)
    }


def _radical_inverse(number: int, base: int) -> float:
    """The digits of `number` mirrored at the point: 6 = 110 in base 2 gives 0.011."""
    value, scale = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        value += digit * scale
        scale /= base
    return value


def seed_of(*parts: int) -> int:
    """A seed of 32 bits made of numbers."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4])


# -- Optuna -----------------------------------------------------------------------------------------------------------


def _by_optuna(
    space: Space, history: Sequence[Asked], sampler: str, metrics: Sequence[str], seed: int
) -> dict[str, Any]:
    import optuna

    logging.getLogger("optuna").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate TPE, before Optuna 5
        chosen: optuna.samplers.BaseSampler
        if sampler == "gp":
            chosen = optuna.samplers.GPSampler(seed=seed)
        else:
            chosen = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        study = optuna.create_study(directions=[DIRECTIONS[metric] for metric in metrics], sampler=chosen)
        for trial in frozen_trials(space, history):
            study.add_trial(trial)
        asked = study.ask({name: _distribution(dimension) for name, dimension in space.items()})
    return {name: _from_optuna(space[name], asked.params[name]) for name in space}


def frozen_trials(space: Space, history: Sequence[Asked]) -> list[optuna.trial.FrozenTrial]:
    """The history as Optuna's trials; choices are numbered, because Optuna keeps plain values only."""
    from optuna.trial import TrialState, create_trial

    states = {
        "running": TrialState.RUNNING,
        "finished": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    distributions = {name: _distribution(dimension) for name, dimension in space.items()}
    return [
        create_trial(
            state=states[asked.state],
            params={name: _to_optuna(space[name], value) for name, value in asked.params.items()},
            distributions=distributions,
            values=list(asked.values) if asked.values is not None else None,
            intermediate_values=dict(asked.epochs),
            user_attrs={name: value for name, value in asked.params.items() if "choice" in space[name]},
        )
        for asked in history
    ]


def _distribution(dimension: Mapping[str, Any]) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if "choice" in dimension:
        return CategoricalDistribution(range(len(dimension["choice"])))
    low, high = dimension["range"]
    if dimension.get("integer"):
        return IntDistribution(low, high, log=dimension.get("log", False), step=int(dimension.get("step") or 1))
    return FloatDistribution(low, high, log=dimension.get("log", False), step=dimension.get("step"))


def _to_optuna(dimension: Mapping[str, Any], value: Any) -> Any:
    if "choice" in dimension:
        return dimension["choice"].index(value)
    low, high = dimension["range"]
    return min(max(value, low), high)  # earlier releases suggested 0.30000000000000004 of a range that ends at 0.3


def _from_optuna(dimension: Mapping[str, Any], value: Any) -> Any:
    return dimension["choice"][value] if "choice" in dimension else value
