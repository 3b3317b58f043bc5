"""Teachers that were trained elsewhere: measured here, stored once, found by their hash."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trainers.examples import small_trial
from trainers.config import DatasetConfig, TrialConfig
from trainers.data import ImageData, Split
from trainers.errors import CheckpointError, InputError
from trainers.fit import seeded_model
from trainers.models import Network
from trainers.result import EpochResult
from trainers.storage.content import tensors_key
from trainers.teacher.passport import PROBE_IMAGES, Passport
from trainers.teacher.pretrained import Imported, Pretrained, read
from trainers.teacher.store import TeacherStore

TRIAL = small_trial()
LAST = EpochResult(4, 1.0, {"ce": 1.0}, 0.1, 10.0, 50.0, None, None, 10.0, 50.0, 1.0, 1.0)
OLD = """{
  "hash": "74277f6d81646aa1", "architecture": "resnet14", "num_classes": 10,
  "dataset": {"name": "digits", "options": {"image_size": 8}, "content": "db257da8eff59d30"},
  "origin": {
    "dataset": {"name": "digits", "options": {"image_size": 8}, "content": "db257da8eff59d30"},
    "model": "resnet14", "teacher": null, "method": {"name": "scratch", "params": {}},
    "recipe": {"epochs": 2, "batch_size": 64, "lr": 0.05, "views": "weak", "pad": 1, "flip": false}, "seed": 0},
  "origin_key": "67177ab3188b26bf", "val_acc": 71.25, "test_acc": 72.4, "probe_acc": 72.4,
  "file_sha256": "00"}"""


@pytest.fixture
def store(tmp_path: Path) -> TeacherStore:
    return TeacherStore(tmp_path / "teachers")


@pytest.fixture
def found(tmp_path: Path, network: Network) -> Pretrained:
    """The network's weights out of a published file."""
    (tmp_path / "resnet8_vanilla").mkdir()
    path = tmp_path / "resnet8_vanilla" / "ckpt_epoch_240.pth"
    torch.save({"model": network.state_dict(), "epoch": 240}, path)
    return read(path)


@pytest.fixture
def passport(store: TeacherStore, found: Pretrained, few: ImageData, dataset: DatasetConfig) -> Passport:
    return store.adopt(found, few, dataset)


def files(store: TeacherStore) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(store.folder.rglob("*")) if p.is_file()}


def test_the_passport_says_where_it_comes_from_and_what_was_measured(
    store: TeacherStore, passport: Passport, found: Pretrained, dataset: DatasetConfig, network: Network
) -> None:
    assert passport.hash == passport.origin_key == tensors_key(network.state_dict())
    assert passport.origin == found.origin
    assert passport.came_from == "resnet8_vanilla/ckpt_epoch_240.pth"
    assert (passport.architecture, passport.num_classes, passport.dataset) == ("resnet8", 10, dataset)
    assert (passport.val_acc, passport.epochs) == (None, 0)
    assert store.passports() == [passport]


def test_the_accuracy_is_that_of_the_whole_test_set(
    store: TeacherStore, found: Pretrained, few: ImageData, dataset: DatasetConfig, network: Network
) -> None:
    test = few.test
    assert isinstance(test, Split)
    many = Split(test.images.repeat(11, 1, 1, 1), test.labels.repeat(11), test.index.repeat(11))
    wrong = torch.arange(PROBE_IMAGES, 1100)
    many.labels[wrong] = (many.labels[wrong] + 1) % 10
    passport = store.adopt(found, replace(few, test=many), dataset)
    pixels = (test.images.float() / 255 - few.mean[0]) / few.std[0]
    with torch.no_grad():
        said = network.eval()(pixels).argmax(1).repeat(11)
    assert passport.test_acc == pytest.approx(100 * (said == many.labels).double().mean().item())
    assert passport.probe_acc == pytest.approx(100 * (said == many.labels)[:PROBE_IMAGES].double().mean().item())
    assert passport.test_acc != passport.probe_acc


def test_an_imported_teacher_teaches(store: TeacherStore, passport: Passport, few: ImageData, network: Network) -> None:
    teacher = store.load(passport.reference, few)
    assert not teacher.training
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(teacher(images), network.eval()(images))


@pytest.mark.slow(1)
def test_importing_twice_changes_nothing(
    store: TeacherStore, passport: Passport, found: Pretrained, few: ImageData, dataset: DatasetConfig, tmp_path: Path
) -> None:
    before = files(store)
    assert store.adopt(found, few, dataset) == passport
    torch.save(found.state_dict, tmp_path / "the same under another name.pt")
    assert store.adopt(read(tmp_path / "the same under another name.pt"), few, dataset) == passport
    assert files(store) == before


def test_a_trained_teacher_stays_a_trained_one(
    store: TeacherStore, found: Pretrained, few: ImageData, network: Network
) -> None:
    trained = store.add(network, TRIAL, few, LAST)
    assert store.adopt(found, few, TRIAL.dataset.model_copy(update={"content": trained.dataset.content})) == trained
    assert store.trained_by(TRIAL.key) == trained


def test_an_import_is_not_what_a_trial_made(store: TeacherStore, passport: Passport) -> None:
    assert store.trained_by(TRIAL.key) is None


def test_a_damaged_import_is_refused_and_mended_by_the_next(
    store: TeacherStore, passport: Passport, found: Pretrained, few: ImageData, dataset: DatasetConfig
) -> None:
    weights = store.folder / passport.hash / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match=r"is damaged.*and import resnet8_vanilla/ckpt_epoch_240.pth again"):
        store.check(passport)
    assert store.adopt(found, few, dataset) == passport
    store.check(passport)


def test_another_number_of_classes_is_refused(
    store: TeacherStore, found: Pretrained, few: ImageData, dataset: DatasetConfig
) -> None:
    eleven = replace(few, classes=(*few.classes, "ten"))
    with pytest.raises(InputError) as error:
        store.adopt(found, eleven, dataset)
    assert "teacher resnet8_vanilla/ckpt_epoch_240.pth (resnet8) tells 10 classes apart" in str(error.value)
    assert "data set 'digits' has 11" in str(error.value)
    assert store.passports() == []


def test_images_that_the_network_does_not_take_are_refused(
    store: TeacherStore, few: ImageData, dataset: DatasetConfig, tmp_path: Path
) -> None:
    torch.save(seeded_model("timm:test_vit", 10, seed=0).state_dict(), tmp_path / "vit.pth")
    with pytest.raises(
        InputError, match=r"\(timm:test_vit\) does not take images of 8 × 8 pixels: .* divisible by patch"
    ):
        store.adopt(read(tmp_path / "vit.pth", "timm:test_vit"), few, dataset)
    assert store.passports() == []


def test_the_same_weights_for_other_data_are_refused(
    store: TeacherStore, passport: Passport, found: Pretrained, few: ImageData, dataset: DatasetConfig
) -> None:
    other = dataset.model_copy(update={"content": "f" * 16})
    with pytest.raises(InputError, match=rf"measured on other data \(digits, {dataset.content}\) .*; remove .* first"):
        store.adopt(found, few, other)
    assert store.passports() == [passport]


@pytest.mark.parametrize(
    ("classes", "accuracy", "doubtful"),
    [(10, 10.0, True), (10, 32.0, True), (10, 33.0, False), (100, 25.0, True), (100, 72.3, False), (2, 62.0, True)],
)
def test_a_low_accuracy_is_doubtful(passport: Passport, classes: int, accuracy: float, doubtful: bool) -> None:
    assert passport.model_copy(update={"num_classes": classes, "test_acc": accuracy}).doubtful is doubtful


def test_passports_from_before_imports_are_still_read(store: TeacherStore) -> None:
    folder = store.folder / "74277f6d81646aa1"
    folder.mkdir(parents=True)
    (folder / "passport.json").write_text(OLD)
    (old,) = store.passports()
    assert isinstance(old.origin, TrialConfig)
    assert (old.epochs, old.came_from) == (2, "trial 67177ab3188b26bf")
    assert store.trained_by("67177ab3188b26bf") == old


def test_the_two_origins_are_told_apart_in_the_file(store: TeacherStore, passport: Passport) -> None:
    text = (store.folder / passport.hash / "passport.json").read_text()
    read_again = Passport.model_validate_json(text)
    assert isinstance(read_again.origin, Imported)
    assert read_again == passport


def test_a_teacher_is_found_by_its_hash(store: TeacherStore, passport: Passport, few: ImageData) -> None:
    for reference in (passport.hash, passport.hash[:6], f"resnet8@{passport.hash[:8]}"):
        assert store.find(reference) == passport


def test_a_teacher_that_is_not_there_is_answered_with_those_that_are(store: TeacherStore, passport: Passport) -> None:
    there = f"stored: resnet8@{passport.hash} (digits, {passport.test_acc:.2f} %)"
    for reference in ("000000", f"resnet14@{passport.hash[:6]}"):
        with pytest.raises(InputError) as error:
            store.find(reference)
        assert str(error.value) == f"no stored teacher is named by '{reference}'; {there}"
    for reference in (passport.hash[:5], "resnet8", "resnet8@", "../../x", f"{passport.hash[:6]}*", ""):
        with pytest.raises(InputError, match="named by at least 6 digits of its hash") as error:
            store.find(reference)
        assert there in str(error.value)


def test_an_empty_store_says_so(store: TeacherStore) -> None:
    with pytest.raises(InputError, match=r"no stored teacher is named by '0123456'; none is stored below .*teachers"):
        store.find("0123456")


def test_an_ambiguous_reference_is_refused(store: TeacherStore, passport: Passport) -> None:
    twin = passport.hash[:8] + "0" * 8
    shutil.copytree(store.folder / passport.hash, store.folder / twin)
    with pytest.raises(InputError, match="several stored teachers are named by"):
        store.find(passport.hash[:8])
    assert store.find(passport.hash) == passport


def test_reading_and_storing_leave_torch_s_generator_alone(
    found: Pretrained, store: TeacherStore, few: ImageData, dataset: DatasetConfig
) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    store.adopt(found, few, dataset)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_of_the_seed_s_is_not_the_file_s(found: Pretrained) -> None:
    assert found.hash != tensors_key(seeded_model("resnet8", 10, seed=2).state_dict())
