"""What a plan refuses before anything trains, and that looking takes no memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tests.trainers.examples import small_trial
from trainers.check import _blueprint, check, telling_epochs
from trainers.config import TrialConfig
from trainers.data import ImageData, Split
from trainers.distillers import METHODS, Setting, build_distiller
from trainers.errors import InputError
from trainers.models.outline import outlines


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


def test_a_million_epochs_are_looked_through_at_the_few_that_tell(few: ImageData) -> None:
    config = small_trial("dhkd", {"ce_weight": 0.0, "alpha_epochs": 70_000}, epochs=100_000)
    assert len(telling_epochs(config)) < 30
    with pytest.raises(InputError, match="every loss weight is 0 in epoch 70001; nothing to learn"):
        check(config, few, "resnet14")


@pytest.mark.parametrize("method", METHODS)
def test_the_epochs_that_tell_show_every_loss_that_a_method_turns_off(few: ImageData, method: str) -> None:
    switches = {name: {name: 7} for name in ("alpha_epochs", "warmup_epochs", "curriculum_epochs", "start")}
    mains = [{}, {"main": {"name": "gdkd", "params": {"warmup_epochs": 11}}}] if method == "dhkd" else [{}]
    fields = METHODS[method].Params.model_fields
    for params in ({}, *(switches[name] for name in fields.keys() & switches), *mains):
        config = small_trial(method, params, epochs=40)
        student, teacher = (_blueprint(name, 10, few.image_size) for name in ("resnet8", "resnet14"))
        setting = Setting(10, few.image_size, teacher, few.train.index, few.train.labels)
        with outlines():
            distiller = build_distiller(config.method, student, setting)
        off = {epoch: frozenset(n for n, w in distiller.weights(epoch).items() if not w) for epoch in range(1, 41)}
        assert {off[epoch] for epoch in telling_epochs(config)} == set(off.values()), params


LOOKED_AT = """
import sys
from trainers.check import check
from trainers.config import DatasetConfig, MethodConfig, Recipe, TrialConfig
from trainers.data import DATASETS
from trainers.distillers import METHODS

data = DATASETS["digits"](image_size=8).load()
for name in METHODS:
    method = MethodConfig(name=name, params=METHODS[name].Params().model_dump(mode="json"))
    trial = TrialConfig(dataset=DatasetConfig(name="digits"), model="resnet8", method=method, recipe=Recipe())
    check(trial, data, "resnet14")
    assert "torch._dynamo" not in sys.modules, name
"""


@pytest.mark.slow(4)
def test_to_look_at_a_method_loads_no_compiler() -> None:
    subprocess.run([sys.executable, "-c", LOOKED_AT], check=True)
