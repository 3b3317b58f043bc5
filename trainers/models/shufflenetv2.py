"""ShuffleV2: ShuffleNetV2 at size 1, as the distillation literature has it on CIFAR.

Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018, table 5, 1×. As in
CRD's and mdistiller's releases, whose state-dict keys these are: a 1 × 1 stem without pooling. Any input size goes
through: the last pooling takes the whole map. The last 1 × 1 convolution belongs to no stage.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network, run_stages
from trainers.models.channel_shuffle import channel_shuffle

STEM = 24
WIDTHS = (116, 232, 464)
DEPTHS = (4, 8, 4)
FEATURE_DIM = 1024
BRANCHES = 2


class SplitBlock(nn.Module):
    """Half of the channels pass, half go through three convolutions; then both are shuffled.

    The closing ReLU is left to the caller: on the half that passes it changes nothing, since that is rectified already.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // BRANCHES
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, h, w]`` to the same shape, before the block's last ReLU."""
        kept, out = x.chunk(BRANCHES, dim=1)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(out)))))
        out = self.bn3(self.conv3(out))
        return channel_shuffle(torch.cat([kept, out], dim=1), BRANCHES)


class DownBlock(nn.Module):
    """All channels through both branches at stride 2, then shuffled; the closing ReLU is left to the caller."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        half = channels // BRANCHES
        # left branch
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, stride=2, padding=1, groups=channels_in, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv2 = nn.Conv2d(channels_in, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        # right branch
        self.conv3 = nn.Conv2d(channels_in, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = nn.Conv2d(half, half, 3, stride=2, padding=1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / 2, w / 2]`` before the block's last ReLU."""
        left = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        right = self.bn4(self.conv4(F.relu(self.bn3(self.conv3(x)))))
        right = self.bn5(self.conv5(right))
        return channel_shuffle(torch.cat([left, right], dim=1), BRANCHES)


class ShuffleNetV2(Network):
    """Stem, three stages, a 1 × 1 convolution to 1024 channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stage_channels = (STEM, *WIDTHS)
        self.feature_dim = FEATURE_DIM
        self.conv1 = nn.Conv2d(3, STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.layer1 = _stage(STEM, WIDTHS[0], DEPTHS[0])
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], DEPTHS[1])
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], DEPTHS[2])
        self.conv2 = nn.Conv2d(WIDTHS[2], FEATURE_DIM, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(FEATURE_DIM)
        self.linear = nn.Linear(FEATURE_DIM, num_classes)

    @property
    def classifier(self) -> nn.Linear:
        """`linear`: ``[B, D]`` to ``[B, C]``."""
        return self.linear

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        The stem keeps the resolution and each of three stages halves it (an odd side rounds up). `unpooled` is what the
        last 1 × 1 convolution makes of the last stage: ``[B, D, H / 8, W / 8]``.
        """
        stem = self.bn1(self.conv1(images))
        stages, preactivations = run_stages(stem, (self.layer1, self.layer2, self.layer3))
        unpooled = F.relu(self.bn2(self.conv2(stages[-1])))
        pooled = unpooled.mean(dim=(2, 3))  # [B, D]
        return Features(self.linear(pooled), pooled, tuple(stages), tuple(preactivations), unpooled)


def _stage(channels_in: int, channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(DownBlock(channels_in, channels), *(SplitBlock(channels) for _ in range(depth - 1)))


ARCHITECTURES: dict[str, Callable[[int], Network]] = {"ShuffleV2": ShuffleNetV2}
