"""The teachers of a plan: trained by the sweep, stored before, or read from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.schema import Pair, Spec
from sweep.layout import Root
from sweep.plan.compiling import decided
from sweep.plan.slots import Plan, Slot
from trainers.config import DatasetConfig, MethodConfig, TeacherConfig, TrialConfig
from trainers.errors import InputError

if TYPE_CHECKING:
    from trainers.data import ImageData
    from trainers.teacher.store import TeacherStore


@dataclass(frozen=True)
class PairTeacher:
    """A pair's teacher: one that the sweep trains (`slot`), or one that is there (`stored`)."""

    architecture: str
    label: str
    slot: Slot | None = None
    stored: TeacherConfig | None = None


def pair_name(pair: Pair, teacher: PairTeacher) -> str:
    """How slots and tables name a pair: ``resnet20→resnet8``, and ``resnet20@1a2b3c4d→resnet8`` of a stored teacher."""
    return str(replace(pair, teacher=teacher.label))


def taught_by(
    spec: Spec, pair: Pair, dataset: DatasetConfig, data: ImageData, store: TeacherStore | None
) -> PairTeacher:
    """The teacher of a pair of the spec.

    Args:
        spec: with the recipe and the seed of teachers that the sweep trains.
        pair: as the spec has it.
        dataset: the spec's, with the content that a stored teacher must have been measured on.
        data: the same data set, whose classes a teacher in a file must have.
        store: where a teacher lies that the pair names by its hash; None where there is none.

    Raises:
        InputError: when a named teacher does not exist, or was made for other data.
        CheckpointError: when a named teacher's file is damaged.
    """
    if pair.kind == "architecture":
        return PairTeacher(pair.teacher, pair.teacher, slot=_teacher(spec, dataset, pair.teacher))
    if pair.kind == "file":
        stored = _teacher_in(pair, data)
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
        stored = passport.reference
    return PairTeacher(stored.architecture, f"{stored.architecture}@{stored.hash[:8]}", stored=stored)


def _teacher_in(pair: Pair, data: ImageData) -> TeacherConfig:
    """The teacher in a checkpoint file, by the hash that it will be stored under."""
    from trainers.teacher.pretrained import read

    teacher = read(Path(pair.teacher), normalisation=pair.normalisation).on(data)
    if teacher.num_classes != data.num_classes:
        raise InputError(
            f"teacher {pair.teacher} has {teacher.num_classes} classes, data set '{data.name}' has {data.num_classes}"
        )
    return TeacherConfig(architecture=teacher.architecture, hash=teacher.hash)


def _teacher(spec: Spec, dataset: DatasetConfig, architecture: str) -> Slot:
    from trainers.own import code_of

    scratch = MethodConfig(name="scratch")
    config = TrialConfig(
        dataset=dataset,
        model=architecture,
        method=scratch,
        recipe=decided(spec.teacher_recipe, architecture, spec.compiled),
        seed=spec.teacher_seed,
        code=code_of(dataset.name, [architecture], scratch),
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


def stored_teachers(plan: Plan, root: Root) -> dict[str, TeacherConfig]:
    """The plan's teachers that are trained already, by slot id. Raises CheckpointError for a damaged one."""
    from trainers.teacher.store import TeacherStore

    store = TeacherStore(root.teachers, root.storage)
    stored = {}
    for slot in plan.teachers:
        passport = store.trained_by(slot.id)
        if passport is not None:
            store.check(passport)
            stored[slot.id] = passport.reference
    return stored


def store_named_files(spec: Spec, store: TeacherStore, say: Callable[[str], None]) -> None:
    """Import the teachers that the spec names by their files; those that are stored already stay as they are.

    Args:
        spec: whose pairs may name files.
        store: where the teachers go.
        say: told why a teacher's images may be others than it was trained on.

    Raises:
        InputError, CheckpointError: when a file is no teacher for the spec's data.
    """
    from trainers.data import DATASETS
    from trainers.teacher.pretrained import read

    files = {pair.teacher: pair.normalisation for pair in spec.pairs if pair.kind == "file"}
    if not files:
        return
    source = DATASETS[spec.dataset].model_validate(spec.dataset_options)
    data = source.load()
    dataset = DatasetConfig(name=spec.dataset, options=source.identity, content=data.content)
    for file, normalisation in files.items():
        found = read(Path(file), normalisation=normalisation)
        passport = store.adopt(found, data, dataset)
        for doubt in passport.read_from(found.origin).doubts:
            say(f"teacher {file} ({passport.test_acc:.2f} %): {doubt}")
