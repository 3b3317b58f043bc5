"""The ImageNet ResNets: ResNet18, ResNet34 and ResNet50 on a CIFAR stem, imagenet/ResNet18 … ResNet101 on their own.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1; a bottleneck strides in its 3 × 3
convolution, as in torchvision. The CIFAR stem is one 3 × 3 convolution at stride 1 without pooling. Checkpoints load
as they are: CRD's and mdistiller's with the CIFAR stem (`shortcut`, `linear`), torchvision's with the paper's
(`downsample`, `fc`). Any input size goes through: the last pooling takes the whole map.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network, init_convolutions, run_stage

WIDTHS = (64, 128, 256, 512)


class Depth(NamedTuple):
    """One column of table 1."""

    blocks: tuple[int, int, int, int]
    """Blocks of each stage."""
    bottleneck: bool
    """1 × 1, 3 × 3 and 1 × 1 convolutions to four times the width, instead of two of 3 × 3."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels that each stage hands on."""
        return tuple(4 * width if self.bottleneck else width for width in WIDTHS)


class Stem(NamedTuple):
    """The first convolution, and what the checkpoints that go with it call things."""

    kernel: int
    stride: int
    pool: bool
    """A 3 × 3 max pool at stride 2 between stem and first stage."""
    shortcut: str
    """Key of a block's shortcut."""
    head: str
    """Key of the last layer."""


DEPTHS = {
    18: Depth((2, 2, 2, 2), bottleneck=False),
    34: Depth((3, 4, 6, 3), bottleneck=False),
    50: Depth((3, 4, 6, 3), bottleneck=True),
    101: Depth((3, 4, 23, 3), bottleneck=True),
}
CIFAR = Stem(kernel=3, stride=1, pool=False, shortcut="shortcut", head="linear")
IMAGENET = Stem(kernel=7, stride=2, pool=True, shortcut="downsample", head="fc")


class Block(nn.Module):
    """Convolutions `conv1`, `conv2`, … with batch norm, and a shortcut; the closing ReLU is left to the caller."""

    def __init__(self, convolutions: Sequence[nn.Conv2d], shortcut: nn.Conv2d | None, shortcut_key: str) -> None:
        super().__init__()
        self.steps = len(convolutions)
        for step, convolution in enumerate(convolutions, start=1):
            self.add_module(f"conv{step}", convolution)
            self.add_module(f"bn{step}", nn.BatchNorm2d(convolution.out_channels))
        self.shortcut_key = shortcut_key
        normed = None if shortcut is None else nn.Sequential(shortcut, nn.BatchNorm2d(shortcut.out_channels))
        self.add_module(shortcut_key, normed)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / stride, w / stride]`` before the block's last ReLU."""
        out = x
        for step in range(1, self.steps + 1):
            out = F.relu(out) if step > 1 else out
            out = getattr(self, f"bn{step}")(getattr(self, f"conv{step}")(out))
        shortcut = self._modules[self.shortcut_key]
        return out + (x if shortcut is None else shortcut(x))


class ImageNetResNet(Network):
    """Stem and four stages of basic or bottleneck blocks."""

    def __init__(self, depth: int, stem: Stem, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        blocks, bottleneck = DEPTHS[depth]
        channels = DEPTHS[depth].channels
        self.stage_channels = (WIDTHS[0], *channels)
        self.feature_dim = channels[-1]
        padding = stem.kernel // 2
        self.conv1 = nn.Conv2d(3, WIDTHS[0], stem.kernel, stride=stem.stride, padding=padding, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        for stage in range(4):
            shapes = [(self.stage_channels[stage], 2 if stage else 1), *[(channels[stage], 1)] * (blocks[stage] - 1)]
            made = (_block(channels_in, WIDTHS[stage], stride, bottleneck, stem) for channels_in, stride in shapes)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*made))
        self.add_module(stem.head, nn.Linear(self.feature_dim, num_classes))
        init_convolutions(self)

    @property
    def classifier(self) -> nn.Linear:
        """The layer that checkpoints call `linear` (CIFAR stem) or `fc`: ``[B, D]`` to ``[B, C]``."""
        return cast(nn.Linear, self.get_submodule(self.stem.head))

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The last batch norm of each stage's last block: the shortcut is added behind it."""
        blocks = (cast(Block, cast(nn.Sequential, self.get_submodule(f"layer{stage}"))[-1]) for stage in range(1, 5))
        return tuple(cast(nn.BatchNorm2d, block.get_submodule(f"bn{block.steps}")) for block in blocks)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        The last three of four stages halve the resolution (an odd side rounds up), and so do the ImageNet stem and the
        pooling behind it: the last map, whose mean is `pooled`, is ``[B, D, H / 8, W / 8]`` behind the CIFAR stem and
        ``[B, D, H / 32, W / 32]`` behind the other.
        """
        before = self.bn1(self.conv1(images))
        preactivations, stages = [before], [F.relu(before)]
        x = F.max_pool2d(stages[0], 3, stride=2, padding=1) if self.stem.pool else stages[0]
        for stage in range(1, 5):
            blocks = cast(nn.Sequential, self.get_submodule(f"layer{stage}"))
            before, x = run_stage(blocks, x)
            preactivations.append(before)
            stages.append(x)
        pooled = x.mean(dim=(2, 3))  # [B, D]
        return Features(self.classifier(pooled), pooled, tuple(stages), tuple(preactivations), x)


def _block(channels_in: int, width: int, stride: int, bottleneck: bool, stem: Stem) -> Block:
    conv = partial(nn.Conv2d, bias=False)
    if bottleneck:
        middle = conv(width, width, 3, stride=stride, padding=1)
        convolutions = [conv(channels_in, width, 1), middle, conv(width, 4 * width, 1)]
    else:
        convolutions = [conv(channels_in, width, 3, stride=stride, padding=1), conv(width, width, 3, padding=1)]
    channels = convolutions[-1].out_channels
    changes_shape = stride != 1 or channels_in != channels
    shortcut = conv(channels_in, channels, 1, stride=stride) if changes_shape else None
    return Block(convolutions, shortcut, stem.shortcut)


ARCHITECTURES: dict[str, Callable[[int], Network]] = {
    **{f"ResNet{depth}": partial(ImageNetResNet, depth, CIFAR) for depth in (18, 34, 50)},
    **{f"imagenet/ResNet{depth}": partial(ImageNetResNet, depth, IMAGENET) for depth in DEPTHS},
}
