"""The plan: a spec expanded into slots, each one trial to run.

A student's trial key holds its teacher's content hash, which is known only once the teacher is trained. A **slot**
stands for the trial until then; its id is the same hash with the key of the teacher's own trial instead. Plans are
plain JSON, so that `sweep status` and `sweep leaderboard` read them from the ledger without importing torch.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from search_spaces.schema import MethodGrid, Pair, Spec, Variant
from trainers.config import DatasetConfig, MethodConfig, TeacherConfig, TrialConfig
from trainers.content import content_key
from trainers.errors import InputError

if TYPE_CHECKING:
    from trainers.data import ImageData

Stage = Literal["teacher", "search", "confirm"]
SYMBOLS = {"alpha": "α", "gamma": "γ", "temperature": "T"}
"""How hyperparameters are written in labels."""
LARGEST = 100_000
"""Trials; a spec that expands to more is taken for a slip."""


@dataclass(frozen=True)
class Slot:
    """One planned trial."""

    id: str
    stage: Stage
    pair: str
    """``resnet20→resnet8``; for a teacher its architecture."""
    method: str
    label: str
    """The method with the hyperparameters in which the sweep's entries of it differ: ``dhkd α=0.5``."""
    varied: dict[str, Any]
    """Those hyperparameters."""
    recipe: str
    """The recipe's name with the fields that the spec sweeps over."""
    seed: int
    config: dict[str, Any]
    """The trial's config; a student's lacks only its teacher."""
    teacher: str | None = None
    """Slot id of the teacher that it waits for."""

    @property
    def name(self) -> str:
        """What a person calls it: ``resnet20→resnet8 · dhkd α=0.5 · seed 0``."""
        who = f"teacher {self.pair}" if self.stage == "teacher" else f"{self.pair} · {self.label}"
        return f"{who} · seed {self.seed}"

    @property
    def epochs(self) -> int:
        return int(self.config["recipe"]["epochs"])

    @cached_property
    def _untaught(self) -> TrialConfig:
        return TrialConfig.model_validate(self.config)

    def trial(self, teacher: TeacherConfig | None = None) -> TrialConfig:
        """The trial's whole config, once its teacher is known."""
        if teacher is None:
            return self._untaught
        return TrialConfig.model_validate(self.config | {"teacher": teacher.model_dump()})


@dataclass(frozen=True)
class Plan:
    """All slots of a sweep, teachers first, then one seed of everything after the other."""

    name: str
    description: str
    dataset: str
    protocol: Literal["validation", "paper"]
    baseline: str
    compute: dict[str, Any]
    slots: tuple[Slot, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def teachers(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.stage == "teacher"]

    @property
    def students(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.stage != "teacher"]

    @property
    def count(self) -> int:
        """Trials: a slot that stands under several pairs (scratch, where they share a student) is one."""
        return len({slot.id for slot in self.slots})

    @property
    def epochs(self) -> int:
        """Of all trials."""
        return sum({slot.id: slot.epochs for slot in self.slots}.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Plan:
        slots = tuple(Slot(**slot) for slot in content["slots"])
        return cls(**(content | {"slots": slots, "notes": tuple(content["notes"])}))


def build_plan(spec: Spec) -> Plan:
    """Expand a spec. Loads the data set, whose content is part of every key.

    Raises:
        InputError: when the data set cannot be read or has too few images for a recipe, or the plan is absurdly long.
    """
    methods = [(grid, variant) for grid in spec.methods for variant in grid.variants]
    count = len(spec.recipes) * len(spec.pairs) * len(methods) * len(spec.seeds)
    if count > LARGEST:
        raise InputError(f"{spec.source} expands to {count:,} trials; the most that one sweep takes is {LARGEST:,}")
    data = _data(spec)
    dataset = DatasetConfig(name=spec.dataset, options=spec.dataset_options, content=data.content)
    teachers = {pair.teacher: _teacher(spec, dataset, pair.teacher) for pair in spec.pairs}
    students = [
        _student(spec, dataset, recipe, pair, grid, variant, seed, teachers[pair.teacher])
        for seed, recipe, pair, (grid, variant) in itertools.product(spec.seeds, spec.recipes, spec.pairs, methods)
    ]
    _check_methods(spec, students, data.num_classes)
    unique = {(slot.id, slot.pair): slot for slot in students}
    needed = {slot.teacher for slot in unique.values()}
    repeated = len(students) - len(unique)
    return Plan(
        name=spec.name,
        description=spec.description,
        dataset=spec.dataset,
        protocol=spec.protocol,
        baseline=spec.baseline,
        compute=spec.compute.model_dump(),
        slots=(*(slot for slot in teachers.values() if slot.id in needed), *unique.values()),
        notes=(f"trials that stand in the spec more than once, and run once: {repeated}",) if repeated else (),
    )


def _data(spec: Spec) -> ImageData:
    """The spec's data set, which must be large enough for its recipes."""
    from trainers.data import DATASETS, TrainingData

    data = DATASETS[spec.dataset].model_validate(spec.dataset_options).load()
    for recipe in {spec.teacher_recipe, *(variant.value for variant in spec.recipes)}:
        TrainingData.cut(data, recipe)
    return data


def _check_methods(spec: Spec, students: list[Slot], num_classes: int) -> None:
    """Raises InputError for every configuration that could not be built, in one message."""
    from trainers.fit import check

    problems: dict[str, None] = {}
    for slot in students:
        if slot.seed == spec.seeds[0]:
            try:
                check(slot.trial(), num_classes)
            except InputError as error:
                problems[f"{slot.pair} · {slot.label}: {error}"] = None
    if problems:
        raise InputError("\n  ".join([f"{spec.source} asks for what cannot be built:", *problems]))


def _teacher(spec: Spec, dataset: DatasetConfig, architecture: str) -> Slot:
    config = TrialConfig(
        dataset=dataset,
        model=architecture,
        method=MethodConfig(name="scratch"),
        recipe=spec.teacher_recipe,
        seed=spec.teacher_seed,
    )
    return Slot(
        id=config.key,
        stage="teacher",
        pair=architecture,
        method="teacher",
        label="teacher",
        varied={},
        recipe=spec.recipe_name,
        seed=spec.teacher_seed,
        config=config.model_dump(mode="json"),
    )


def _student(
    spec: Spec,
    dataset: DatasetConfig,
    recipe: Variant,
    pair: Pair,
    grid: MethodGrid,
    variant: Variant,
    seed: int,
    teacher: Slot,
) -> Slot:
    from trainers.distillers import METHODS

    config = TrialConfig(
        dataset=dataset,
        model=pair.student,
        method=MethodConfig(name=grid.name, params=variant.value),
        recipe=recipe.value,
        seed=seed,
    )
    taught = METHODS[grid.name].teacher_needs != "nothing"
    varied = _varied(
        variant.value, [point.value for other in spec.methods if other.name == grid.name for point in other.variants]
    )
    recipe_varied = _varied(
        recipe.value.model_dump(mode="json"), [v.value.model_dump(mode="json") for v in spec.recipes]
    )
    return Slot(
        id=content_key([config.key, teacher.id]) if taught else config.key,
        stage="confirm",
        pair=str(pair),
        method=grid.name,
        label=label(grid.name, varied),
        varied=varied,
        recipe=label(spec.recipe_name, recipe_varied),
        seed=seed,
        config=config.model_dump(mode="json"),
        teacher=teacher.id if taught else None,
    )


def _varied(point: dict[str, Any], points: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of `point` in which `points` differ."""
    return {key: value for key, value in point.items() if any(other[key] != value for other in points)}


def label(name: str, params: dict[str, Any]) -> str:
    """A name with hyperparameters as a person writes them: ``dhkd α=0.5 head=linear``."""
    return " ".join([name, *(f"{SYMBOLS.get(key, key)}={shown(value)}" for key, value in params.items())])


def shown(value: Any) -> str:
    """A hyperparameter's value: whole floats without the point, true, false and null as YAML has them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
