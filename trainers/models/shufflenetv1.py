"""ShuffleV1: ShuffleNet with three groups, as the distillation literature has it on CIFAR.

Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", CVPR 2018, table 1,
g = 3. As in CRD's and mdistiller's releases, whose state-dict keys these are: a 1 × 1 stem without pooling, and a ReLU
also after the depthwise convolution. Any input size goes through: the last pooling takes the whole map.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network, run_stages
from trainers.models.channel_shuffle import channel_shuffle

GROUPS = 3
STEM = 24
WIDTHS = (240, 480, 960)
DEPTHS = (4, 8, 4)
BOTTLENECK = 4  # a block's inner width is its outer one divided by this


class ShuffleBlock(nn.Module):
    """Grouped 1 × 1, shuffle, depthwise 3 × 3, grouped 1 × 1; the closing ReLU is left to the caller.

    At stride 1 the input is added to that, at stride 2 its average pool is appended.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.groups = 1 if channels_in == STEM else GROUPS  # the stem is too narrow to be grouped (section 3.2)
        made = channels - channels_in if stride == 2 else channels
        inner = made // BOTTLENECK
        self.conv1 = nn.Conv2d(channels_in, inner, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, made, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / stride, w / stride]`` before the block's last ReLU."""
        out = channel_shuffle(F.relu(self.bn1(self.conv1(x))), self.groups)
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        if self.stride == 2:
            return torch.cat([out, F.avg_pool2d(x, 3, stride=2, padding=1)], dim=1)
        return out + x  # type: ignore[no-any-return]


class ShuffleNetV1(Network):
    """Stem and three stages, of which each starts at stride 2."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stage_channels = (STEM, *WIDTHS)
        self.feature_dim = WIDTHS[-1]
        self.conv1 = nn.Conv2d(3, STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.layer1 = _stage(STEM, WIDTHS[0], DEPTHS[0])
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], DEPTHS[1])
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], DEPTHS[2])
        self.linear = nn.Linear(WIDTHS[2], num_classes)

    @property
    def classifier(self) -> nn.Linear:
        """`linear`: ``[B, D]`` to ``[B, C]``."""
        return self.linear

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The third batch norm, `bn3`, of each stage's last block: the block's input is added behind it."""
        blocks = (cast(ShuffleBlock, stage[-1]) for stage in (self.layer1, self.layer2, self.layer3))
        return tuple(block.bn3 for block in blocks)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        The stem keeps the resolution and each of three stages halves it (an odd side rounds up): the last map, whose
        mean is `pooled`, is ``[B, D, H / 8, W / 8]``.
        """
        stem = self.bn1(self.conv1(images))
        stages, preactivations = run_stages(stem, (self.layer1, self.layer2, self.layer3))
        pooled = stages[-1].mean(dim=(2, 3))  # [B, D]
        return Features(self.linear(pooled), pooled, tuple(stages), tuple(preactivations), stages[-1])


def _stage(channels_in: int, channels: int, depth: int) -> nn.Sequential:
    first = ShuffleBlock(channels_in, channels, stride=2)
    return nn.Sequential(first, *(ShuffleBlock(channels, channels, stride=1) for _ in range(depth - 1)))


ARCHITECTURES: dict[str, Callable[[int], Network]] = {"ShuffleV1": ShuffleNetV1}
