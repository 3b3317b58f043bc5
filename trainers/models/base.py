"""What every architecture offers: logits, and on the same pass the features that distillers read.

Shapes: `B` batch, `C` classes, `D` features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Features(NamedTuple):
    """One forward pass, with its inner stations."""

    logits: Tensor
    """``[B, C]``."""
    pooled: Tensor
    """``[B, D]``: what the classifier reads."""
    stages: tuple[Tensor, ...]
    """Stem and stages after their last ReLU, each ``[B, channels, h, w]``."""
    preactivations: tuple[Tensor, ...]
    """The same before that ReLU."""


class Network(nn.Module, ABC):
    """A classifier over images ``[B, 3, H, W]``."""

    stage_channels: tuple[int, ...]
    """Channels of each of :attr:`Features.stages`."""
    feature_dim: int
    """`D`."""

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """One pass with everything that distillers may read."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, C]``."""
        return self.features(images).logits

    @property
    @abstractmethod
    def classifier(self) -> nn.Linear:
        """The main head, the last layer."""
