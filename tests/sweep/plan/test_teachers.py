"""Teachers that are there already."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import SPEC, slot_of, small_spec
from trainers.config import DatasetConfig
from trainers.data import DATASETS
from trainers.errors import CheckpointError, InputError
from trainers.fit import seeded_model
from trainers.teacher.passport import Passport
from trainers.teacher.pretrained import read
from trainers.teacher.store import TeacherStore


@pytest.fixture
def stored(tmp_path: Path) -> tuple[TeacherStore, Passport, Path]:
    """A store with one untrained resnet14, and the file that it came from."""
    source = DATASETS["digits"].model_validate(SPEC["dataset"]["digits"])
    data = source.load()
    file = tmp_path / "resnet14_vanilla.pth"
    torch.save({"model": seeded_model("resnet14", 10, seed=5).state_dict()}, file)
    store = TeacherStore(tmp_path / "teachers")
    dataset = DatasetConfig(name="digits", options=source.identity, content=data.content)
    return store, store.adopt(read(file), data, dataset), file


def test_a_stored_teacher_is_not_trained(stored: tuple[TeacherStore, Passport, Path]) -> None:
    store, passport, file = stored
    by_hash = build_plan(small_spec(pairs=[f"resnet14@{passport.hash[:8]} -> resnet8"]), store)
    assert by_hash.teachers == []
    kd = slot_of(by_hash, "kd")
    assert kd.teacher is None
    assert kd.trial().teacher == passport.reference
    assert kd.pair == f"resnet14@{passport.hash[:8]}→resnet8"
    by_file = build_plan(small_spec(pairs=[f"{file} -> resnet8"]), None)
    assert by_file.slots == by_hash.slots


def test_scratch_does_not_depend_on_how_the_teacher_is_named(
    small_plan: Plan, stored: tuple[TeacherStore, Passport, Path]
) -> None:
    store, passport, _ = stored
    named = build_plan(small_spec(pairs=[f"resnet14@{passport.hash[:8]} -> resnet8"]), store)
    assert slot_of(named, "scratch").id == slot_of(small_plan, "scratch").id


def test_a_stored_teacher_of_other_data_is_refused(stored: tuple[TeacherStore, Passport, Path]) -> None:
    store, passport, _ = stored
    pairs = [f"resnet14@{passport.hash[:8]} -> resnet8"]
    with pytest.raises(InputError, match="was measured on other data"):
        build_plan(small_spec(pairs=pairs, dataset={"digits": {"image_size": 16}}), store)
    with pytest.raises(InputError, match="there is no store"):
        build_plan(small_spec(pairs=pairs))
    with pytest.raises(InputError, match="no stored teacher is named by"):
        build_plan(small_spec(pairs=["resnet14@00000000 -> resnet8"]), store)


def test_a_damaged_stored_teacher_is_refused(stored: tuple[TeacherStore, Passport, Path]) -> None:
    store, passport, _ = stored
    (store.folder / passport.hash / "weights.pt").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="damaged"):
        build_plan(small_spec(pairs=[f"resnet14@{passport.hash[:8]} -> resnet8"]), store)
