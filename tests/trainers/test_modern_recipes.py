"""Recipes with everything that transformers are trained by: they go on as if never stopped, hold in cohorts, and the
teacher sees what the student does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.examples import finish, goes_on_as_if_never_stopped, small_trial
from trainers.cohort import fit_cohort
from trainers.config import TrialConfig
from trainers.data import DATASETS, ImageData
from trainers.fit import fit
from trainers.loop.data_parallel import ALONE, Group
from trainers.material import Material
from trainers.models import Network
from trainers.storage.content import tensors_key
from trainers.teaching.chunks import Preparation, Pupil
from trainers.teaching.lesson import LiveTeacher, NoTeacher
from trainers.teaching.logit_bank import LogitBank
from trainers.training import Training

MODERN: dict[str, Any] = {
    "optimizer": {"adamw": {"betas": [0.9, 0.95]}},
    "lr": 0.002,
    "weight_decay": 0.05,
    "decay_norms_and_biases": False,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "warmup_start": 0.01,
    "min_lr": 1e-5,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "ema": {"decay": 0.9},
    "randaugment": {"magnitude": 5},
    "random_erasing": 0.25,
    "mixup": 0.8,
    "cutmix": 1.0,
}
VIEWS = {"randaugment": {"magnitude": 5}, "random_erasing": 0.25}


def trial(method: str = "kd", params: dict[str, Any] | None = None, **recipe: Any) -> TrialConfig:
    return small_trial(method, params, **(MODERN | recipe))


EVERY = {
    "scratch": trial("scratch"),
    "logits": trial(),
    "labels, not mixed": trial("dkd", {"warmup_epochs": 0}, mixup=0.0, cutmix=0.0),
    "strong views, not mixed": trial("sld", mixup=0.0, cutmix=0.0),
    "dropout and aligned gradients": trial("dhkd", {"head": "nonlinear", "align": True}),
    "maps": trial("fitnet"),
    "two heads": trial("dho"),
    "sgd": trial(optimizer="sgd", lr=0.05),
    "lamb and binary cross-entropy": trial(
        optimizer="lamb", lr=0.01, label_loss="bce", label_smoothing=0.0, clip_norm=None
    ),
}


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", EVERY)
def test_stopped_after_every_epoch_it_goes_on_as_if_never_stopped(
    name: str, few: ImageData, teacher: Network, tmp_path: Path
) -> None:
    goes_on_as_if_never_stopped(EVERY[name], few, teacher, tmp_path)


@pytest.mark.slow(5)
def test_a_transformer_with_drop_path_and_rates_by_layer_goes_on_and_holds_in_a_cohort(
    few: ImageData, tmp_path: Path
) -> None:
    data = DATASETS["digits"](image_size=32).load()
    more = {"drop_path": 0.3, "layer_decay": 0.7, "epochs": 2}
    config, other = (
        trial("scratch", label_smoothing=0.1, **more).model_copy(update={"model": model})
        for model in ("timm:test_vit", "timm:convnext_zepto_rms")
    )
    whole, student = finish(fit(config, data=data))
    without, _ = finish(fit(config.model_copy(update={"recipe": trial(epochs=2, layer_decay=0.7).recipe}), data=data))
    assert whole[-1].loss != without[-1].loss
    assert next(fit(config, data=data, folder=tmp_path)) == whole[0]
    again, same = finish(fit(config, data=data, folder=tmp_path))
    beside, third = next(finish(one) for one in fit_cohort([config, other], data=data))
    assert again == beside == whole
    assert len({tensors_key(network.state_dict()) for network in (student, same, third)}) == 1


@pytest.mark.slow(2)
def test_in_a_cohort_each_has_the_numbers_that_it_has_alone(few: ImageData, teacher: Network) -> None:
    configs = [trial("scratch"), trial(), trial("dhkd", {"head": "nonlinear"}), trial("fitnet")]
    alone = [finish(fit(config, data=few, teacher=teacher if config.teacher else None)) for config in configs]
    together = [finish(one) for one in fit_cohort(configs, data=few, teacher=teacher)]
    for (results, student), (theirs, same) in zip(alone, together, strict=True):
        assert results == theirs
        assert tensors_key(student.state_dict()) == tensors_key(same.state_dict())


def test_of_mixed_images_the_bank_holds_nothing(few: ImageData, teacher: Network, tmp_path: Path) -> None:
    bank = LogitBank(tmp_path)
    results, _ = finish(fit(trial(), data=few, teacher=teacher, bank=bank))
    plain, _ = finish(fit(trial(), data=few, teacher=teacher))
    assert results == plain
    assert bank.used() == 0
    images = sum(
        len(part) for part in Training(trial(), Material.of(trial().recipe, few, "cpu")).material.train.labels[None]
    )
    assert [result.teacher_images for result in results] == [images] * 3


@pytest.mark.slow(1)
@pytest.mark.parametrize("views", [{"randaugment": {}}, {"random_erasing": 0.5}], ids=str)
def test_of_views_without_end_the_bank_holds_each_epoch_s(
    views: dict[str, Any], few: ImageData, teacher: Network, tmp_path: Path
) -> None:
    bank = LogitBank(tmp_path)
    cold, _ = finish(fit(small_trial("kd", **views), data=few, teacher=teacher, bank=bank))
    warm, _ = finish(fit(small_trial("kd", {"alpha": 0.9}, **views), data=few, teacher=teacher, bank=bank))
    plain, _ = finish(fit(small_trial("kd", **views), data=few, teacher=teacher))
    assert cold == plain
    assert [result.terms for result in warm] == [result.terms for result in plain]
    assert all(result.teacher_images for result in cold)
    assert not any(result.teacher_images for result in warm)


def prepared(few: ImageData, teacher: Network, group: Group = ALONE, **recipe: Any) -> list[Any]:
    """The batches of an epoch, for a process of a group."""
    config = trial(**recipe)
    material = Material.of(config.recipe, few, "cpu")
    training = Training(config, material)
    training.begin(2)
    training.group = group
    taught = LiveTeacher(teacher, material.autocast)
    pupils = (Pupil(taught, False), Pupil(NoTeacher(), False))
    preparation = Preparation(config.recipe, 0, material.train, material.views, pupils)
    return list(preparation.batches(training.parts, 2, training.partners))


def test_the_teacher_sees_the_mixed_image_and_labels_go_with_it(few: ImageData, teacher: Network) -> None:
    for taught, untaught in prepared(few, teacher):
        assert taught.images is untaught.images or torch.equal(taught.images, untaught.images)
        torch.testing.assert_close(taught.need_teacher().logits, teacher(taught.images))
        assert torch.equal(taught.partners.targets, taught.targets.flip(0))
        assert 0 < taught.partners.share.min() <= taught.partners.share.max() <= 1


def test_without_mixing_every_image_is_its_own(few: ImageData, teacher: Network) -> None:
    for taught, _ in prepared(few, teacher, mixup=0.0, cutmix=0.0):
        assert taught.partners is None


def test_the_shares_of_several_processes_are_the_batch_of_one(few: ImageData, teacher: Network) -> None:
    whole = prepared(few, teacher)
    shares = [prepared(few, teacher, Group(rank, 3)) for rank in range(3)]
    for (batch, _), *parts in zip(whole, *shares, strict=True):
        assert torch.equal(torch.cat([part.images for part, _ in parts]), batch.images)
        assert torch.equal(torch.cat([part.targets for part, _ in parts]), batch.targets)
        for place in (0, 1):
            assert torch.equal(torch.cat([part.partners[place] for part, _ in parts]), batch.partners[place])


@pytest.mark.parametrize("size", [8, 32])
def test_a_mixture_does_not_depend_on_how_many_are_prepared_together(
    few: ImageData, teacher: Network, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("trainers.teaching.chunks.CHUNK_IMAGES_CPU", size)
    apart = prepared(few, teacher)
    monkeypatch.undo()
    for (one, _), (other, _) in zip(apart, prepared(few, teacher), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.partners.share, other.partners.share)


@pytest.mark.slow(2)
def test_each_part_changes_the_numbers(few: ImageData, teacher: Network) -> None:
    """None of the fields is read by nobody."""
    plain = finish(fit(small_trial("kd"), data=few, teacher=teacher))[0]
    others = ("lr", "schedule", "warmup_epochs", "warmup_start", "min_lr", "weight_decay", "ema")
    found = {
        name: finish(fit(small_trial("kd", **{name: value}), data=few, teacher=teacher))[0]
        for name, value in (MODERN | {"clip_norm": 0.1, "label_loss": "bce"}).items()
        if name not in others
    }
    assert [name for name, results in found.items() if results[-1].loss == plain[-1].loss] == []
