"""The plan: a spec expanded into slots, each one trial to run.

A student's trial key holds its teacher's content hash, which is known only once the teacher is trained. A **slot**
stands for the trial until then; its id is the same hash with the key of the teacher's own trial instead. Plans are
plain JSON, so that `sweep status` and `sweep leaderboard` read them from the ledger without importing torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search_spaces.schema import MethodGrid, Pair, Spec, Variant
from trainers.config import DatasetConfig, MethodConfig, TeacherConfig, TrialConfig
from trainers.content import content_key
from trainers.errors import InputError

if TYPE_CHECKING:
    from trainers.data import DataSource, ImageData
    from trainers.teachers import TeacherStore

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
    source: dict[str, Any] = field(default_factory=dict)
    """The data source's whole options, where the data lie included."""

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


def build_plan(spec: Spec, store: TeacherStore | None = None) -> Plan:
    """Expand a spec. Loads the data set, whose content is part of every key; writes nothing.

    Args:
        spec: what is to run.
        store: where the teachers lie that the spec names by their hash; None where there are none.

    Raises:
        InputError: when the data set cannot be read or has too few images for a recipe, a named teacher does not exist
            or was made for other data, or the plan is absurdly long.
        CheckpointError: when a named teacher's file is damaged.
    """
    count = sum(len(pair.recipes) * sum(len(grid.variants) for grid in pair.methods) for pair in spec.pairs)
    if count * len(spec.seeds) > LARGEST:
        raise InputError(
            f"{spec.source} expands to {count * len(spec.seeds):,} trials; the most that one sweep takes is {LARGEST:,}"
        )
    source, data = _data(spec)
    dataset = DatasetConfig(name=spec.dataset, options=source.identity, content=data.content)
    teachers = {pair.teacher: _taught_by(spec, pair, dataset, data, store) for pair in spec.pairs}
    students = [
        _student(spec, dataset, recipe, pair, grid, variant, seed, teachers[pair.teacher])
        for seed, pair in itertools.product(spec.seeds, spec.pairs)
        for recipe, (grid, variant) in itertools.product(
            pair.recipes, [(grid, variant) for grid in pair.methods for variant in grid.variants]
        )
    ]
    architectures = {
        _pair_name(pair, teachers[pair.teacher]): teachers[pair.teacher].architecture for pair in spec.pairs
    }
    _check_methods(spec, students, architectures, data)
    unique = {(slot.id, slot.pair): slot for slot in students}
    needed = {slot.teacher for slot in unique.values()}
    trained = {teacher.slot.id: teacher.slot for teacher in teachers.values() if teacher.slot is not None}
    repeated = len(students) - len(unique)
    return Plan(
        name=spec.name,
        description=spec.description,
        dataset=spec.dataset,
        source=source.model_dump(mode="json"),
        protocol=spec.protocol,
        baseline=spec.baseline,
        compute=spec.compute.model_dump(),
        slots=(*(slot for slot in trained.values() if slot.id in needed), *unique.values()),
        notes=(f"trials that stand in the spec more than once, and run once: {repeated}",) if repeated else (),
    )


@dataclass(frozen=True)
class _Teacher:
    """A pair's teacher: one that the sweep trains (`slot`), or one that is there (`stored`)."""

    architecture: str
    label: str
    slot: Slot | None = None
    stored: TeacherConfig | None = None


def _pair_name(pair: Pair, teacher: _Teacher) -> str:
    return str(replace(pair, teacher=teacher.label))


def _taught_by(spec: Spec, pair: Pair, dataset: DatasetConfig, data: ImageData, store: TeacherStore | None) -> _Teacher:
    if pair.kind == "architecture":
        return _Teacher(pair.teacher, pair.teacher, slot=_teacher(spec, dataset, pair.teacher))
    if pair.kind == "file":
        found = _teacher_in(Path(pair.teacher), data)
    elif store is None:
        raise InputError(f"{spec.source}: there is no store of teachers to find {pair.teacher} in")
    else:
        passport = store.find(pair.teacher)
        store.check(passport)
        if passport.dataset.content != dataset.content:
            raise InputError(
                f"{spec.source}: teacher {pair.teacher} was measured on other data ({passport.dataset.name},"
                f" {passport.dataset.content[:8]}) than this spec's ({dataset.name}, {dataset.content[:8]})"
            )
        found = passport.reference
    return _Teacher(found.architecture, f"{found.architecture}@{found.hash[:8]}", stored=found)


def _teacher_in(file: Path, data: ImageData) -> TeacherConfig:
    """The teacher in a checkpoint file, by the hash that it will be stored under."""
    from trainers.pretrained import read

    found = read(file)
    if found.num_classes != data.num_classes:
        raise InputError(
            f"teacher {file} has {found.num_classes} classes, data set '{data.name}' has {data.num_classes}"
        )
    return TeacherConfig(architecture=found.architecture, hash=found.hash)


def _data(spec: Spec) -> tuple[DataSource, ImageData]:
    """The spec's data set, which must be large enough for its recipes."""
    from trainers.data import DATASETS, TrainingData

    source = DATASETS[spec.dataset].model_validate(spec.dataset_options)
    data = source.load()
    for recipe in {spec.teacher_recipe, *(variant.value for pair in spec.pairs for variant in pair.recipes)}:
        TrainingData.cut(data, recipe)
    return source, data


def _check_methods(spec: Spec, students: list[Slot], teachers: dict[str, str], data: ImageData) -> None:
    """Raises InputError for every configuration that could not be built, in one message."""
    from trainers.check import check

    problems: dict[str, None] = {}
    for slot in students:
        if slot.seed == spec.seeds[0]:
            try:
                check(slot.trial(), data, teachers[slot.pair])
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
    teacher: _Teacher,
) -> Slot:
    from trainers.distillers import METHODS

    taught = METHODS[grid.name].teacher_needs != "nothing"
    config = TrialConfig(
        dataset=dataset,
        model=pair.student,
        teacher=teacher.stored if taught else None,
        method=MethodConfig(name=grid.name, params=variant.value),
        recipe=recipe.value,
        seed=seed,
    )
    waits_for = teacher.slot.id if taught and teacher.slot is not None else None
    varied = _varied(variant.value, _points(spec.methods, grid.name), _points(pair.methods, grid.name))
    recipes = [[v.value.model_dump(mode="json") for v in variants] for variants in (spec.recipes, pair.recipes)]
    return Slot(
        id=content_key([config.key, waits_for]) if waits_for else config.key,
        stage="confirm",
        pair=_pair_name(pair, teacher),
        method=grid.name,
        label=label(grid.name, varied),
        varied=varied,
        recipe=label(spec.recipe_name, _varied(recipe.value.model_dump(mode="json"), *recipes)),
        seed=seed,
        config=config.model_dump(mode="json"),
        teacher=waits_for,
    )


def _points(grids: Sequence[MethodGrid], method: str) -> list[dict[str, Any]]:
    """All points of a method, in all its entries."""
    return [variant.value for grid in grids if grid.name == method for variant in grid.variants]


def _varied(point: dict[str, Any], *grids: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of `point` in which the points of one of the grids differ (a pair's own values are no variation)."""
    return {
        key: value
        for key, value in point.items()
        if any(other[key] != grid[0][key] for grid in grids for other in grid)
    }


def label(name: str, params: dict[str, Any]) -> str:
    """A name with hyperparameters as a person writes them: ``dhkd α=0.5 head=linear``."""
    return " ".join([name, *(f"{SYMBOLS.get(key, key)}={shown(value)}" for key, value in params.items())])


def shown(value: Any) -> str:
    """A hyperparameter's value: whole floats without the point, true, false and null as YAML has them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict) and set(value) == {"name", "params"}:  # a method inside a method
        return _shown_method(**value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown_method(name: str, params: dict[str, Any]) -> str:
    """A method with the hyperparameters that are not its defaults: ``gdkd(w2=4)``."""
    from trainers.distillers import METHODS

    defaults = METHODS[name].Params().model_dump(mode="json")
    other = [f"{key}={shown(value)}" for key, value in params.items() if value != defaults[key]]
    return f"{name}({', '.join(other)})" if other else name
