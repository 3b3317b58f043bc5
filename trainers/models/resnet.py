"""The CIFAR ResNets of the distillation literature: resnet8 … resnet110, and the four times wider 8x4 and 32x4.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2; widths and names as in CRD's and
mdistiller's releases, whose checkpoints load as they are (same state-dict keys). Depth is 6n + 2. Any input of at
least 4 × 4 pixels goes through: the last pooling takes the whole map.

Where a stage begins, the shortcut is a 1 × 1 convolution (the paper's option B), as in those releases. resnet20a …
resnet110a have option A instead, with which the paper trains on CIFAR-10: every second pixel, and channels of zeros.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network, init_convolutions, run_stages

NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)


class ProjectedShortcut(nn.Sequential):
    """Option B: a 1 × 1 convolution with a batch norm."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        convolution = nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(channels))


class PaddedShortcut(nn.Module):
    """Option A, without parameters: every `stride`-th pixel, between channels of zeros, equally many on both sides."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (channels - channels_in) // 2
        self.after = channels - channels_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / stride, w / stride]``; an odd side rounds up."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


Shortcut = Callable[[int, int, int], nn.Module]
"""Of the channels that come in, those that go out, and the stride."""


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut; the closing ReLU is left to the caller."""

    def __init__(self, channels_in: int, channels: int, stride: int, shortcut: Shortcut = ProjectedShortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = shortcut(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / stride, w / stride]`` before the block's last ReLU."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return out + shortcut  # type: ignore[no-any-return]


class ResNet(Network):
    """Stem and three stages of `(depth - 2) / 6` blocks each."""

    def __init__(
        self,
        depth: int,
        widths: tuple[int, int, int, int],
        num_classes: int,
        shortcut: Shortcut = ProjectedShortcut,
    ) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.stage_channels = widths
        self.feature_dim = widths[-1]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = self._stage(widths[0], widths[1], blocks, 1, shortcut)
        self.layer2 = self._stage(widths[1], widths[2], blocks, 2, shortcut)
        self.layer3 = self._stage(widths[2], widths[3], blocks, 2, shortcut)
        self.fc = nn.Linear(widths[3], num_classes)
        init_convolutions(self)

    @staticmethod
    def _stage(channels_in: int, channels: int, blocks: int, stride: int, shortcut: Shortcut) -> nn.Sequential:
        first = BasicBlock(channels_in, channels, stride, shortcut)
        return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))

    @property
    def classifier(self) -> nn.Linear:
        """`fc`: ``[B, D]`` to ``[B, C]``."""
        return self.fc

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The second batch norm, `bn2`, of each stage's last block: the shortcut is added behind it."""
        blocks = (cast(BasicBlock, stage[-1]) for stage in (self.layer1, self.layer2, self.layer3))
        return tuple(block.bn2 for block in blocks)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        Stem and first stage keep the resolution, the other two halve it (an odd side rounds up): the last map, whose
        mean is `pooled`, is ``[B, D, H / 4, W / 4]``.
        """
        stem = self.bn1(self.conv1(images))
        stages, preactivations = run_stages(stem, (self.layer1, self.layer2, self.layer3))
        pooled = stages[-1].mean(dim=(2, 3))  # [B, D]
        return Features(self.fc(pooled), pooled, tuple(stages), tuple(preactivations), stages[-1])


ARCHITECTURES: dict[str, Callable[[int], Network]] = {
    **{f"resnet{depth}": partial(ResNet, depth, NARROW) for depth in (8, 14, 20, 32, 44, 56, 110)},
    **{f"resnet{depth}x4": partial(ResNet, depth, WIDE) for depth in (8, 32)},
    **{f"resnet{depth}a": partial(ResNet, depth, NARROW, shortcut=PaddedShortcut) for depth in (20, 32, 44, 56, 110)},
}
