"""MobileNetV1, the ImageNet student of the distillation literature.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017 (arXiv
1704.04861), table 1, at full width; 1000 classes at 224 × 224 there, any number of classes at any input size here (the
last pooling takes the whole map). State-dict keys are those of mdistiller's release, which leaves the stem out of its
list of features: its four are the last four of :attr:`~trainers.models.Features.stages` here.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network

STEM = 32
# table 1, one row a separable block: channels, stride
BLOCKS = (
    (64, 1),
    *((128, 2), (128, 1)),
    *((256, 2), (256, 1)),
    *((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    *((1024, 2), (1024, 1)),
)
STAGE_ENDS = (0, 3, 5, 11, 13)  # stem, and the last block at each of four resolutions


class MobileNetV1(Network):
    """Stem and thirteen depthwise separable blocks."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        widths = (STEM, *(channels for channels, _ in BLOCKS))
        self.stage_channels = tuple(widths[end] for end in STAGE_ENDS)
        self.feature_dim = widths[-1]
        stem = nn.Sequential(nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(STEM))
        blocks = [_separable(before, *row) for before, row in zip(widths[:-1], BLOCKS, strict=True)]
        self.model = nn.Sequential(stem, *blocks)
        self.fc = nn.Linear(self.feature_dim, num_classes)

    @property
    def classifier(self) -> nn.Linear:
        """`fc`: ``[B, D]`` to ``[B, C]``."""
        return self.fc

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The batch norm that ends each stage's last block; there are no shortcuts."""
        blocks = (cast(nn.Sequential, self.model[end]) for end in STAGE_ENDS[1:])
        return tuple(cast(nn.BatchNorm2d, block[-1]) for block in blocks)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        The stem halves the resolution and so does each of four stages (an odd side rounds up): the last map, whose mean
        is `pooled`, is ``[B, D, H / 32, W / 32]``.
        """
        preactivations, stages, x = [], [], images
        for index, block in enumerate(self.model):
            before = block(x)
            x = F.relu(before)
            if index in STAGE_ENDS:
                preactivations.append(before)
                stages.append(x)
        pooled = x.mean(dim=(2, 3))  # [B, D]
        return Features(self.fc(pooled), pooled, tuple(stages), tuple(preactivations), stages[-1])


def _separable(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    """A 3 × 3 convolution of each channel by itself, then a 1 × 1 across; the closing ReLU is left to the caller."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 3, stride=stride, padding=1, groups=channels_in, bias=False),
        nn.BatchNorm2d(channels_in),
        nn.ReLU(),
        nn.Conv2d(channels_in, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


ARCHITECTURES: dict[str, Callable[[int], Network]] = {"MobileNetV1": MobileNetV1, "imagenet/MobileNetV1": MobileNetV1}
