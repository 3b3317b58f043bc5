"""The teacher store: what goes in comes out, and nothing else does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.examples import small_trial
from tests.trainers.storage.test_checkpoint import Touch
from trainers.config import TeacherConfig, TrialConfig
from trainers.contract.pretended_gpu import pretended
from trainers.data import ImageData
from trainers.errors import CheckpointError
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.result import EpochResult
from trainers.storage.checkpoint import to_bytes
from trainers.storage.content import file_sha256, tensors_key
from trainers.teacher import store as store_module
from trainers.teacher.passport import Passport
from trainers.teacher.store import TeacherStore

TRIAL = small_trial(epochs=4, samples_per_class=20)


@pytest.fixture(scope="module")
def trained(few: ImageData) -> tuple[Network, EpochResult]:
    """A trained resnet8, with its last epoch."""
    training = fit(TRIAL, data=few)
    while True:
        try:
            last = next(training)
        except StopIteration as stop:
            return stop.value, last


@pytest.fixture
def store(tmp_path: Path) -> TeacherStore:
    return TeacherStore(tmp_path / "teachers")


@pytest.fixture
def passport(store: TeacherStore, trained: tuple[Network, EpochResult], few: ImageData) -> Passport:
    return store.add(trained[0], TRIAL, few, trained[1])


def weights_of(store: TeacherStore, passport: Passport) -> Path:
    return store.folder / passport.hash / "weights.pt"


def edit(store: TeacherStore, passport: Passport, **fields: Any) -> None:
    path = store.folder / passport.hash / "passport.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def replace_weights(store: TeacherStore, passport: Passport, content: Any) -> None:
    """Other weights, with the checksum in the passport made to match."""
    path = weights_of(store, passport)
    path.write_bytes(to_bytes(content))
    edit(store, passport, file_sha256=file_sha256(path))


def test_a_teacher_comes_back_as_it_was(
    store: TeacherStore, passport: Passport, trained: tuple[Network, EpochResult], few: ImageData
) -> None:
    teacher = store.load(passport.reference, few)
    assert not teacher.training
    assert tensors_key(teacher.state_dict()) == passport.hash == tensors_key(trained[0].state_dict())
    with torch.no_grad():
        images = torch.randn(4, 3, 8, 8)
        assert torch.equal(teacher(images), trained[0].eval()(images))


def test_the_passport_says_what_is_known(
    store: TeacherStore, passport: Passport, trained: tuple[Network, EpochResult]
) -> None:
    assert passport.reference == TeacherConfig(architecture="resnet8", hash=passport.hash)
    assert passport.origin == TRIAL
    assert passport.origin_key == TRIAL.key
    assert (passport.val_acc, passport.test_acc) == (trained[1].val_acc, trained[1].test_acc)
    assert passport.probe_acc == trained[1].test_acc  # all of the 100 test images
    assert passport.num_classes == 10
    assert store.passports() == [passport]


def test_a_teacher_is_found_by_the_trial_that_trained_it(store: TeacherStore, passport: Passport) -> None:
    assert store.trained_by(TRIAL.key) == passport
    assert store.trained_by(small_trial().key) is None


def test_an_empty_store_has_no_teachers(tmp_path: Path) -> None:
    store = TeacherStore(tmp_path / "nowhere")
    assert store.passports() == []
    assert store.trained_by("0" * 16) is None


def test_other_weights_get_another_place(store: TeacherStore, passport: Passport, few: ImageData) -> None:
    other = seeded_model("resnet14", 10, seed=0)
    last = EpochResult(1, 1.0, {"ce": 1.0}, 0.1, 10.0, 50.0, None, None, 10.0, 50.0, 1.0, 1.0)
    config = TrialConfig.model_validate(TRIAL.model_dump() | {"model": "resnet14"})
    second = store.add(other, config, few, last)
    assert {found.hash for found in store.passports()} == {passport.hash, second.hash}
    assert second.val_acc is None
    assert tensors_key(store.load(second.reference, few).state_dict()) == second.hash
    assert store.trained_by(config.key) == second


def test_adding_twice_changes_nothing(
    store: TeacherStore, passport: Passport, trained: tuple[Network, EpochResult], few: ImageData
) -> None:
    def listing() -> dict[str, tuple[int, bytes]]:
        files = sorted(path for path in store.folder.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = listing()
    assert store.add(trained[0], TRIAL, few, trained[1]) == passport
    assert listing() == before
    assert [path.name for path in store.folder.iterdir()] == [passport.hash]


def cut_weights(store: TeacherStore, passport: Passport) -> None:
    path = weights_of(store, passport)
    path.write_bytes(path.read_bytes()[:-50])


def remove_weights(store: TeacherStore, passport: Passport) -> None:
    weights_of(store, passport).unlink()


def cut_passport(store: TeacherStore, passport: Passport) -> None:
    path = store.folder / passport.hash / "passport.json"
    path.write_text(path.read_text()[:-50])


def remove_passport(store: TeacherStore, passport: Passport) -> None:
    (store.folder / passport.hash / "passport.json").unlink()


def binary_passport(store: TeacherStore, passport: Passport) -> None:
    (store.folder / passport.hash / "passport.json").write_bytes(b"\xff\xfe\x00")


def other_weights(store: TeacherStore, passport: Passport) -> None:
    network = seeded_model("resnet8", 10, seed=5)
    weights_of(store, passport).write_bytes(to_bytes({"architecture": "resnet8", "state_dict": network.state_dict()}))


DAMAGES: list[tuple[Callable[[TeacherStore, Passport], None], str]] = [
    (cut_weights, r"teacher resnet8 \(.*\): .*weights.pt is damaged: its checksum is not the passport's"),
    (remove_weights, r"weights.pt is missing; remove the folder .* and run again to train it anew"),
    (cut_passport, r"teacher passport .*passport.json cannot be read; remove "),
    (remove_passport, r"teacher passport .*passport.json cannot be read"),
    (binary_passport, r"teacher passport .*passport.json cannot be read"),
    (other_weights, r"weights.pt is damaged"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_a_damaged_teacher_is_refused_and_replaced_when_stored_again(
    store: TeacherStore,
    passport: Passport,
    trained: tuple[Network, EpochResult],
    few: ImageData,
    damage: Callable[[TeacherStore, Passport], None],
    message: str,
) -> None:
    damage(store, passport)
    with pytest.raises(CheckpointError, match=message):
        store.load(passport.reference, few)
    assert store.add(trained[0], TRIAL, few, trained[1]) == passport
    assert tensors_key(store.load(passport.reference, few).state_dict()) == passport.hash
    assert [path.name for path in store.folder.iterdir()] == [passport.hash]


def test_check_reads_no_more_than_the_checksum(store: TeacherStore, passport: Passport) -> None:
    store.check(passport)
    cut_weights(store, passport)
    with pytest.raises(CheckpointError, match="is damaged"):
        store.check(passport)


def test_an_edited_accuracy_is_refused(store: TeacherStore, passport: Passport, few: ImageData) -> None:
    edit(store, passport, probe_acc=passport.probe_acc + 5)
    with pytest.raises(CheckpointError) as error:
        store.load(passport.reference, few)
    assert f"accuracy on the probe {passport.probe_acc:.2f}, passport {passport.probe_acc + 5:.2f}" in str(error.value)


def test_other_data_than_the_teacher_s_is_refused(store: TeacherStore, passport: Passport, few: ImageData) -> None:
    shuffled = replace(few, test=replace(few.test, labels=(few.test.labels + 1) % 10))
    with pytest.raises(CheckpointError, match="is not what its passport says"):
        store.load(passport.reference, shuffled)


@pytest.mark.parametrize(
    "fields",
    [{"architecture": "resnet14"}, {"architecture": "resnet9"}, {"num_classes": 11}, {"hash": "../outside"}, {"x": 1}],
    ids=str,
)
def test_an_edited_passport_is_refused(
    store: TeacherStore, passport: Passport, few: ImageData, fields: dict[str, Any]
) -> None:
    edit(store, passport, **fields)
    with pytest.raises(CheckpointError, match="teacher"):
        store.load(passport.reference, few)


def test_swapped_weights_are_refused_though_their_checksum_fits(
    store: TeacherStore, passport: Passport, few: ImageData
) -> None:
    other = seeded_model("resnet8", 10, seed=5).state_dict()
    replace_weights(store, passport, {"architecture": "resnet8", "state_dict": other})
    with pytest.raises(CheckpointError, match=r"teacher resnet8 \(.*\) is not what its passport says"):
        store.load(passport.reference, few)


def test_weights_that_differ_by_a_hair_are_refused_though_their_accuracy_fits(
    store: TeacherStore, passport: Passport, trained: tuple[Network, EpochResult], few: ImageData
) -> None:
    state = {key: value.clone() for key, value in trained[0].state_dict().items()}
    state["fc.bias"] += 1e-6
    replace_weights(store, passport, {"architecture": "resnet8", "state_dict": state})
    probe = f"{passport.probe_acc:.2f}"
    with pytest.raises(CheckpointError, match=f"is not what its passport says: .* probe {probe}, passport {probe}"):
        store.load(passport.reference, few)


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"state_dict": 5}, [1]], ids=str)
def test_files_that_are_no_teacher_are_refused(
    store: TeacherStore, passport: Passport, few: ImageData, content: Any
) -> None:
    replace_weights(store, passport, content)
    with pytest.raises(CheckpointError, match=r"teacher .*weights.pt (is no resnet8|holds a list)"):
        store.load(passport.reference, few)


def test_weights_of_another_architecture_are_refused(store: TeacherStore, passport: Passport, few: ImageData) -> None:
    other = seeded_model("resnet14", 10, seed=5).state_dict()
    replace_weights(store, passport, {"architecture": "resnet8", "state_dict": other})
    with pytest.raises(CheckpointError, match="is no resnet8: "):
        store.load(passport.reference, few)


def test_code_among_the_weights_is_refused_and_not_run(
    store: TeacherStore, passport: Passport, few: ImageData, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    replace_weights(store, passport, {"state_dict": {"conv1.weight": Touch(marker)}})
    with pytest.raises(CheckpointError, match="cannot be read as a torch weight file"):
        store.load(passport.reference, few)
    assert not marker.exists()


def test_a_teacher_asked_for_by_another_name_is_refused(
    store: TeacherStore, passport: Passport, few: ImageData
) -> None:
    with pytest.raises(CheckpointError, match="its passport is that of resnet8"):
        store.load(TeacherConfig(architecture="resnet14", hash=passport.hash), few)
    renamed = "f" * 16
    shutil.copytree(store.folder / passport.hash, store.folder / renamed)
    with pytest.raises(CheckpointError, match=f"its passport is that of resnet8 .{passport.hash}"):
        store.load(TeacherConfig(architecture="resnet8", hash=renamed), few)


def test_a_broken_passport_among_others_is_named(store: TeacherStore, passport: Passport) -> None:
    (store.folder / "abc").mkdir()
    (store.folder / "abc" / "passport.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"abc/passport.json cannot be read; remove .*abc"):
        store.passports()


# -- the probe --------------------------------------------------------------------------------------------------------


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices on which a teacher was measured."""
    devices, measure = list[str](), store_module.probe

    def probe(teacher: Network, data: ImageData, device: str = "cpu") -> float:
        devices.append(device)
        return measure(teacher, data, device)

    monkeypatch.setattr(store_module, "probe", probe)
    return devices


def test_a_machine_measures_a_teacher_once(
    store: TeacherStore, passport: Passport, few: ImageData, probes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        TeacherStore(store.folder).load(passport.reference, few)
    assert probes == ["cpu"]
    monkeypatch.setattr("platform.node", lambda: "another machine that has this disk")
    store.load(passport.reference, few)
    assert probes == ["cpu"] * 2


def test_what_was_measured_of_other_weights_or_data_counts_for_nothing(
    store: TeacherStore, passport: Passport, few: ImageData, probes: list[str]
) -> None:
    store.load(passport.reference, few)
    shuffled = replace(few, test=replace(few.test, labels=(few.test.labels + 1) % 10))
    with pytest.raises(CheckpointError, match="is not what its passport says"):
        store.load(passport.reference, shuffled)
    edit(store, passport, probe_acc=passport.probe_acc + 5)
    with pytest.raises(CheckpointError, match="accuracy on the probe"):
        store.load(passport.reference, few)
    assert probes == ["cpu"] * 2


def test_a_damaged_note_is_written_anew(
    store: TeacherStore, passport: Passport, few: ImageData, probes: list[str]
) -> None:
    store.load(passport.reference, few)
    (note,) = (store.folder / passport.hash / "probed").iterdir()
    note.write_text("{")
    for _ in range(2):
        store.load(passport.reference, few)
    assert probes == ["cpu"] * 2


def test_the_device_of_a_trial_measures_and_the_teacher_comes_on_the_cpu(
    store: TeacherStore, passport: Passport, few: ImageData
) -> None:
    with pretended() as gpu:
        teacher = store.load(passport.reference, few, "cuda")
        assert not next(teacher.parameters()).is_cuda
        assert any(wait.line.startswith("trainers/loop/evaluate.py") for wait in gpu.waits)
