"""What every architecture offers: logits, and on the same pass the features that distillers read.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Features(NamedTuple):
    """One forward pass, with its inner stations."""

    logits: Tensor
    """``[B, C]``."""
    pooled: Tensor
    """``[B, D]``: what the classifier reads."""
    stages: tuple[Tensor, ...]
    """Stem and stages after their last ReLU, each ``[B, channels, h, w]``.

    Where a stage has no closing ReLU (wide ResNets, MobileNetV2) it is what the stage hands on.
    """
    preactivations: tuple[Tensor, ...]
    """The same before that ReLU; where there is none, see the family's module."""
    unpooled: Tensor = torch.empty(0)
    """``[B, D, h, w]``: the map whose mean over space is `pooled`. Every network gives it; empty where features were
    put together without one."""

    @classmethod
    def of_logits(cls, logits: Tensor, pooled: Tensor | None = None) -> Features:
        """A pass of which only the logits ``[B, C]`` are known, or these and what the classifier reads, ``[B, D]``."""
        return cls(logits, torch.empty(0) if pooled is None else pooled, (), ())

    def float(self) -> Features:
        """All of it in float32; what is in float32 already is not copied."""
        stages, preactivations = (tuple(t.float() for t in maps) for maps in (self.stages, self.preactivations))
        return Features(self.logits.float(), self.pooled.float(), stages, preactivations, self.unpooled.float())


class Network(nn.Module, ABC):
    """A classifier over images ``[B, 3, H, W]``."""

    stage_channels: tuple[int, ...]
    """Channels of each of :attr:`Features.stages`."""
    feature_dim: int
    """`D`."""

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``, with everything that distillers may read.

        Raises:
            RuntimeError: for images too small for the network.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[B, 3, H, W]`` to logits ``[B, C]``."""
        return self.features(images).logits

    @property
    @abstractmethod
    def classifier(self) -> nn.Linear:
        """The main head, the last layer: ``[B, D]`` to ``[B, C]``."""

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The batch norm in front of each stage's last ReLU, without the stem's: one for each of `preactivations[1:]`.

        Where a shortcut is added in between, the norm of the branch. Empty where some channels meet no such norm.
        """
        return ()

    def layer_depths(self) -> dict[str, int]:
        """The layer of each parameter, by its name, counted from 0 at the image; here, none is known."""
        return {}

    def undecayed(self) -> frozenset[str]:
        """Names of the parameters that weight decay spares beside norms and biases, where it spares these: here, none
        others."""
        return frozenset()

    def init_head(self, head: nn.Linear) -> None:
        """Initialise `head`, the main one or one beside it, as the authors do: here, as torch left it."""


def run_stage(blocks: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """Blocks that leave their closing ReLU to the caller: ``[B, channels, h, w]`` to what the last of them gives,
    before and after its ReLU."""
    before = x
    for block in blocks:
        before = block(x)
        x = F.relu(before)
    return before, x


def run_stages(stem: Tensor, stages: Iterable[Iterable[nn.Module]]) -> tuple[list[Tensor], list[Tensor]]:
    """The stem's output before its ReLU, and each stage on the one before it, ``[B, channels, h, w]`` each: all after,
    and all before, their ReLU."""
    before, after = [stem], [F.relu(stem)]
    for blocks in stages:
        preactivation, output = run_stage(blocks, after[-1])
        before.append(preactivation)
        after.append(output)
    return after, before


def init_convolutions(network: nn.Module) -> None:
    """N(0, 2 / fan-out) for every convolution's weight and zero for its bias (He et al., arXiv 1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
