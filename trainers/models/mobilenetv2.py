"""MobileNetV2 at half width, as the distillation literature has it on CIFAR.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2, with expansion 6 and
width 0.5. As in CRD's and mdistiller's releases, whose state-dict keys these are: ReLU instead of ReLU6, an expansion
convolution also where the expansion is 1, and stride 1 instead of 2 in the second row, so a 32 × 32 image ends as a
2 × 2 map. Any input size goes through: the last pooling takes the whole map.

Bottlenecks are linear, so what a stage hands on has no ReLU: it is the stage's feature and its preactivation alike.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network, init_convolutions

# table 2, one row a group of bottlenecks at full width: channels, repetitions, stride of the first
GROUPS = ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
STEM = 32
STAGE_ENDS = (1, 2, 4, 6)  # the groups after which a feature is read
FEATURE_DIM = 1280
HEAD_STD = 0.01


class Bottleneck(nn.Module):
    """Widen by `expansion`, filter each channel by itself, narrow again; a shortcut where the shapes agree."""

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.keeps_shape = stride == 1 and channels_in == channels
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, stride=stride, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / stride, w / stride]``."""
        out: Tensor = self.conv(x)
        return x + out if self.keeps_shape else out


class MobileNetV2(Network):
    """Stem, seven groups of bottlenecks, a 1 × 1 convolution to 1280 channels."""

    def __init__(self, width: float, expansion: int, num_classes: int) -> None:
        super().__init__()
        widths = [int(channels * width) for channels in (STEM, *(row[0] for row in GROUPS))]
        self.stage_channels = (widths[0], *(widths[end + 1] for end in STAGE_ENDS))
        self.feature_dim = FEATURE_DIM
        stem = nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False)
        self.conv1 = nn.Sequential(stem, nn.BatchNorm2d(widths[0]))
        self.blocks = nn.Sequential()
        for index, (_, repetitions, stride) in enumerate(GROUPS):
            grown = expansion if index else 1
            self.blocks.append(_group(widths[index], widths[index + 1], repetitions, stride, grown))
        last = nn.Conv2d(widths[-1], FEATURE_DIM, 1, bias=False)
        self.conv2 = nn.Sequential(last, nn.BatchNorm2d(FEATURE_DIM))
        head = nn.Linear(FEATURE_DIM, num_classes)
        self.classifier = nn.Sequential(head)  # type: ignore[misc, assignment]  # torch keeps it in _modules
        init_convolutions(self)
        self.init_head(head)

    @property
    def classifier(self) -> nn.Linear:
        """The one layer of the sequence that is called `classifier` in a state dict: ``[B, D]`` to ``[B, C]``."""
        return cast("nn.Sequential", self._modules["classifier"])[0]  # type: ignore[return-value]

    def init_head(self, head: nn.Linear) -> None:
        """N(0, 0.01²), zero bias."""
        nn.init.normal_(head.weight, std=HEAD_STD)
        nn.init.zeros_(head.bias)

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """No ReLU follows them: they end what a stage hands on."""
        groups = (cast(nn.Sequential, self.blocks[end]) for end in STAGE_ENDS)
        return tuple(cast(nn.BatchNorm2d, cast(Bottleneck, group[-1]).conv[-1]) for group in groups)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        The stem halves the resolution, the first stage keeps it and the other three halve it (an odd side rounds up).
        `unpooled` is what the last 1 × 1 convolution makes of the last stage: ``[B, D, H / 16, W / 16]``.
        """
        before = self.conv1(images)
        x = F.relu(before)
        preactivations, stages = [before], [x]
        for index, group in enumerate(self.blocks):
            x = group(x)
            if index in STAGE_ENDS:
                preactivations.append(x)
                stages.append(x)
        unpooled = F.relu(self.conv2(x))
        pooled = unpooled.mean(dim=(2, 3))  # [B, D]
        return Features(self.classifier(pooled), pooled, tuple(stages), tuple(preactivations), unpooled)


def _group(channels_in: int, channels: int, repetitions: int, stride: int, expansion: int) -> nn.Sequential:
    first = Bottleneck(channels_in, channels, stride, expansion)
    rest = (Bottleneck(channels, channels, 1, expansion) for _ in range(repetitions - 1))
    return nn.Sequential(first, *rest)


ARCHITECTURES: dict[str, Callable[[int], Network]] = {"MobileNetV2": partial(MobileNetV2, 0.5, 6)}
