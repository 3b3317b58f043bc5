"""Teachers that are there already."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.plan.teachers import store_named_files
from tests.support.examples import SPEC, slot_of, small_spec
from trainers.config import DatasetConfig, Normalisation
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


# -- files ------------------------------------------------------------------------------------------------------------


def a_file(folder: Path, name: str = "resnet14.pth", **beside: Any) -> Path:
    torch.save({"model": seeded_model("resnet14", 10, seed=5).state_dict()} | beside, folder / name)
    return folder / name


def planned(file: Path | str, said: dict[str, Any] | None = None) -> Plan:
    return build_plan(small_spec(pairs=[{f"{file} -> resnet8": {"teacher": said} if said else None}]), None)


def test_what_a_pair_says_of_a_file_is_in_the_keys_of_its_trials(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    plain, own = planned(file), planned(file, {"mean": 0.5, "std": 0.5})
    teacher = slot_of(own, "kd").trial().teacher
    assert teacher is not None
    normalisation = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert teacher.hash == read(file, normalisation=normalisation).hash
    assert slot_of(own, "kd").id != slot_of(plain, "kd").id
    assert slot_of(own, "scratch").id == slot_of(plain, "scratch").id
    data = DATASETS["digits"].model_validate(SPEC["dataset"]["digits"]).load()
    same = planned(file, {"mean": list(data.mean), "std": list(data.std)})
    assert same.slots == plain.slots


def test_a_file_that_a_pair_names_is_stored_as_the_pair_says_and_doubts_are_said(tmp_path: Path) -> None:
    store, said = TeacherStore(tmp_path / "teachers"), []
    file = a_file(tmp_path, best_top1=92.5)
    spec = small_spec(pairs=[{f"{file} -> resnet8": {"teacher": {"mean": 0.5, "std": 0.5}}}])
    store_named_files(spec, store, said.append)
    (passport,) = store.passports()
    assert passport.normalisation == Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    teacher = slot_of(build_plan(spec, store), "kd").trial().teacher
    assert teacher == passport.reference
    by_hash = build_plan(small_spec(pairs=[f"resnet14@{passport.hash[:8]} -> resnet8"]), store)
    assert slot_of(by_hash, "kd").trial().teacher == teacher
    (doubt,) = said
    assert doubt.startswith(
        f"teacher {file} ({passport.test_acc:.2f} %): the file states 92.50 (best_top1), well above"
    )


def test_a_file_is_doubted_for_what_it_states_itself_though_its_weights_are_stored_as_another_s(tmp_path: Path) -> None:
    store, said = TeacherStore(tmp_path / "teachers"), []
    silent, loud = a_file(tmp_path, "silent.pth", best_acc=0.01), a_file(tmp_path, "loud.pth", best_acc=0.99)
    for file in (silent, loud):
        store_named_files(small_spec(pairs=[f"{file} -> resnet8"]), store, said.append)
    assert len(store.passports()) == 1
    assert said[-1].startswith(f"teacher {loud} (")
    assert "the file states 99.00 (best_acc)" in said[-1]
    assert not any("silent" in line and "states" in line for line in said)


def test_nothing_is_said_of_a_file_that_nothing_is_wrong_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.teacher.store.top1", lambda *_: 92.4)  # as good as it says
    said: list[str] = []
    spec = small_spec(pairs=[f"{a_file(tmp_path, best_top1=92.5)} -> resnet8"])
    store_named_files(spec, TeacherStore(tmp_path / "teachers"), said.append)
    assert said == []


@pytest.mark.parametrize("name", ["resnet14.th", "resnet14.CKPT", "resnet14"])
def test_a_file_of_any_ending_teaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = a_file(tmp_path, name)
    plan = planned(f"~/{name}")
    teacher = slot_of(plan, "kd").trial().teacher
    assert teacher is not None
    assert (teacher.architecture, teacher.hash) == ("resnet14", read(file).hash)
    store_named_files(
        small_spec(pairs=[f"~/{name} -> resnet8"]), TeacherStore(tmp_path / "teachers"), lambda line: None
    )
    assert [passport.hash for passport in TeacherStore(tmp_path / "teachers").passports()] == [teacher.hash]


def test_an_archive_is_named_when_the_plan_is_made(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "teachers.pth.tar", "w") as archive:
        archive.add(a_file(tmp_path))
    with pytest.raises(CheckpointError, match=r"teachers\.pth\.tar is a tar archive: unpack it and import the folder"):
        planned(tmp_path / "teachers.pth.tar")
