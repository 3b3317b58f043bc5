"""From a spec to its plan: every grid point, pair and seed a slot, every searched cell, every teacher that is needed.

A slot's id is the hash of what its trial is made of: data set, networks, method, recipe and seed. Where no teacher is
waited for, because there is none or it is stored already, the id is the trial's key. Otherwise it is the hash of that
key, made as if there were no teacher, and of the teacher's slot id: what the teacher's content will be is not known
before it is trained. So a trial has the same id wherever it stands in a spec, and one under several pairs runs once. A
searched cell's id is made likewise, of the config that its trials share, its space and its teacher's slot.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.cuts import CUT_BY, cuts
from search_spaces.idle import idle
from search_spaces.schema import MethodGrid, Pair, Spec, Variant
from search_spaces.space import OF_RECIPE, as_searched, corners, usual_point
from search_spaces.table import column
from sweep.plan.compiling import decided
from sweep.plan.labels import TUNED, label
from sweep.plan.notes import mixing, own_labels, teachers_take, unlabelled
from sweep.plan.slots import PAUSING, RULES, Plan, SearchedCell, Slot
from sweep.plan.table import table_of
from sweep.plan.teachers import PairTeacher, pair_name, taught_by
from trainers.config import DatasetConfig, MethodConfig, Recipe, TrialConfig
from trainers.errors import InputError
from trainers.storage.content import content_key
from trainers.storage.inputs import expanded

if TYPE_CHECKING:
    from trainers.data import DataSource, ImageData, TrainingData
    from trainers.teacher.store import TeacherStore

LARGEST = 50_000
"""Trials; a spec that expands to more is taken for a slip."""


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
    _check_length(spec)
    source, data, parts = _data(spec)
    dataset = DatasetConfig(name=spec.dataset, options=source.identity, content=data.content)
    teachers = {pair.teacher: taught_by(spec, pair, dataset, data, store) for pair in spec.pairs}
    places = [
        _Place(spec, dataset, recipe, pair, grid, variant, teachers[pair.teacher])
        for pair in spec.pairs
        for recipe, grid in itertools.product(pair.recipes, pair.methods)
        for variant in grid.variants
    ]
    students = [_student(place, seed) for seed, place in itertools.product(spec.seeds, places) if not place.space]
    cells = _each_once([_cell(place, data) for place in places if place.space])
    architectures = {
        pair_name(pair, teachers[pair.teacher]): teachers[pair.teacher].architecture for pair in spec.pairs
    }
    probes = [cell.slot(corner, "search", spec.seeds[0]) for cell in cells.values() for corner in corners(cell.space)]
    taught = [teacher.slot for teacher in teachers.values() if teacher.slot is not None]
    _check_methods(spec, [*taught, *students, *probes], architectures, data)
    methods = {slot.label: slot.method for slot in students}
    methods |= {place.label: place.method for cell in cells.values() for place in cell.places}
    pairs = {column(str(pair)): pair_name(pair, teachers[pair.teacher]) for pair in spec.pairs}
    unique = {(slot.id, slot.pair): slot for slot in students}
    needed = {slot.teacher for slot in unique.values()} | {cell.teacher for cell in cells.values()}
    trained = {teacher.slot.id: teacher.slot for teacher in teachers.values() if teacher.slot is not None}
    repeated = len(students) - len(unique)
    notes = [f"trials that stand in the spec more than once, and run once: {repeated}"] if repeated else []
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
        compute=_compute(spec),
        tracking=spec.tracking.model_dump(),
        images=_images(data),
        networks=_networks([*architectures.values(), *(pair.student for pair in spec.pairs)], data),
        parts=parts,
        code=spec.code.key,
        compiled={kind: dict(one) for kind, one in spec.compiled.items()},
        table=table_of(spec, methods, pairs),
        slots=(*(slot for slot in trained.values() if slot.id in needed), *unique.values()),
        notes=(
            *(*data.remarks, *notes),
            *(teachers_take(spec) if trained.keys() & needed else ()),
            *mixing(students, cells),
            *unlabelled(parts),
            *own_labels(spec),
            *idle(spec),
        ),
    )


def _compute(spec: Spec) -> dict[str, Any]:
    """The spec's section as earlier releases noted it: without MPS, which is how a run is served and no part of the
    plan, and without a cohort of one."""
    return spec.compute.model_dump(exclude={"mps", *({"cohort"} if spec.compute.cohort == 1 else ())})


def _check_length(spec: Spec) -> None:
    """Raises InputError for a spec that is taken for a slip, before any of it is expanded."""
    places = sum(len(pair.recipes) * sum(len(grid.variants) for grid in pair.methods) for pair in spec.pairs)
    trials = places * len(spec.seeds)
    if trials > LARGEST:
        raise InputError(f"{spec.source} expands to {trials:,} trials; the most that one sweep takes is {LARGEST:,}")


def _data(spec: Spec) -> tuple[DataSource, ImageData, tuple[dict[str, Any], ...]]:
    """The spec's data set, which must be large enough for its recipes, and the parts that these cut it into."""
    from trainers.data import DATASETS, TrainingData

    source = DATASETS[spec.dataset].model_validate(spec.dataset_options)
    data = source.load()
    return source, data, tuple(_part(TrainingData.cut(data, recipe), recipe) for recipe in cuts(spec))


def _part(cut: TrainingData, recipe: Recipe) -> dict[str, Any]:
    counts = {"train": len(cut.train), "held_out": len(cut.val or ()), "test": len(cut.test)}
    counts |= {"labelled": int(cut.labelled.sum())}
    return {name: getattr(recipe, name) for name in CUT_BY} | counts


def _images(data: ImageData) -> dict[str, Any]:
    normalised = {"mean": list(data.mean), "std": list(data.std)}
    return {"size": list(data.image_size), "classes": data.num_classes} | normalised


def _networks(architectures: Iterable[str], data: ImageData) -> dict[str, dict[str, int]]:
    """What each network comes to, the largest first."""
    from trainers.models.cost import size

    found = {}
    for name in dict.fromkeys(architectures):
        with suppress(Exception):  # a user's own network may do what has no outline: it trains all the same
            found[name] = asdict(size(name, data.num_classes, data.image_size))
    return dict(sorted(found.items(), key=lambda network: -network[1]["macs"]))


def _with_whole_paths(source: DataSource) -> dict[str, Any]:
    """The source's options, as a worker in another folder can read them."""
    paths = {name: str(expanded(value).absolute()) for name, value in source if isinstance(value, Path)}
    return source.model_dump(mode="json") | paths


def _check_methods(spec: Spec, slots: list[Slot], teachers: dict[str, str], data: ImageData) -> None:
    """Raises InputError for every configuration that could not be built, in one message."""
    from trainers.check import check, decides
    from trainers.loop.data_parallel import refuse_workers

    looked_at: set[tuple[str, str]] = set()
    problems: dict[str, None] = {}
    for slot in (slot for slot in slots if slot.stage == "teacher" or slot.seed == spec.seeds[0]):
        teacher = teachers[slot.pair] if slot.stage != "teacher" else None
        built = teacher or "", decides(slot.config)
        if built not in looked_at:
            looked_at.add(built)
            try:
                check(slot.trial(), data, teacher)
                if spec.compute.workers > 1:
                    refuse_workers(slot.trial())
            except InputError as error:
                problems[f"{slot.pair} · {slot.label}: {error}"] = None
    if problems:
        raise InputError("\n  ".join([f"{spec.source} asks for what cannot be built:", *problems]))


@dataclass(frozen=True)
class _Place:
    """Where a trial stands in the spec: everything but its seed."""

    spec: Spec
    dataset: DatasetConfig
    recipe: Variant
    pair: Pair
    grid: MethodGrid
    variant: Variant
    teacher: PairTeacher

    @property
    def space(self) -> dict[str, dict[str, Any]]:
        """What is searched here."""
        return self.variant.space | {f"{OF_RECIPE}{name}": of for name, of in self.recipe.space.items()}

    @property
    def defaults(self) -> dict[str, Any]:
        """What the searched fields are where they are not searched, by the names of the space."""
        of_recipe = {f"{OF_RECIPE}{name}": value for name, value in self.recipe.defaults.items()}
        return self.variant.defaults | of_recipe

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
        return _fixed(self.variant, self.spec.differing.methods[name] | self.pair.differing.methods[name])

    @cached_property
    def recipe_label(self) -> str:
        differing = self.spec.differing.recipe | self.pair.differing.recipe
        return label(self.spec.recipe_name, _fixed(_dumped(self.recipe), differing))

    @cached_property
    def code(self) -> dict[str, str]:
        from trainers.own import code_of

        models = [self.pair.student, *([self.teacher.architecture] if self.taught else [])]
        return code_of(self.dataset.name, models, self.method)

    @cached_property
    def method(self) -> MethodConfig:
        return MethodConfig(name=self.grid.name, params=self.variant.value)

    def config(self, seed: int) -> TrialConfig:
        return TrialConfig(
            dataset=self.dataset,
            model=self.pair.student,
            teacher=self.teacher.stored if self.taught else None,
            method=self.method,
            recipe=decided(self.recipe.value, self.pair.student, self.spec.compiled),
            seed=seed,
            code=self.code,
        )

    @cached_property
    def common(self) -> dict[str, Any]:
        """What the trials' configs have in common, as JSON: there once for all seeds, since plans are long."""
        return self.config(self.spec.seeds[0]).model_dump(mode="json", exclude={"seed"})


def _student(place: _Place, seed: int) -> Slot:
    key, waits_for = place.config(seed).key, place.waits_for
    return Slot(
        id=content_key([key, waits_for]) if waits_for else key,
        stage="confirm",
        pair=pair_name(place.pair, place.teacher),
        method=place.grid.name,
        label=label(place.grid.name, place.varied),
        varied=place.varied,
        recipe=place.recipe_label,
        seed=seed,
        config=place.common | {"seed": seed},
        teacher=waits_for,
    )


def _cell(place: _Place, data: ImageData) -> SearchedCell:
    from trainers.models.cost import macs

    asked_for = "student_macs" in place.spec.search.metrics
    student_macs = macs(place.pair.student, data.num_classes, data.image_size) if asked_for else 0
    config = place.config(place.spec.seeds[0])
    return SearchedCell(
        id=content_key([config.key_content(), place.space, place.waits_for]),
        pair=pair_name(place.pair, place.teacher),
        method=place.grid.name,
        label=label(place.grid.name, place.varied) + TUNED,
        varied=place.varied,
        recipe=place.recipe_label,
        seeds=place.spec.seeds,
        config=config.model_dump(mode="json"),
        space=place.space,
        search=_search(place),
        teacher=place.waits_for,
        student_macs=student_macs,
    )


def _search(place: _Place) -> dict[str, Any]:
    """The spec's section, with the points that this cell tries first, where there are some."""
    search = place.spec.search
    unused = {name for name in ("race", "warm_start", "transfer", "pauses") if not getattr(search, name)}
    later = {"first"} | unused  # without these it is the section of earlier releases
    section = search.model_dump(mode="json", exclude=later) | {"rules": PAUSING if search.pauses else RULES}
    if search.first is None:
        usual = usual_point(place.space, place.defaults)
        return section | ({"begins": usual} if usual else {})
    first = [point for one in search.first if (point := as_searched(place.space, one)) is not None]
    return section | ({"first": first} if first else {})


def _each_once(cells: list[SearchedCell]) -> dict[str, SearchedCell]:
    """The cells by id, those that stand under several pairs as one."""
    once: dict[str, SearchedCell] = {}
    for cell in cells:
        first = once.setdefault(cell.id, cell)
        if cell.pair not in [place.pair for place in first.places]:
            where = {"pair": cell.pair, "label": cell.label, "varied": cell.varied, "recipe": cell.recipe}
            once[cell.id] = replace(first, also=(*first.also, where))
    return once


def _dumped(recipe: Variant) -> Variant:
    return replace(recipe, value=recipe.value.model_dump(mode="json"))


def _fixed(point: Variant, keys: frozenset[str]) -> dict[str, Any]:
    """Those fields of `point` that are among `keys` and not searched. A pair's own values are no variation."""
    return {key: value for key, value in point.value.items() if key in keys and key not in point.space}
