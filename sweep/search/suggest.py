"""What a search tries next: a pure function of the cell's space, the seed and what was tried before.

Nothing is kept between two suggestions. `tpe` and `gp` build an Optuna study from the history each time (30 trials cost
5 ms) with a sampler seeded by the trial's number; `random`, `qmc`, `grid` and `brute_force` are sequences of points. So
a search that was broken off goes on as if it had not been, from the ledger alone. Each sampler proposes several points,
and the first that was not tried is the suggestion (:mod:`sweep.search.untried`).

Here, in :mod:`sweep.search.optuna_storage` and in :mod:`sweep.search.importance` only public names of Optuna are used,
as read in release 5.0. One of them is experimental by its documentation, `Study.set_metric_names`, which names the
columns of a mirrored study.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from search_spaces.space import Space, all_points, anywhere, point, value_at
from sweep.plan.slots import RULES
from sweep.search.untried import first_untried

if TYPE_CHECKING:
    import optuna

State = Literal["running", "paused", "finished", "pruned", "failed"]
PRIMES = tuple(n for n in range(2, 260) if all(n % divisor for divisor in range(2, n)))
"""Bases of the Halton sequence, one per dimension: more than a recipe and a method have fields."""
PROPOSALS = 8
"""Of a sampler that draws, for one suggestion, as long as they were all tried."""
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "val_acc": "maximize",
    "test_acc": "maximize",
    "student_macs": "minimize",
    "student_latency": "minimize",
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
    space: Space, history: Sequence[Asked], *, sampler: str, metrics: Sequence[str], seed: int, rules: int = RULES
) -> dict[str, Any] | None:
    """The next point of `space`; None where all were tried, by whichever sampler.

    Args:
        space: what is searched.
        history: all earlier suggestions, in order.
        sampler: `tpe`, `gp`, `random`, `qmc`, `grid` or `brute_force`.
        metrics: names of the values, see :data:`DIRECTIONS`.
        seed: the same for all suggestions of a search.
        rules: by which it asks, see :data:`~sweep.plan.slots.RULES`.
    """
    number = len(history)
    seeded = seed_of(seed, number)
    if sampler in ("tpe", "gp"):
        proposals = _by_optuna(space, history, sampler, metrics, seeded, stepped=rules > 1)
    elif sampler == "random":
        proposals = _drawn(space, seeded)
    elif sampler == "qmc":
        proposals = (_halton(space, number + further, seed) for further in range(PROPOSALS))
    else:
        proposals = _listed(space, seed if sampler == "brute_force" else None)
    if rules == 1 and sampler not in ("grid", "brute_force"):
        return next(proposals)
    return first_untried(proposals, space, [asked.params for asked in history], seed_of(seed, number, 1))


def _drawn(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    return (anywhere(space, draw) for _ in range(PROPOSALS))


def _listed(space: Space, shuffled: int | None) -> Iterator[dict[str, Any]]:
    """All points of a space, in their order or shuffled by a seed."""
    points = list(all_points(space))
    if shuffled is not None:
        random.Random(seed_of(shuffled)).shuffle(points)
    return iter(points)


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
    space: Space, history: Sequence[Asked], sampler: str, metrics: Sequence[str], seed: int, *, stepped: bool
) -> Iterator[dict[str, Any]]:
    """What Optuna's sampler proposes; what it has proposed before counts as running when it proposes more.

    Args:
        stepped: whether values of a range with a step are the space's own: 0.3, not Optuna's 0.30000000000000004.
    """
    import optuna

    logging.getLogger("optuna").setLevel(logging.ERROR)
    chosen: optuna.samplers.BaseSampler
    if sampler == "gp":
        chosen = optuna.samplers.GPSampler(seed=seed)
    else:
        chosen = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(directions=[DIRECTIONS[metric] for metric in metrics], sampler=chosen)
    for trial in frozen_trials(space, history):
        study.add_trial(trial)
    for _ in range(PROPOSALS):
        asked = study.ask({name: _distribution(dimension) for name, dimension in space.items()})
        yield {name: _from_optuna(space[name], asked.params[name], stepped) for name in space}


def frozen_trials(space: Space, history: Sequence[Asked]) -> list[optuna.trial.FrozenTrial]:
    """The history as Optuna's trials; choices are numbered, because Optuna keeps plain values only."""
    from optuna.trial import TrialState, create_trial

    states = {
        "running": TrialState.RUNNING,
        "paused": TrialState.RUNNING,
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


def _from_optuna(dimension: Mapping[str, Any], value: Any, stepped: bool) -> Any:
    if "choice" in dimension:
        return dimension["choice"][value]
    if stepped and dimension.get("step"):
        return value_at(dimension, round((value - dimension["range"][0]) / dimension["step"]))
    return value
