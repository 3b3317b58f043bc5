"""The typed content of a spec, after loading: every name known, every value in range, every grid expanded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from search_spaces.table import PLAIN, Table
from trainers.code import NO_CODE, Code
from trainers.config import Frozen, Normalisation, Recipe
from trainers.recipe_parts import Whether

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A sweep's name is a folder's name: no separators, no leading dot."""


def is_name(value: object) -> bool:
    """Whether a sweep can be called so."""
    return isinstance(value, str) and re.fullmatch(NAME_PATTERN, value) is not None


FEWEST_TO_RACE = 3
"""Seeds: what a paired test needs."""
FIRST_RACE_SEED = 1_000_000
"""Races have seeds of their own, from this one on: the same for every race, and none of the sweep's."""
MOST_STEPS = 1_000_000
"""Of a searched range; more is as good as none, and past what decimal fractions count exactly."""


class Compute(Frozen):
    """What one trial gets, and how often a broken one is tried again."""

    cpus: int = Field(1, ge=1, le=4096)
    """Cores per trial; torch uses as many threads."""
    gpus: float | Literal["auto"] = 0
    """GPUs per trial; fractions share one. `auto`: the share with which a GPU trains the most images, as measured."""
    mps: Whether = False
    """Whether trials that share a GPU do so through NVIDIA's MPS, whose daemon a sweep with a Ray of its own starts;
    `auto`: where it comes up. No number depends on it."""
    cohort: int = Field(1, ge=1, le=64)
    """Trials of one data set, recipe, seed and teacher that share a process at most. No number depends on it."""
    workers: int = Field(1, ge=1, le=1024)
    """Processes that train one trial together, each with so many `cpus` and `gpus` and its share of every batch."""
    retries: int = Field(1, ge=0)
    """Further attempts at a trial that raised or lost its worker; never for one that diverged."""
    max_epoch_minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    """After which a worker that has told of no epoch is ended as hung, its start and the reading of the data included;
    null learns that from the epochs of such trials in this run: ten times the longest, and at least ten minutes."""

    bank_gb: float | None = Field(None, ge=0, le=1e9)
    """Gigabytes that the logit bank below the root may take, with what it holds already; 0 keeps nothing new, null is a
    tenth of what the disk has left."""

    @field_validator("gpus", mode="before")
    @classmethod
    def _a_share(cls, gpus: object) -> object:
        if gpus != "auto" and (isinstance(gpus, bool) or not isinstance(gpus, int | float) or not gpus >= 0):
            shown = f'"{gpus}"' if isinstance(gpus, str) else gpus
            raise ValueError(f"must be 0 or more, or auto, found {shown}")
        return gpus

    @model_validator(mode="after")
    def _whole_gpus(self) -> Compute:
        if self.gpus != "auto" and self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus must be at most 1, or a whole number, found {self.gpus:g}")
        if self.cohort > 1 and self.workers > 1:
            raise ValueError("cohort is of trials with one worker each: leave cohort out, or workers")
        if self.cohort > 1 and self.gpus == "auto":
            raise ValueError("gpus must be a number with a cohort, found auto, which is measured for trials alone")
        if self.workers > 1 and self.gpus not in (0, 1):
            raise ValueError(f"gpus must be 0 or 1 with several workers, of which each has its own, found {self.gpus}")
        return self


class Search(Frozen):
    """How searched hyperparameters are tuned, in every cell alike."""

    trials: int = Field(20, ge=1, le=10_000)
    """Budget of each cell: configurations that are tried, with the first seed."""
    sampler: Literal["tpe", "gp", "curves", "random", "qmc", "grid", "brute_force"] = "tpe"
    """What suggests the next configuration; `grid` and `brute_force` need finitely many values, `curves` one metric."""
    metrics: tuple[Literal["val_acc", "test_acc", "student_macs", "student_latency", "device_seconds"], ...] = ()
    """What is searched for, accuracy first; empty: `val_acc`, or `test_acc` under `protocol: paper`. With several, the
    Pareto front is confirmed."""
    pruner: Literal["asha", "median", "curves", "none"] = "asha"
    """What gives up a search trial early; it is compared with its own cell's alone. With the sampler `curves` that is
    `curves` where nothing is said."""
    grace: int | None = Field(None, ge=1)
    """Epochs that every trial gets before it may be given up; null: a share of its epochs."""
    reduction: int = Field(3, ge=2)
    """For `asha`: the share 1/reduction of trials that goes on at each rung, and the rungs' ratio."""
    confirm: int = Field(1, ge=1)
    """Best configurations of each cell that are run with all seeds; with a `race`, that race to be it."""
    race: int | None = Field(None, ge=FEWEST_TO_RACE, le=1000)
    """Seeds over which the `confirm` best configurations race, beside the sweep's: one that is shown to be worse gets
    no more, and the winner alone is run with all seeds. null: no race."""
    first: tuple[dict[str, Any], ...] | None = None
    """Points that are tried before any other, ``{alpha: 1, lr: 0.05}``, by every search over just these fields. null:
    the values that the fields have where they are not searched, where they lie in the space; empty: none."""
    seed: int = Field(0, ge=0)
    """Of the sampler."""
    deterministic: bool = False
    """One search trial of a cell at a time, so that the search does not depend on timing or the number of workers."""
    warm_start: str | None = None
    """An earlier sweep below the same root: a search begins with the best points of its searches over the same fields
    of the same method. null: none."""
    transfer: bool = False
    """Of the searches that differ in their pair alone the first is run first, and the others begin with its best
    points."""
    pauses: bool = False
    """For `curves`: the first points get a short time each and pause, and a trial that another one is preferred to
    pauses likewise, to be taken up again where it promises most."""

    @model_validator(mode="after")
    def _races(self) -> Search:
        if self.race is None:
            return self
        if self.confirm < 2:
            raise ValueError("race needs several configurations: say with confirm how many race, 4 for example")
        if len(self.metrics) > 1 or not set(self.metrics) <= {"val_acc", "test_acc"}:
            raise ValueError("a race is about one accuracy: give one of val_acc and test_acc as metrics, or none")
        return self

    @field_validator("warm_start")
    @classmethod
    def _of_a_sweep(cls, name: str | None) -> str | None:
        if name is not None and not is_name(name):
            raise ValueError(f'must be the name of a sweep below the same root, found "{name}"')
        return name

    @model_validator(mode="after")
    def _learns_of_one(self) -> Search:
        if self.transfer and self.warm_start is not None:
            raise ValueError("a search begins with the points of one other: give one of warm_start and transfer")
        return self

    @model_validator(mode="after")
    def _looks_at_one_accuracy(self) -> Search:
        if "curves" not in (self.sampler, self.pruner):
            return self
        if len(self.metrics) > 1 or not set(self.metrics) <= {"val_acc", "test_acc"}:
            raise ValueError("'curves' foretells one accuracy: give one of val_acc and test_acc as metrics, or none")
        if self.grace is not None and self.pruner == "curves":
            raise ValueError(
                "grace is of the pruners asha and median; 'curves' looks at a trial from its first epochs on"
            )
        return self

    @model_validator(mode="after")
    def _pauses_by_curves(self) -> Search:
        by = sorted({self.sampler, self.pruner} - {"curves"})
        if self.pauses and by:
            raise ValueError(f"pauses is of searches by curves: give sampler: curves and no other pruner, not {by[0]}")
        return self


class Budget(Frozen):
    """What a sweep may cost; it does not start beyond it, and ends in good order when it is reached."""

    max_trials: int | None = Field(None, ge=1)
    """Trials, those of teachers and of searches included."""
    max_device_hours: float | None = Field(None, gt=0)
    """Hours of training, summed over trials (of a GPU's share, where a trial has a fraction)."""
    deadline: datetime | None = None
    """When no more trial is to run, as in `2026-12-01 08:00`, local time."""


class Tracking(Frozen):
    """What MLflow is given beside numbers and figures."""

    models: Literal["best", "all", "none"] = "best"
    """Trained networks that are logged as MLflow models: `best` one of each cell (by validation accuracy after the last
    epoch, under `protocol: paper` by the best test accuracy), `all`, or `none`, which registers no teacher either."""


class Teachers(Frozen):
    """How the sweep trains its teachers."""

    recipe: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields in which a teacher differs from its students."""
    seed: int = Field(0, ge=0)


class PairValues(Frozen):
    """Values that a pair brings: they stand in for the recipe's and the methods' defaults."""

    recipe: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields of this pair's students."""
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Hyperparameters by method."""
    teacher: Normalisation | None = None
    """Of a teacher in a file: what its images are normalised by, where that is not the data set's."""


class Range(Frozen):
    """A searched interval: ``{range: [0.5, 16], log: true}``."""

    range: tuple[float, float]
    """Lowest and highest value, both of them tried."""
    log: bool = False
    """Equal ratios are equally likely, instead of equal differences."""
    step: float | None = Field(None, gt=0)
    """Only the lowest value and every so much above it."""

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        low, high = self.range
        if low >= high:
            raise ValueError(f"range must rise, found [{low:g}, {high:g}]")
        if self.log and low <= 0:
            raise ValueError(f"a logarithmic range must be above 0, found [{low:g}, {high:g}]")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic range has no step")
        if self.step is not None and self.step > high - low:
            raise ValueError(f"step {self.step:g} is longer than the range, found [{low:g}, {high:g}]")
        if self.step is not None and (high - low) / self.step > MOST_STEPS:
            raise ValueError(f"a range has at most {MOST_STEPS:,} steps, found [{low:g}, {high:g}] by {self.step:g}")
        return self


class Choice(Frozen):
    """A searched set: ``{choice: [3, 5, 7]}``."""

    choice: Annotated[list[Any], Field(min_length=1)]


def race_seeds(most: int) -> range:
    """The seeds of a race of so many."""
    return range(FIRST_RACE_SEED, FIRST_RACE_SEED + most)


@dataclass(frozen=True)
class Variant:
    """One point of a grid: a complete value, and which of its fields the spec's author spelt out."""

    value: Any
    chosen: dict[str, Any]
    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The fields that are searched, as :data:`search_spaces.space.Space`; in `value` each has the first of its
    values."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """What these fields are where they are not searched: the pair's own value, the recipe's, or the method's default.
    One that has none is left out."""


@dataclass(frozen=True)
class MethodGrid:
    """One entry under `methods`: a method and the points of its grid (each value a dict of all its params)."""

    name: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Differing:
    """The fields in which the points of grids differ, where they do not search them. It is found once for all points,
    since to compare each with all others takes long where they are thousands."""

    recipe: frozenset[str]
    methods: dict[str, frozenset[str]]
    """By method, over all its entries."""

    @classmethod
    def of(cls, recipes: Iterable[Variant], methods: Iterable[MethodGrid]) -> Differing:
        """Of the points of a recipe's grid and of methods' grids."""
        points: dict[str, list[Variant]] = {}
        for grid in methods:
            points.setdefault(grid.name, []).extend(grid.variants)
        return cls(_differing(recipes), {name: _differing(variants) for name, variants in points.items()})


def _differing(points: Iterable[Variant]) -> frozenset[str]:
    first: dict[str, Any] = {}
    fixed = (item for point in points for item in dict(point.value).items() if item[0] not in point.space)
    return frozenset(key for key, value in fixed if first.setdefault(key, value) != value)


@dataclass(frozen=True)
class Pair:
    """Teacher -> student, and what is trained under it."""

    teacher: str
    """As the spec names it: an architecture, ``architecture@hash`` of a stored teacher, or a checkpoint file."""
    student: str
    """An architecture."""
    kind: Literal["architecture", "stored", "file"] = field(default="architecture", compare=False)
    """What `teacher` names."""
    recipes: tuple[Variant, ...] = field(default=(), compare=False)
    """Each value a :class:`~trainers.config.Recipe`; the spec's, with this pair's own values."""
    methods: tuple[MethodGrid, ...] = field(default=(), compare=False)
    """The spec's methods, with this pair's own values."""
    normalisation: Normalisation | None = field(default=None, compare=False)
    """What the images of a teacher in a file are normalised by; None as the data set's are."""

    @cached_property
    def differing(self) -> Differing:
        """The fields in which this pair's configurations differ."""
        return Differing.of(self.recipes, self.methods)

    def __str__(self) -> str:
        return f"{self.teacher}→{self.student}"


@dataclass(frozen=True)
class Spec:
    """A spec, checked and expanded."""

    name: str
    description: str
    dataset: str
    dataset_options: dict[str, Any]
    recipes: tuple[Variant, ...]
    """As the spec writes them, before the pairs' own values."""
    recipe_name: str
    teacher_recipe: Recipe
    teacher_seed: int
    pairs: tuple[Pair, ...]
    methods: tuple[MethodGrid, ...]
    """As the spec writes them, before the pairs' own values."""
    seeds: tuple[int, ...]
    protocol: Literal["validation", "paper"]
    """`paper`: no validation split, and the best test epoch is reported, as the papers do."""
    baseline: str
    """Method that the leaderboard's differences are taken against."""
    search: Search
    budget: Budget
    compute: Compute
    tracking: Tracking
    text: str
    """The file as it was written."""
    source: str
    """Where it came from."""
    table: Table = PLAIN
    """How the table is printed."""
    compiled: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What `compile: auto` has come to, by network and recipe (:mod:`sweep.plan.compiling`). What is not here yet is
    not compiled."""
    code: Code = NO_CODE
    """The user's files that it names; their names are known where they are loaded (:func:`trainers.code.load`)."""

    @cached_property
    def differing(self) -> Differing:
        """The fields in which the configurations differ, before the pairs' own values."""
        return Differing.of(self.recipes, self.methods)
