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

from search_spaces.schema import MethodGrid, Pair, Spec, Variant, corners
from sweep import studies
from trainers.config import DatasetConfig, MethodConfig, TeacherConfig, TrialConfig
from trainers.content import content_key
from trainers.errors import InputError

if TYPE_CHECKING:
    from trainers.data import DataSource, ImageData
    from trainers.teachers import TeacherStore

Stage = Literal["teacher", "search", "confirm"]
SYMBOLS = {"alpha": "α", "gamma": "γ", "temperature": "T"}
"""How hyperparameters are written in labels."""
TUNED = " tuned"
"""How the labels of what a search has won end."""
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
        who = f"teacher {self.pair}" if self.stage == "teacher" else f"{self.pair} · {self.row}"
        varied = self.recipe.partition(" ")[2]
        search = "search" if self.stage == "search" else ""
        return " · ".join(part for part in (who, varied, search, f"seed {self.seed}") if part)

    @property
    def row(self) -> str:
        """The configuration in words: the label; of what a search has won with its values, since several may be
        confirmed."""
        won = self.stage == "confirm" and self.label.endswith(TUNED)
        return label(self.method, self.varied) + TUNED if won else self.label

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
class Cell:
    """A searched cell: what its trials share, and the space in which they differ."""

    id: str
    pair: str
    method: str
    label: str
    """The row of what the search has won: ``gdkd tuned``."""
    varied: dict[str, Any]
    """The hyperparameters in which the sweep's entries of the method differ."""
    recipe: str
    seeds: tuple[int, ...]
    config: dict[str, Any]
    """The trials' config with the first seed; searched fields have the first of their values."""
    space: dict[str, dict[str, Any]]
    """Searched fields, as :data:`sweep.studies.Space`; those of the recipe as ``recipe.lr``."""
    search: dict[str, Any]
    """The spec's `search` section."""
    teacher: str | None = None
    """Slot id of the teacher that it waits for."""
    student_macs: int = 0
    """Multiply-accumulates of the student's forward pass on one image, where the search asks for them."""

    @property
    def name(self) -> str:
        return f"{self.pair} · {self.label}"

    @property
    def epochs(self) -> int:
        """Of one trial; where the number of epochs is searched, the largest."""
        searched = self.space.get("recipe.epochs")
        if searched is None:
            return int(self.config["recipe"]["epochs"])
        return int(max(searched.get("choice") or searched["range"]))

    @property
    def budget(self) -> int:
        """Suggestions at most: a sampler that goes through all points has no more than those."""
        trials = int(self.search["trials"])
        finite = self.search["sampler"] in ("grid", "brute_force")
        return min(trials, studies.count(self.space) or 0) if finite else trials

    @property
    def trials(self) -> int:
        """Search trials and confirming ones, at most; with the search's seed, the two are one."""
        confirmed = min(int(self.search["confirm"]), self.budget)
        return self.budget + confirmed * (len(self.seeds) - 1)

    def slot(self, params: dict[str, Any], stage: Stage, seed: int) -> Slot:
        """One configuration of the cell with a seed."""
        config = filled(self.config, params) | {"seed": seed}
        key = TrialConfig.model_validate(config).key
        tried = "" if stage == "confirm" else " " + label("", params).strip()
        return Slot(
            id=content_key([key, self.teacher]) if self.teacher else key,
            stage=stage,
            pair=self.pair,
            method=self.method,
            label=self.label if stage == "confirm" else self.label.removesuffix(TUNED) + tried,
            varied=self.varied | params,
            recipe=self.recipe,
            seed=seed,
            config=config,
            teacher=self.teacher,
        )


def filled(config: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """A trial's config with searched values put in; those of the recipe are named ``recipe.lr``."""
    recipe = {key.removeprefix("recipe."): value for key, value in params.items() if key.startswith("recipe.")}
    own = {key: value for key, value in params.items() if not key.startswith("recipe.")}
    method = config["method"] | {"params": config["method"]["params"] | own}
    return config | {"recipe": config["recipe"] | recipe, "method": method}


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
    cells: tuple[Cell, ...] = field(default=())
    """What is searched; its trials become slots as the search goes on."""
    seeds: tuple[int, ...] = field(default=())
    budget: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    """What a network reads: `size` (height and width in pixels), `classes`, and the channels' `mean` and `std`."""

    @property
    def teachers(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.stage == "teacher"]

    @property
    def students(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.stage != "teacher"]

    @property
    def count(self) -> int:
        """Trials: a slot that stands under several pairs (scratch, where they share a student) is one; of searches at
        most so many."""
        return len({slot.id for slot in self.slots}) + sum(cell.trials for cell in self.cells)

    @property
    def epochs(self) -> int:
        """Of all trials, at most: searches give some up earlier."""
        fixed = sum({slot.id: slot.epochs for slot in self.slots}.values())
        return fixed + sum(cell.trials * cell.epochs for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Plan:
        cells = tuple(Cell(**(cell | {"seeds": tuple(cell["seeds"])})) for cell in content.get("cells", ()))
        slots = tuple(Slot(**slot) for slot in content["slots"])
        listed = {"slots": slots, "cells": cells, "notes": tuple(content["notes"])}
        return cls(**(content | listed | {"seeds": tuple(content.get("seeds", ()))}))


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
    places = [
        _Place(spec, dataset, recipe, pair, grid, variant, teachers[pair.teacher])
        for pair in spec.pairs
        for recipe, grid in itertools.product(pair.recipes, pair.methods)
        for variant in grid.variants
    ]
    students = [_student(place, seed) for seed, place in itertools.product(spec.seeds, places) if not place.space]
    cells = {cell.id: cell for cell in (_cell(place, data) for place in places if place.space)}
    architectures = {
        _pair_name(pair, teachers[pair.teacher]): teachers[pair.teacher].architecture for pair in spec.pairs
    }
    probes = [cell.slot(corner, "search", spec.seeds[0]) for cell in cells.values() for corner in corners(cell.space)]
    _check_methods(spec, [*students, *probes], architectures, data)
    unique = {(slot.id, slot.pair): slot for slot in students}
    needed = {slot.teacher for slot in unique.values()} | {cell.teacher for cell in cells.values()}
    trained = {teacher.slot.id: teacher.slot for teacher in teachers.values() if teacher.slot is not None}
    repeated = len(students) - len(unique)
    return Plan(
        name=spec.name,
        description=spec.description,
        dataset=spec.dataset,
        source=_with_whole_paths(source),
        cells=tuple(cells.values()),
        seeds=spec.seeds,
        budget=spec.budget.model_dump(mode="json"),
        protocol=spec.protocol,
        baseline=spec.baseline,
        compute=spec.compute.model_dump(),
        tracking=spec.tracking.model_dump(),
        images=_images(data),
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


def _images(data: ImageData) -> dict[str, Any]:
    normalised = {"mean": list(data.mean), "std": list(data.std)}
    return {"size": list(data.image_size), "classes": data.num_classes} | normalised


def _with_whole_paths(source: DataSource) -> dict[str, Any]:
    """The source's options, as a worker in another folder can read them."""
    paths = {name: str(value.absolute()) for name, value in source if isinstance(value, Path)}
    return source.model_dump(mode="json") | paths


def _check_methods(spec: Spec, students: list[Slot], teachers: dict[str, str], data: ImageData) -> None:
    """Raises InputError for every configuration that could not be built, in one message."""
    from trainers.check import check
    from trainers.data_parallel import refuse_workers

    problems: dict[str, None] = {}
    for slot in students:
        if slot.seed == spec.seeds[0]:
            try:
                check(slot.trial(), data, teachers[slot.pair])
                if spec.compute.workers > 1:
                    refuse_workers(slot.trial())
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


@dataclass(frozen=True)
class _Place:
    """Where a trial stands in the spec: everything but its seed."""

    spec: Spec
    dataset: DatasetConfig
    recipe: Variant
    pair: Pair
    grid: MethodGrid
    variant: Variant
    teacher: _Teacher

    @property
    def space(self) -> dict[str, dict[str, Any]]:
        """What is searched here."""
        return self.variant.space | {f"recipe.{name}": of for name, of in self.recipe.space.items()}

    @property
    def taught(self) -> bool:
        from trainers.distillers import METHODS

        return METHODS[self.grid.name].teacher_needs != "nothing"

    @property
    def waits_for(self) -> str | None:
        """Slot id of the teacher, where the sweep trains it."""
        return self.teacher.slot.id if self.taught and self.teacher.slot is not None else None

    @cached_property
    def varied(self) -> dict[str, Any]:
        name = self.grid.name
        return _varied(self.variant, _points(self.spec.methods, name), _points(self.pair.methods, name))

    @cached_property
    def recipe_label(self) -> str:
        found = [[_dumped(v) for v in variants] for variants in (self.spec.recipes, self.pair.recipes)]
        return label(self.spec.recipe_name, _varied(_dumped(self.recipe), *found))

    def config(self, seed: int) -> TrialConfig:
        return TrialConfig(
            dataset=self.dataset,
            model=self.pair.student,
            teacher=self.teacher.stored if self.taught else None,
            method=MethodConfig(name=self.grid.name, params=self.variant.value),
            recipe=self.recipe.value,
            seed=seed,
        )


def _student(place: _Place, seed: int) -> Slot:
    config, waits_for = place.config(seed), place.waits_for
    return Slot(
        id=content_key([config.key, waits_for]) if waits_for else config.key,
        stage="confirm",
        pair=_pair_name(place.pair, place.teacher),
        method=place.grid.name,
        label=label(place.grid.name, place.varied),
        varied=place.varied,
        recipe=place.recipe_label,
        seed=seed,
        config=config.model_dump(mode="json"),
        teacher=waits_for,
    )


def _cell(place: _Place, data: ImageData) -> Cell:
    from trainers.models.cost import macs

    asked_for = "student_macs" in place.spec.search.metrics
    student_macs = macs(place.pair.student, data.num_classes, data.image_size) if asked_for else 0
    config = place.config(place.spec.seeds[0]).model_dump(mode="json")
    return Cell(
        id=content_key([config, place.space, place.waits_for]),
        pair=_pair_name(place.pair, place.teacher),
        method=place.grid.name,
        label=label(place.grid.name, place.varied) + TUNED,
        varied=place.varied,
        recipe=place.recipe_label,
        seeds=place.spec.seeds,
        config=config,
        space=place.space,
        search=place.spec.search.model_dump(mode="json"),
        teacher=place.waits_for,
        student_macs=student_macs,
    )


def _points(grids: Sequence[MethodGrid], method: str) -> list[Variant]:
    """All points of a method, in all its entries."""
    return [variant for grid in grids if grid.name == method for variant in grid.variants]


def _dumped(recipe: Variant) -> Variant:
    return replace(recipe, value=recipe.value.model_dump(mode="json"))


def _varied(point: Variant, *grids: list[Variant]) -> dict[str, Any]:
    """The fixed fields of `point` in which the points of one of the grids differ, where they do not search them.

    A pair's own values are no variation.
    """

    def differs(key: str, grid: list[Variant]) -> bool:
        values = [other.value[key] for other in grid if key not in other.space]
        return any(value != values[0] for value in values)

    fixed = {key: value for key, value in point.value.items() if key not in point.space}
    return {key: value for key, value in fixed.items() if any(differs(key, grid) for grid in grids)}


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
