"""Channels are shuffled as torch shuffles them, in the memory format in which they come."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F

from trainers.contract.pretended_gpu import pretended
from trainers.models import build
from trainers.models.channel_shuffle import channel_shuffle

FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_numbers_and_gradients_are_torch_s(groups: int, memory_format: torch.memory_format) -> None:
    maps = torch.randn(2, 6, 4, 5).to(memory_format=memory_format)
    weights = torch.randn(2, 6, 4, 5)

    def found(shuffle: object, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        given = maps.clone().to(device).requires_grad_()
        out = shuffle(given, groups)  # type: ignore[operator]
        (gradient,) = torch.autograd.grad((out * weights.to(device)).sum(), given)
        return out.detach(), gradient

    expected = found(F.channel_shuffle, "cpu")
    assert all(map(torch.equal, found(channel_shuffle, "cpu"), expected))
    with pretended():
        there = found(channel_shuffle, "cuda")
    assert all(map(torch.equal, there, expected))


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", ["ShuffleV1", "ShuffleV2"])
def test_a_gpu_s_maps_stay_channels_last(name: str) -> None:
    network = build(name, num_classes=10).to(memory_format=torch.channels_last).eval()
    layouts: list[bool] = []

    def see(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        layouts.append(inputs[0].stride(1) == 1)  # a half of the channels is no memory of its own

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        network = network.to("cuda")
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_pre_hook(see)
        network(torch.empty(2, 3, 32, 32, device="cuda").to(memory_format=torch.channels_last))
    assert layouts
    assert all(layouts)
