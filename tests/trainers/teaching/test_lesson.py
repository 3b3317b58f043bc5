"""A trial's numbers do not depend on the bank, and the teacher runs no more than it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.trainers.examples import finish, small_trial
from trainers.config import TrialConfig
from trainers.data import ImageData
from trainers.fit import fit, seeded_model
from trainers.models import Features, Network
from trainers.result import EpochResult
from trainers.storage.content import tensors_key
from trainers.teaching.folding import folded
from trainers.teaching.lesson import LiveTeacher, rounded
from trainers.teaching.logit_bank import LogitBank

TRIALS = {
    "dropout": small_trial("dhkd", {"head": "nonlinear"}, epochs=2),
    "no augmentation": small_trial("kd", views="none", epochs=2),
    "endless views": small_trial("kd", views="autoaugment", pad=0, epochs=2),
    "two views": small_trial("sld", epochs=2),
    "fp32 logits": small_trial("gdkd", teacher_logits="fp32", epochs=2),
    "bf16": small_trial("dhkd", precision="bf16", epochs=2),
}
"""The second epoch sees some of the first one's views again; a third would but repeat that."""


class Taught:
    """Runs trials on the small data set, and counts the teacher's loadings."""

    def __init__(self, data: ImageData, teacher: Network) -> None:
        self.data, self.teacher, self.loaded = data, teacher, 0

    def load(self) -> Network:
        self.loaded += 1
        torch.rand(7)  # as building a network does, before its weights are loaded
        return self.teacher

    def run(self, config: TrialConfig, bank: LogitBank | None = None) -> tuple[list[EpochResult], str]:
        """Results, and the key of the student's weights."""
        results, student = finish(fit(config, data=self.data, teacher=self.load, bank=bank))
        return results, tensors_key(student.state_dict())


@pytest.fixture
def taught(few: ImageData, teacher: Network) -> Taught:
    return Taught(few, teacher)


def heard(results: list[EpochResult]) -> list[int]:
    """Images that the teacher was run on, by epoch."""
    return [result.teacher_images for result in results]


@pytest.mark.parametrize("config", TRIALS.values(), ids=TRIALS)
def test_numbers_are_the_same_without_a_bank_and_with_a_cold_a_warm_and_a_full_one(
    taught: Taught, config: TrialConfig, tmp_path: Path
) -> None:
    without = taught.run(config)
    bank = LogitBank(tmp_path / "bank")
    cold, warm = taught.run(config, bank), taught.run(config, bank)
    full = taught.run(config, LogitBank(tmp_path / "other", 0))
    assert without == cold == warm == full
    assert sum(heard(cold[0])) > 0
    assert heard(warm[0]) == [0, 0]


def test_a_warm_bank_needs_no_teacher_at_all(taught: Taught, tmp_path: Path) -> None:
    bank = LogitBank(tmp_path / "bank")
    taught.run(small_trial("kd"), bank)
    assert taught.loaded == 1
    results, _ = taught.run(small_trial("dhkd", {"alpha": 2.0}), bank)
    assert taught.loaded == 1
    assert heard(results) == [0, 0, 0]


@pytest.mark.slow(1)
def test_what_one_seed_has_asked_another_need_not(taught: Taught, tmp_path: Path) -> None:
    bank = LogitBank(tmp_path / "bank")
    first = heard(taught.run(small_trial("kd", epochs=8), bank)[0])
    second = heard(taught.run(small_trial("kd", epochs=8, seed=1), bank)[0])
    assert first[0] == 80
    assert sum(second) < 0.75 * sum(first)  # of 9 views an image has shown 5.5 in 8 epochs, on average


@pytest.mark.slow(1)
@pytest.mark.parametrize("views", ["weak", "autoaugment"])
def test_seeds_do_not_mix(taught: Taught, tmp_path: Path, views: str) -> None:
    bank = LogitBank(tmp_path / "bank")
    config = small_trial("kd", views=views, seed=1)
    taught.run(small_trial("kd", views=views), bank)
    assert taught.run(config, bank) == taught.run(config)


def test_another_teacher_is_another_shelf(taught: Taught, tmp_path: Path) -> None:
    bank = LogitBank(tmp_path / "bank")
    config = small_trial("kd")
    assert config.teacher is not None
    other = config.model_copy(update={"teacher": config.teacher.model_copy(update={"hash": "f" * 16})})
    taught.run(config, bank)
    assert heard(taught.run(other, bank)[0])[0] == 80


def test_a_recipe_without_part_in_the_views_shares_the_shelf(taught: Taught, tmp_path: Path) -> None:
    bank = LogitBank(tmp_path / "bank")
    taught.run(small_trial("kd"), bank)
    assert heard(taught.run(small_trial("kd", lr=0.01, batch_size=16), bank)[0]) == [0, 0, 0]


def test_feature_methods_hear_the_teacher_live(taught: Taught, tmp_path: Path) -> None:
    results, _ = taught.run(small_trial("fitnet", epochs=1), LogitBank(tmp_path / "bank"))
    assert heard(results) == [80]
    assert not (tmp_path / "bank").exists()


def test_scratch_loads_no_teacher(taught: Taught) -> None:
    assert heard(taught.run(small_trial("scratch", epochs=1))[0]) == [0]
    assert taught.loaded == 0


@pytest.mark.slow(2)
def test_the_number_of_threads_does_not_change_what_the_teacher_says(taught: Taught, tmp_path: Path) -> None:
    """ShuffleNet's convolutions round otherwise on two threads; the bank's passes have one each."""
    bank, config = LogitBank(tmp_path / "bank"), small_trial("kd", epochs=1)
    torch.set_num_threads(2)
    try:
        two = taught.run(config, bank)
        assert torch.get_num_threads() == 2
        again = taught.run(config)
    finally:
        torch.set_num_threads(1)
    assert two == again
    assert heard(taught.run(config, bank)[0]) == [0]


def test_fp16_logits_are_those_of_the_teacher_within_a_two_thousandth(taught: Taught) -> None:
    """A rate that moves nothing: the loss is that of the initial student, so it differs by the rounding alone."""
    still = {"lr": 1e-60, "epochs": 1}
    exact = taught.run(small_trial("kd", teacher_logits="fp32", **still))[0][0].terms["kd"]
    half = taught.run(small_trial("kd", **still))[0][0].terms["kd"]
    assert half != exact
    assert half == pytest.approx(exact, rel=1e-3)


def test_the_bank_s_passes_are_those_of_the_teacher(teacher: Network, few: ImageData) -> None:
    images = torch.randn(8, 3, 8, 8)
    with torch.no_grad():
        expected = teacher(images)
        found = folded(teacher, few.image_size)(images)
    assert torch.allclose(found, expected, atol=1e-5)


class Casts(TorchDispatchMode):
    """Counts what is cast to another type."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._to_copy.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["resnet8", "ShuffleV2", "vgg8"])
def test_a_teacher_that_is_rounded_once_says_what_autocast_s_rounding_in_every_pass_does(name: str) -> None:
    network = seeded_model(name, 10, seed=1).eval()
    images, autocast = torch.randn(3, 3, 32, 32), torch.autocast("cpu", torch.bfloat16)

    def heard(teacher: Network) -> tuple[Features, int]:
        live = LiveTeacher(teacher, autocast)
        with Casts() as casts:
            (view,) = live.view(images, torch.arange(3), [3])
        assert view.teacher is not None
        return view.teacher, casts.count

    before = {key: value.clone() for key, value in network.state_dict().items()}
    each_time, many = heard(network)
    once, few = heard(rounded(network, torch.bfloat16))
    assert all(map(torch.equal, tree_leaves(each_time), tree_leaves(once)))
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())
    assert few <= many - layers
    assert all(value.dtype == before[key].dtype for key, value in network.state_dict().items())
