"""The wide residual networks of the distillation literature: wrn_16_1, wrn_16_2, wrn_40_1 and wrn_40_2.

Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016: pre-activation blocks, three stages, `wrn_<depth>_<k>`
with depth 6n + 4 and stages k times as wide as those of the CIFAR ResNet. No dropout. State-dict keys are those of
CRD's and mdistiller's releases. Any input of at least 4 × 4 pixels goes through: the last pooling takes the whole map.

The order inside a block is batch norm, ReLU, convolution, so a stage hands on a sum that no ReLU has touched: that sum
is the stage's feature, and what the following batch norm makes of it is the preactivation. The stem has no batch norm
of its own: its preactivation is its output. To obtain the preactivations the releases run three batch norms a second
time, which in training moves their running statistics twice a step; here each runs once.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network, init_convolutions

STEM = 16


class WideBlock(nn.Module):
    """Two 3 × 3 convolutions, each behind batch norm and ReLU, and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convShortcut: nn.Module | None = None  # the releases' key
        if channels_in != channels:
            self.convShortcut = nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor, normed: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` and the same behind :attr:`bn1` to ``[B, channels, h / stride, w / stride]``."""
        active = F.relu(normed)
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + shortcut  # type: ignore[no-any-return]


class WideStage(nn.Module):
    """Blocks at one width and resolution."""

    def __init__(self, channels_in: int, channels: int, blocks: int, stride: int) -> None:
        super().__init__()
        first = WideBlock(channels_in, channels, stride)
        self.layer = nn.Sequential(first, *(WideBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, channels_in, h, w]`` to the same behind the first batch norm, and to the stage's last sum,
        ``[B, channels, h / stride, w / stride]``."""
        before = x
        for index, block in enumerate(cast("list[WideBlock]", self.layer)):
            normed = block.bn1(x)
            before = normed if index == 0 else before
            x = block(x, normed)
        return before, x


class WideResNet(Network):
    """Stem and three stages of `(depth - 4) / 6` blocks each, then a last batch norm and ReLU."""

    def __init__(self, depth: int, factor: int, num_classes: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        widths = (STEM, 16 * factor, 32 * factor, 64 * factor)
        self.stage_channels = widths
        self.feature_dim = widths[-1]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.block1 = WideStage(widths[0], widths[1], blocks, stride=1)
        self.block2 = WideStage(widths[1], widths[2], blocks, stride=2)
        self.block3 = WideStage(widths[2], widths[3], blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], num_classes)
        init_convolutions(self)
        self.init_head(self.fc)

    @property
    def classifier(self) -> nn.Linear:
        """`fc`: ``[B, D]`` to ``[B, C]``."""
        return self.fc

    def init_head(self, head: nn.Linear) -> None:
        """Torch's weights, zero bias."""
        nn.init.zeros_(head.bias)

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """Each belongs to what follows its stage, as the preactivations do."""
        following = (cast(WideBlock, stage.layer[0]) for stage in (self.block2, self.block3))
        return (*(block.bn1 for block in following), self.bn1)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        Stem and first stage keep the resolution, the other two halve it (an odd side rounds up). `unpooled` is the last
        stage's sum behind batch norm and ReLU: ``[B, D, H / 4, W / 4]``.
        """
        stem = self.conv1(images)
        _, first = self.block1(stem)
        first_normed, second = self.block2(first)
        second_normed, third = self.block3(second)
        third_normed = self.bn1(third)
        unpooled = F.relu(third_normed)
        pooled = unpooled.mean(dim=(2, 3))  # [B, D]
        stages = (stem, first, second, third)
        preactivations = (stem, first_normed, second_normed, third_normed)
        return Features(self.fc(pooled), pooled, stages, preactivations, unpooled)


ARCHITECTURES: dict[str, Callable[[int], Network]] = {
    f"wrn_{depth}_{factor}": partial(WideResNet, depth, factor) for depth in (16, 40) for factor in (1, 2)
}
