"""Folded networks say the same with fewer layers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.contract.pretended_gpu import pretended
from trainers.models import Features, Network, build
from trainers.teaching import folding
from trainers.teaching.folding import folded


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def measured(name: str) -> Network:
    """A network whose batch norms have seen something."""
    torch.manual_seed(0)
    network = build(name, num_classes=10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias, 0, 0.2)
    return network


@pytest.mark.parametrize(
    ("name", "left"), [("resnet20", 0), ("vgg8", 0), ("ShuffleV1", 0), ("MobileNetV2", 0), ("wrn_16_1", 7)]
)
def test_the_logits_are_the_same_but_for_rounding(name: str, left: int) -> None:
    network = measured(name)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected, found = network(images), folded(network, (32, 32))(images)
    assert norms(folded(network, (32, 32))) == left < norms(network)
    assert torch.allclose(found, expected, atol=1e-5 * expected.abs().max().item())


def test_the_network_itself_stays_as_it_is() -> None:
    network = measured("resnet8").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network, (32, 32))
    assert network.training
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Odd(Network):
    """Convolutions and norms that do not go together one to one."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv, self.norm, self.other = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 10)
        for module in (self.norm, self.other):
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.weight, 1, 2)

    @property
    def classifier(self) -> nn.Linear:
        return self.fc

    def features(self, images: Tensor) -> Features:
        x = self.conv(images)
        if self.how == "read twice by norms":
            x = self.norm(x) + self.other(x)
        elif self.how == "read by something else":
            x = self.norm(x) * x
        elif self.how == "run twice":
            x = self.norm(x) + self.norm(self.conv(images * 2))
        pooled = x.mean(dim=(2, 3))
        return Features.of_logits(self.fc(pooled), pooled)


@pytest.mark.parametrize("how", ["read twice by norms", "read by something else", "run twice"])
def test_what_does_not_fold_is_left_alone(how: str) -> None:
    torch.manual_seed(1)
    network = Odd(how).eval()
    images = torch.randn(5, 3, 4, 4)
    with torch.no_grad():
        assert torch.equal(folded(network, (4, 4))(images), network(images))


def rounded(values: Tensor) -> Tensor:
    """To 8 bits of mantissa, two fewer than TF32, so that a network need not be deep to show it."""
    return values.bfloat16().float()


def test_as_much_folds_on_a_gpu_that_rounds_to_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = F.conv2d

    def convolved(images: Tensor, weight: Tensor, *how: Any) -> Tensor:
        rounds = torch.backends.cudnn.allow_tf32
        return plain(rounded(images), rounded(weight), *how) if rounds else plain(images, weight, *how)

    monkeypatch.setattr(F, "conv2d", convolved)
    with pretended():
        network = measured("resnet8").to("cuda")
        before = torch.backends.cudnn.allow_tf32
        assert before, "torch's default, with which this test says something"
        assert norms(folded(network, (32, 32))) == 0
        assert torch.backends.cudnn.allow_tf32 == before
        monkeypatch.setattr(folding, "exact", lambda place: nullcontext())
        assert norms(folded(network, (32, 32))) > 0
