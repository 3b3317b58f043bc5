"""What a rehearsal makes of the seconds that it measures, and of what it trains on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainers.examples import small_trial
from trainers import rehearsal
from trainers.config import Recipe, TrialConfig
from trainers.data import ImageData, Split, TrainingData
from trainers.fit import seeded_model
from trainers.rehearsal import EPOCHS, SECONDS, TRIES, rehearse, stand_in
from trainers.result import EpochResult
from trainers.teaching.logit_bank import LogitBank


def epoch(seconds: float) -> EpochResult:
    """An epoch of so many seconds, at a hundred times as many images per second."""
    accuracies = {"train_acc": 0.0, "train_acc5": 0.0, "val_acc": None, "val_acc5": None}
    return EpochResult(
        **({"epoch": 1, "loss": 0.0, "terms": {}, "lr": 0.1, "test_acc": 0.0, "test_acc5": 0.0} | accuracies),
        seconds=seconds,
        images_per_second=100 * seconds,
    )


class Scripted:
    """Stands for :func:`trainers.fit.fit`: every call takes the next of the seconds that are laid down for it."""

    def __init__(self, *passes: Sequence[float]) -> None:
        self.passes = list(passes)
        self.events: list[str] = []
        self.recipes: list[Recipe] = []
        self.banks: list[LogitBank] = []

    def __call__(self, config: TrialConfig, *, bank: LogitBank, **rest: Any) -> Iterator[EpochResult]:
        self.events.append("fit")
        self.recipes.append(config.recipe)
        self.banks.append(bank)
        yield from (epoch(seconds) for seconds in self.passes.pop(0))

    def ready(self) -> None:
        self.events.append("ready")


@pytest.fixture
def trial() -> TrialConfig:
    """40 images of the few that there are, of which the short epochs see 20: two of each class."""
    return small_trial("kd", samples_per_class=4, batch_size=3)


def rehearsed(trial: TrialConfig, data: ImageData, fit: Scripted, patch: pytest.MonkeyPatch) -> rehearsal.Rehearsal:
    patch.setattr(rehearsal, "fit", fit)
    return rehearse(trial, data=data, teacher=None, ready=fit.ready)


def test_an_epoch_takes_the_median_of_the_second_pass_as_often_as_the_short_one_fits_into_it(
    trial: TrialConfig, few: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Scripted([9.0, 5.0, 7.0], [2.0, 100.0, 3.0])
    told = rehearsed(trial, few, fit, monkeypatch)
    assert told.epoch_seconds == 3.0 * 40 / 20
    assert told.teacher_seconds == (7.0 - 3.0) * 40 / 20
    assert told.images_per_second == 300.0
    assert told.peak_bytes == 0


def test_the_second_pass_has_the_bank_of_the_first_and_waits_for_the_others(
    trial: TrialConfig, few: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Scripted([1.0], [1.0])
    rehearsed(trial, few, fit, monkeypatch)
    assert fit.events == ["fit", "ready", "fit"]
    assert fit.banks[0] is fit.banks[1]
    assert not fit.banks[0].folder.exists()


def test_a_teacher_costs_nothing_where_the_second_pass_is_slower(
    trial: TrialConfig, few: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rehearsed(trial, few, Scripted([1.0], [2.0]), monkeypatch).teacher_seconds == 0.0


def test_short_epochs_have_a_few_steps_and_as_many_images_to_test_on_in_proportion(
    few: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = small_trial("kd", batch_size=8, warmup_epochs=1, schedule="cosine")
    fit = Scripted([1.0], [1.0])
    rehearsed(trial, few, fit, monkeypatch)
    (short, again), whole = fit.recipes, TrainingData.cut(few, trial.recipe)
    assert short == again
    assert (short.epochs, short.warmup_epochs, short.schedule, short.val_fraction) == (EPOCHS, 0, "constant", 0.0)
    assert short.samples_per_class == 5  # 50 images make 7 batches of 8: 4 of each class would make 5
    assert whole.val is not None
    assert short.test_per_class == round(5 * (len(whole.test) + len(whole.val)) / len(whole.train))


def test_a_recipe_of_fewer_images_stays_as_it_is(few: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Scripted([1.0], [1.0])
    rehearsed(small_trial("kd", samples_per_class=8, batch_size=32), few, fit, monkeypatch)
    assert fit.recipes[0].samples_per_class == 8


def test_a_stand_in_has_the_statistics_of_the_data_and_is_left_as_a_network_is_built(
    few: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "STATISTICS_SIZE", 16)
    network, fresh = stand_in("resnet8", few), seeded_model("resnet8", 10, seed=0)
    assert not network.training
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    (part,) = few.train.batches([torch.arange(4 * 16)])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (few.mean, few.std))
    with torch.no_grad():
        first = fresh.get_submodule("conv1")((part.images.float() / 255 - mean) / std)
    statistics = network.get_submodule("bn1").get_buffer("running_mean")
    assert torch.allclose(statistics, first.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), fresh.parameters(), strict=True))


# -- on a GPU ----------------------------------------------------------------------------------------------------------


class Timed:
    """Stands for :func:`trainers.fit.fit` on a device that takes so long for an image, and for what surrounds them."""

    def __init__(self, image: float, around: float) -> None:
        self.image, self.around = image, around
        self.trained: list[float] = []
        """Seconds of the epochs of each call."""

    def __call__(self, config: TrialConfig, *, data: ImageData, **rest: Any) -> Iterator[EpochResult]:
        images = len(TrainingData.cut(data, config.recipe).train)
        self.trained.append(self.around + images * self.image)
        took = replace(epoch(self.trained[-1]), images_per_second=images / self.trained[-1])
        yield from [took] * EPOCHS


def many(count: int) -> ImageData:
    """So many blank images of ten classes to train on, and as many to test on."""
    blank = Split(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), torch.arange(count) % 10, torch.arange(count))
    return ImageData("blank", blank, blank, tuple("0123456789"), (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("image", [1e-5, 1e-4, 1e-3, 0.1])
def test_on_a_gpu_an_epoch_is_long_enough_to_be_measured(image: float, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Timed(image, around=0.05)
    monkeypatch.setattr(rehearsal, "fit", fit)
    trial = small_trial("kd", samples_per_class=None, val_fraction=0, batch_size=20)
    told = rehearse(trial, data=many(100_000), teacher=None, device="cuda")
    assert fit.trained[-1] == fit.trained[-2] >= SECONDS / EPOCHS / 2
    assert image > 1e-3 or fit.trained[-1] <= 2 * SECONDS / EPOCHS
    assert len(fit.trained) <= 2 * TRIES + 2
    alone = 100_000 * image + 0.05
    assert alone <= told.epoch_seconds <= alone * 1.2


def test_on_a_gpu_no_more_is_asked_for_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Timed(1e-6, around=0.01)
    monkeypatch.setattr(rehearsal, "fit", fit)
    trial = small_trial("kd", samples_per_class=None, val_fraction=0, batch_size=20)
    told = rehearse(trial, data=many(1_000), teacher=None, device="cuda")
    assert told.epoch_seconds == pytest.approx(0.01 + 1_000 * 1e-6)
