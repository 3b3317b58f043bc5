"""What a plan refuses before anything trains, and that looking takes no memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.trainers.examples import small_trial
from trainers.check import _blueprint, check
from trainers.config import TrialConfig
from trainers.data import ImageData, Split
from trainers.errors import InputError


@pytest.fixture
def tiny(few: ImageData) -> ImageData:
    """The same labels on images of 4 × 4 pixels."""
    images = torch.zeros(len(few.train), 3, 4, 4, dtype=torch.uint8)
    return replace(few, train=Split(images, few.train.labels, few.train.index))


@pytest.mark.parametrize("method", ["scratch", "kd", "fitnet", "crd"])
def test_what_goes_together_passes(few: ImageData, method: str) -> None:
    check(small_trial(method), few, None if method == "scratch" else "resnet14")


def test_networks_that_were_looked_at_take_no_memory() -> None:
    network = _blueprint("vgg8", 10, (8, 8))
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    assert not network.training


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (small_trial("gdkd", {"k": 10}), r"k must be smaller than the number of classes \(10\), found 10"),
        (small_trial("dkhd"), r"unknown method 'dkhd'; did you mean 'dhkd'\?"),
        (small_trial().model_copy(update={"model": "resnet9"}), r"unknown model 'resnet9'"),
        (small_trial("fitnet", {"hint_stage": 4}), r"hint_stage 4 is not a stage of both networks"),
    ],
)
def test_what_does_not_go_together_is_refused(few: ImageData, config: TrialConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(config, few, "resnet14")


def test_an_unknown_teacher_is_refused(few: ImageData) -> None:
    with pytest.raises(InputError, match="unknown model 'resnet15'"):
        check(small_trial("kd"), few, "resnet15")


def test_images_too_small_for_student_or_teacher_are_refused(tiny: ImageData) -> None:
    message = r"^model 'vgg8' does not take images of 4 × 4 pixels"
    with pytest.raises(InputError, match=message):
        check(small_trial().model_copy(update={"model": "vgg8"}), tiny, None)
    with pytest.raises(InputError, match=message):
        check(small_trial("kd"), tiny, "vgg8")
    check(small_trial("kd"), tiny, "resnet14")


def test_an_epoch_without_any_weight_is_refused_wherever_it_comes(few: ImageData) -> None:
    ends = {"ce_weight": 0.0, "alpha_epochs": 2}
    with pytest.raises(InputError, match="method 'dhkd': every loss weight is 0 in epoch 3; nothing to learn"):
        check(small_trial("dhkd", ends, epochs=3), few, "resnet14")
    check(small_trial("dhkd", ends, epochs=2), few, "resnet14")
