"""What a network comes to: its parameters, and what its forward pass costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from trainers.models import MODELS, TIMM, build
from trainers.models.outline import Undrawn, outlines


@dataclass(frozen=True)
class Size:
    """Of one network."""

    parameters: int
    macs: int
    """Multiply-accumulates of convolutions and linear layers for one image."""


def macs(model: str, num_classes: int, image_size: tuple[int, int]) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image of height and width `image_size`.

    Raises:
        InputError: for a model that does not exist.
    """
    from torch.utils.flop_counter import FlopCounterMode  # looks for Triton where it is loaded

    with outlines(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build(model, num_classes=num_classes).eval()(torch.zeros(1, 3, *image_size))
    return int(counter.get_total_flops()) // 2


def size(model: str, num_classes: int, image_size: tuple[int, int]) -> Size:
    """Parameters and multiply-accumulates (those of :func:`macs`), without drawing any number.

    Our own networks are counted layer by layer, ten times as fast: whatever they multiply is a layer. Others may
    multiply anywhere, so they are counted operation by operation.

    Args:
        model: by its name.
        num_classes: `C`.
        image_size: height and width in pixels.

    Raises:
        InputError: for a model that does not exist.
    """
    return _size(model, MODELS[model], num_classes, image_size)


@lru_cache
def _size(model: str, builder: Any, num_classes: int, image_size: tuple[int, int]) -> Size:
    """Once for each builder: a user's may be another one under the same name."""
    ours = not model.startswith(TIMM) and _module(builder).startswith("trainers.models.")
    with Undrawn() if ours else outlines():
        network = build(model, num_classes=num_classes).eval()
    count = _by_layers(network, image_size) if ours else macs(model, num_classes, image_size)
    return Size(sum(parameter.numel() for parameter in network.parameters()), count)


def _module(builder: Any) -> str:
    return str((builder.func if isinstance(builder, partial) else builder).__module__)


@torch.no_grad()
def _by_layers(network: nn.Module, image_size: tuple[int, int]) -> int:
    """One pass, in which each layer adds its weights times the places of an image at which they are applied.

    It is a pass of no image: it has the shapes of any other and costs nothing. On the meta device torch would load
    its compiler for the first sum of two tensors, which takes longer than all that a plan does.
    """
    counted = 0

    def note(layer: nn.Conv2d | nn.Linear, _: Any, output: Tensor) -> None:
        nonlocal counted
        counted += output.shape[2:].numel() * layer.weight.numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(note)
    network(torch.empty(0, 3, *image_size))
    return counted
