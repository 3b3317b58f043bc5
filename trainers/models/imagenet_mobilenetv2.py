"""MobileNetV2 for ImageNet: ``imagenet/MobileNetV2``.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2, at full width. State-dict
keys are torchvision's, whose weights load as they are; so does its dropout of 0.2 in front of the last layer (which the
auxiliary heads of distillers do not have). Any input size goes through: the last pooling takes the whole map.

Bottlenecks are linear, so what a stage hands on has no ReLU: it is the stage's feature and its preactivation alike.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network

# table 2, one row a group of bottlenecks: expansion, channels, repetitions, stride of the first
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM = 32
STAGE_ENDS = (3, 6, 13, 17)  # the last bottleneck at each of four resolutions below the stem's
FEATURE_DIM = 1280
DROPOUT = 0.2
HEAD_STD = 0.01


class Bottleneck(nn.Module):
    """Widen where `expansion` is not 1, filter each channel by itself, narrow again; a shortcut where shapes agree."""

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.keeps_shape = stride == 1 and channels_in == channels
        self.conv = nn.Sequential()
        if expansion != 1:
            self.conv.append(_normed(channels_in, wide, kernel=1))
        self.conv.append(_normed(wide, wide, kernel=3, stride=stride, groups=wide))
        self.conv.append(nn.Conv2d(wide, channels, 1, bias=False))
        self.conv.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / stride, w / stride]``."""
        out: Tensor = self.conv(x)
        return x + out if self.keeps_shape else out


class ImageNetMobileNetV2(Network):
    """Stem, seventeen bottlenecks, a 1 × 1 convolution to 1280 channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.feature_dim = FEATURE_DIM
        layers: list[nn.Module] = [_normed(3, STEM, kernel=3, stride=2)]
        widths = [STEM]
        for expansion, channels, repetitions, stride in GROUPS:
            for repetition in range(repetitions):
                layers.append(Bottleneck(widths[-1], channels, 1 if repetition else stride, expansion))
                widths.append(channels)
        self.stage_channels = (STEM, *(widths[end] for end in STAGE_ENDS))
        layers.append(_normed(widths[-1], FEATURE_DIM, kernel=1))
        # torch keeps both in _modules, under torchvision's names; the class's own attributes are found first
        self.features = nn.Sequential(*layers)  # type: ignore[method-assign]
        head = nn.Linear(FEATURE_DIM, num_classes)
        self.classifier = nn.Sequential(nn.Dropout(DROPOUT), head)  # type: ignore[misc, assignment]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        self.init_head(head)

    @property
    def classifier(self) -> nn.Linear:
        """The layer behind the dropout, `classifier.1` in a state dict: ``[B, D]`` to ``[B, C]``."""
        return cast("nn.Sequential", self._modules["classifier"])[1]  # type: ignore[return-value]

    def init_head(self, head: nn.Linear) -> None:
        """N(0, 0.01²), zero bias."""
        nn.init.normal_(head.weight, std=HEAD_STD)
        nn.init.zeros_(head.bias)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``; in training mode the logits are of a `pooled` with dropout.

        The stem halves the resolution and so does each of four stages (an odd side rounds up). `unpooled` is what the
        last 1 × 1 convolution makes of the last stage: ``[B, D, H / 32, W / 32]``.
        """
        stem, *bottlenecks, last = cast(nn.Sequential, self._modules["features"])
        before = cast(nn.Sequential, stem)[:2](images)
        x = F.relu6(before)
        preactivations, stages = [before], [x]
        for index, bottleneck in enumerate(bottlenecks, start=1):
            x = bottleneck(x)
            if index in STAGE_ENDS:
                preactivations.append(x)
                stages.append(x)
        unpooled = last(x)  # [B, D, h, w]
        pooled = unpooled.mean(dim=(2, 3))
        logits = cast(nn.Module, self._modules["classifier"])(pooled)
        return Features(logits, pooled, tuple(stages), tuple(preactivations), unpooled)


def _normed(channels_in: int, channels: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    padding = kernel // 2
    convolution = nn.Conv2d(channels_in, channels, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU6())


ARCHITECTURES: dict[str, Callable[[int], Network]] = {"imagenet/MobileNetV2": ImageNetMobileNetV2}
