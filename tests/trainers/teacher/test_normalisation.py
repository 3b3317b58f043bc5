"""Teachers that were trained behind another normalisation: it is theirs in every pass, and in every key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.trainers.examples import finish, small_trial
from trainers.config import DatasetConfig, Normalisation, TeacherConfig
from trainers.data import ImageData, Split
from trainers.errors import CheckpointError, InputError
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.storage.content import tensors_key
from trainers.teacher.normalisation import Renormalised, normalisation_of, renormalised
from trainers.teacher.passport import Passport
from trainers.teacher.pretrained import Pretrained, read
from trainers.teacher.stated import Stated
from trainers.teacher.store import TeacherStore
from trainers.teaching.logit_bank import LogitBank

OWN = Normalisation(mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))
UNIT = Normalisation(mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture
def store(tmp_path: Path) -> TeacherStore:
    return TeacherStore(tmp_path / "teachers")


@pytest.fixture
def file(tmp_path: Path, network: Network) -> Path:
    torch.save({"state_dict": network.state_dict(), "best_acc": 99.0}, tmp_path / "resnet8.pth")
    return tmp_path / "resnet8.pth"


@pytest.fixture
def found(file: Path) -> Pretrained:
    return read(file, normalisation=OWN)


@pytest.fixture
def passport(store: TeacherStore, found: Pretrained, few: ImageData, dataset: DatasetConfig) -> Passport:
    return store.adopt(found, few, dataset)


def pixels_of(data: ImageData) -> Tensor:
    assert isinstance(data.test, Split)
    return data.test.images.float() / 255


def by(pixels: Tensor, normalisation: Normalisation) -> Tensor:
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (normalisation.mean, normalisation.std))
    return (pixels - mean) / std


@torch.no_grad()
def test_it_sees_what_it_was_trained_on(few: ImageData, network: Network) -> None:
    pixels, given = pixels_of(few), normalisation_of(few)
    wrapped = renormalised(network, OWN, given)
    theirs = network.eval().features(by(pixels, OWN))
    ours = wrapped.features(by(pixels, given))
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.pooled, theirs.pooled, rtol=1e-4, atol=1e-4)
    for one, other in zip(ours.stages, theirs.stages, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert (wrapped(by(pixels, given)) - network(by(pixels, given))).abs().max() > 0.1
    assert wrapped.classifier is network.classifier
    assert (wrapped.stage_channels, wrapped.feature_dim) == (network.stage_channels, network.feature_dim)
    assert wrapped.last_norms() == network.last_norms()


def test_without_one_of_its_own_a_network_stays_as_it_is(few: ImageData, network: Network) -> None:
    assert renormalised(network, None, normalisation_of(few)) is network


def test_it_is_part_of_the_content(file: Path, found: Pretrained, few: ImageData, network: Network) -> None:
    plain = read(file)
    assert plain.hash == tensors_key(network.state_dict())
    assert len({plain.hash, found.hash, read(file, normalisation=UNIT).hash}) == 3
    assert found.hash == tensors_key(found.teacher(few).state_dict())
    darker = replace(few, mean=(0.1, 0.1, 0.1))
    assert tensors_key(found.teacher(darker).state_dict()) == found.hash  # it is the teacher's, whatever it is given


def test_the_data_set_s_own_is_none(file: Path, few: ImageData, network: Network) -> None:
    same = Normalisation(mean=few.mean, std=few.std)
    assert read(file, normalisation=same).on(few).hash == tensors_key(network.state_dict())
    assert read(file, normalisation=same).on(few).normalisation is None


def test_the_passport_keeps_it_and_the_accuracy_is_measured_with_it(
    store: TeacherStore, passport: Passport, few: ImageData, network: Network
) -> None:
    assert passport.normalisation == OWN
    with torch.no_grad():
        right = network.eval()(by(pixels_of(few), OWN)).argmax(1) == few.test.labels
    assert passport.test_acc == passport.probe_acc == pytest.approx(100 * right.double().mean().item())
    assert store.passports() == [passport]
    told = json.loads((store.folder / passport.hash / "passport.json").read_text())
    assert told["normalisation"] == {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.6, 0.7]}
    assert "sees images with its own normalisation: mean 0.5, 0.4, 0.3, std 0.5, 0.6, 0.7" in passport.remarks


def test_passports_and_files_of_others_are_as_they_were(
    store: TeacherStore, few: ImageData, dataset: DatasetConfig, tmp_path: Path, network: Network
) -> None:
    torch.save(network.state_dict(), tmp_path / "silent.pth")
    passport = store.adopt(read(tmp_path / "silent.pth"), few, dataset)
    told = json.loads((store.folder / passport.hash / "passport.json").read_text())
    assert sorted(told) == sorted(
        [
            *("hash", "architecture", "num_classes", "dataset", "origin", "origin_key", "val_acc", "test_acc"),
            *("probe_acc", "file_sha256"),
        ]
    )
    assert sorted(told["origin"]) == ["file", "form", "notes", "sha256"]
    content = torch.load(store.folder / passport.hash / "weights.pt", weights_only=True)
    assert list(content) == ["architecture", "state_dict"]


def test_a_stored_one_is_loaded_as_it_was_measured(
    store: TeacherStore, passport: Passport, few: ImageData, network: Network
) -> None:
    pixels, given = pixels_of(few), normalisation_of(few)
    for loaded in (store.load(passport.reference, few), store.network(passport, given)):
        assert not loaded.training
        with torch.no_grad():
            expected = network.eval()(by(pixels, OWN))
            torch.testing.assert_close(loaded(by(pixels, given)), expected, rtol=1e-4, atol=1e-4)
    darker = replace(few, mean=(0.2, 0.2, 0.2), std=(0.9, 0.9, 0.9))  # other images in, the same numbers out
    with torch.no_grad():
        loaded = store.load(passport.reference, darker)
        torch.testing.assert_close(loaded(by(pixels, normalisation_of(darker))), expected, rtol=1e-4, atol=1e-4)


def test_a_passport_with_another_one_is_refused(store: TeacherStore, passport: Passport, few: ImageData) -> None:
    path = store.folder / passport.hash / "passport.json"
    told = json.loads(path.read_text())
    for changed in ({"mean": [0.1] * 3, "std": [1.0] * 3}, None):
        path.write_text(json.dumps(told | {"normalisation": changed}))
        with pytest.raises(CheckpointError, match="is not what its passport says"):
            store.load(passport.reference, few)


def test_the_two_are_two_teachers_of_one_store(
    store: TeacherStore, passport: Passport, file: Path, few: ImageData, dataset: DatasetConfig
) -> None:
    plain = store.adopt(read(file), few, dataset)
    assert plain.normalisation is None
    assert {known.hash for known in store.passports()} == {plain.hash, passport.hash}
    assert store.adopt(read(file, normalisation=OWN), few, dataset) == passport


def test_its_own_weight_file_brings_it_along(
    store: TeacherStore, passport: Passport, found: Pretrained, tmp_path: Path
) -> None:
    again = read(store.folder / passport.hash / "weights.pt")
    assert (again.hash, again.normalisation) == (passport.hash, OWN)
    content = torch.load(store.folder / passport.hash / "weights.pt", weights_only=True)
    torch.save(content | {"normalisation": {"mean": [2.0] * 3, "std": [1.0] * 3}}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"w.pt: its normalisation cannot be read: "):
        read(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "numbers",
    [
        *({"mean": mean, "std": 1} for mean in (1.1, -0.1, "a", True, float("nan"), None, [0.5, 0.5], [0.5] * 4)),
        *({"mean": 0.5, "std": std} for std in (0, -1, 1.1, 1e-40, 0.0039, [0.5, 0.5, 0])),
        *({"mean": 123.7, "std": 58.4}, {"mean": 0.5}, {"std": 0.5}),
    ],
)
def test_what_is_none_is_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Normalisation.model_validate(numbers)
    assert Normalisation.model_validate({"mean": 0.5, "std": 1}).mean == (0.5, 0.5, 0.5)


# -- what a student is taught -----------------------------------------------------------------------------------------


def taught(
    few: ImageData, teacher: Network, key: str, method: str, bank: LogitBank | None = None, **recipe: Any
) -> Any:
    config = small_trial(method, epochs=1, **recipe)
    config = config.model_copy(update={"teacher": TeacherConfig(architecture="resnet8", hash=key)})
    results, student = finish(fit(config, data=few, teacher=teacher, bank=bank))
    return results[-1].loss, tensors_key(student.state_dict()), sum(result.teacher_images for result in results)


METHODS = {
    "kd": {},
    "dhkd": {},
    "sld": {},
    "at": {},
    "simkd": {},
    "ofd": {},
    "crd": {},
    "kd in bf16": {"precision": "bf16"},
}


@pytest.mark.parametrize("name", METHODS)
def test_a_student_is_taught_what_the_teacher_says_of_its_own_images(
    few: ImageData, found: Pretrained, name: str, tmp_path: Path
) -> None:
    method, recipe = name.partition(" ")[0], METHODS[name]
    plain = taught(few, found.network(), "0" * 16, method, **recipe)
    own = taught(few, found.teacher(few), "1" * 16, method, **recipe)
    assert own[0] != plain[0]
    equal = Renormalised(found.network(), normalisation_of(few), normalisation_of(few)).eval()
    again = taught(few, equal, "2" * 16, method, **recipe)
    assert again[0] == pytest.approx(plain[0], rel=1e-4)


@pytest.mark.parametrize("method", ["kd", "sld"])
def test_the_bank_knows_them_apart(few: ImageData, found: Pretrained, method: str, tmp_path: Path) -> None:
    bank = LogitBank(tmp_path / "bank")
    plain, own = found.network(), found.teacher(few)
    first = taught(few, plain, tensors_key(plain.state_dict()), method, bank)
    second = taught(few, own, found.hash, method, bank)
    assert second[2] > 0  # nothing of the first was taken for it
    assert taught(few, own, found.hash, method)[:2] == second[:2] != first[:2]
    third = taught(few, own, found.hash, method, bank)
    assert third[:2] == second[:2]
    assert third[2] == 0


def test_the_bank_knows_them_apart_where_no_trial_names_the_teacher(
    few: ImageData, found: Pretrained, tmp_path: Path
) -> None:
    bank = LogitBank(tmp_path / "bank")
    config = small_trial("kd", epochs=1).model_copy(update={"teacher": None})

    def images(teacher: Network) -> int:
        results, _ = finish(fit(config, data=few, teacher=teacher, bank=bank))
        return sum(result.teacher_images for result in results)

    assert images(found.network()) > 0
    assert images(found.teacher(few)) > 0
    assert images(found.teacher(few)) == 0


# -- doubts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "measured", "doubted"),
    [(99.0, 86.2, True), (92.54, 89.54, True), (92.54, 90.0, False), (50.0, 90.0, False), (None, 90.0, False)],
)
def test_a_file_that_states_much_more_than_is_measured_is_doubted(
    passport: Passport, stated: float | None, measured: float, doubted: bool
) -> None:
    said = Stated(name="best_top1", percent=stated) if stated is not None else None
    origin = passport.origin.model_copy(update={"stated": said})
    doubts = passport.model_copy(update={"origin": origin, "test_acc": measured}).doubts
    assert bool(doubts) is doubted
    if doubted:
        assert doubts[0].startswith(f"the file states {stated:.2f} (best_top1), well above what is measured here: was")


def test_the_passport_keeps_what_the_file_states(store: TeacherStore, passport: Passport) -> None:
    (known,) = store.passports()
    assert known.origin == passport.origin
    assert known.doubts == passport.doubts
    assert known.doubts[0].startswith("the file states 99.00 (best_acc), well above")


def test_another_number_of_classes_is_refused_as_ever(
    store: TeacherStore, tmp_path: Path, few: ImageData, dataset: DatasetConfig
) -> None:
    torch.save(seeded_model("resnet8", 7, seed=0).state_dict(), tmp_path / "seven.pth")
    with pytest.raises(InputError, match="tells 7 classes apart"):
        store.adopt(read(tmp_path / "seven.pth", normalisation=OWN), few, dataset)
