"""The typed content of a spec, after loading: every name known, every value in range, every grid expanded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from trainers.config import Frozen, Recipe

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A sweep's name is a folder's name: no separators, no leading dot."""


class Compute(Frozen):
    """What one trial gets, and how often a broken one is tried again."""

    cpus: int = Field(1, ge=1)
    """Cores per trial; torch uses as many threads."""
    gpus: float = Field(0, ge=0)
    """GPUs per trial; fractions share one."""
    retries: int = Field(1, ge=0)
    """Further attempts at a trial that raised or lost its worker; never for one that diverged."""

    @model_validator(mode="after")
    def _whole_gpus(self) -> Compute:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus must be at most 1, or a whole number, found {self.gpus:g}")
        return self


class Search(Frozen):
    """How searched hyperparameters are tuned, per cell."""

    trials: int = Field(20, ge=1)
    """Budget of each cell."""
    sampler: Literal["tpe", "gp", "random", "qmc", "grid", "brute_force"] = "tpe"
    metric: Literal["val_acc"] = "val_acc"
    """What the search maximises."""
    pruner: Literal["asha", "median", "none"] = "asha"
    confirm: int = Field(1, ge=1)
    """Best configs of each cell that are run again with all seeds."""


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


class Range(Frozen):
    """A searched interval: ``{range: [0.5, 16], log: true}``."""

    range: tuple[float, float]
    log: bool = False
    step: float | None = Field(None, gt=0)


class Choice(Frozen):
    """A searched set: ``{choice: [3, 5, 7]}``."""

    choice: Annotated[list[Any], Field(min_length=1)]


@dataclass(frozen=True)
class Variant:
    """One point of a grid: a complete value, and which of its fields the spec's author spelt out."""

    value: Any
    chosen: dict[str, Any]


@dataclass(frozen=True)
class MethodGrid:
    """One entry under `methods`: a method and the points of its grid (each value a dict of all its params)."""

    name: str
    variants: tuple[Variant, ...]


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
    compute: Compute
    text: str
    """The file as it was written."""
    source: str
    """Where it came from."""
