"""The VGG networks of the distillation literature, with batch norm: vgg8, vgg11, vgg13, vgg16 and vgg19.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1; one
linear layer in place of the paper's three, as is usual on CIFAR, and vgg8 with one convolution a stage as in CRD's and
mdistiller's releases, whose state-dict keys these are. Five stages, each at half the resolution of the one before;
only below 64 pixels the last two share theirs, so the last map of a 32 × 32 image is 4 × 4, and so is that of a 64 ×
64 image. Any input of at least 8 × 8 pixels goes through: the last pooling takes the whole map.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network, init_convolutions

WIDTHS = (64, 128, 256, 512, 512)
LARGE_IMAGE = 64  # pixels, from which on the last stage has a resolution of its own
HEAD_STD = 0.01


class VGG(Network):
    """Five stages of `depths` 3 × 3 convolutions each; the first is what other families call the stem."""

    def __init__(self, depths: tuple[int, int, int, int, int], num_classes: int) -> None:
        super().__init__()
        self.stage_channels = WIDTHS
        self.feature_dim = WIDTHS[-1]
        inputs = (3, *WIDTHS)
        self.block0 = _stage(inputs[0], WIDTHS[0], depths[0])
        self.block1 = _stage(inputs[1], WIDTHS[1], depths[1])
        self.block2 = _stage(inputs[2], WIDTHS[2], depths[2])
        self.block3 = _stage(inputs[3], WIDTHS[3], depths[3])
        self.block4 = _stage(inputs[4], WIDTHS[4], depths[4])
        self.classifier = nn.Linear(WIDTHS[4], num_classes)  # type: ignore[misc]  # torch keeps it in _modules
        init_convolutions(self)
        self.init_head(self.classifier)

    @property
    def classifier(self) -> nn.Linear:
        """The only linear layer: ``[B, D]`` to ``[B, C]``."""
        return cast(nn.Linear, self._modules["classifier"])

    def init_head(self, head: nn.Linear) -> None:
        """N(0, 0.01²), zero bias."""
        nn.init.normal_(head.weight, std=HEAD_STD)
        nn.init.zeros_(head.bias)

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The batch norm that ends each stage but the first; there are no shortcuts."""
        blocks = (self.block1, self.block2, self.block3, self.block4)
        return tuple(cast(nn.BatchNorm2d, block[-1]) for block in blocks)

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        The first stage keeps the resolution and each of the others halves it (an odd side rounds down); the last does
        so only where both sides have at least :data:`LARGE_IMAGE` pixels. The last map, whose mean is `pooled`, is
        ``[B, D, H / 8, W / 8]``, of large images ``[B, D, H / 16, W / 16]``.
        """
        before = self.block0(images)
        preactivations, stages = [before], [F.relu(before)]
        large = min(images.shape[2:]) >= LARGE_IMAGE
        for block in (self.block1, self.block2, self.block3, self.block4):
            halved = large or block is not self.block4
            before = block(F.max_pool2d(stages[-1], 2) if halved else stages[-1])
            preactivations.append(before)
            stages.append(F.relu(before))
        pooled = stages[-1].mean(dim=(2, 3))  # [B, D]
        return Features(self.classifier(pooled), pooled, tuple(stages), tuple(preactivations), stages[-1])


def _stage(channels_in: int, channels: int, depth: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU, `depth` times; the closing ReLU is left to the caller."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Conv2d(channels if index else channels_in, channels, 3, padding=1), nn.BatchNorm2d(channels)]
        layers += [nn.ReLU()]
    return nn.Sequential(*layers[:-1])


ARCHITECTURES: dict[str, Callable[[int], Network]] = {
    "vgg8": partial(VGG, (1, 1, 1, 1, 1)),
    "vgg11": partial(VGG, (1, 1, 2, 2, 2)),
    "vgg13": partial(VGG, (2, 2, 2, 2, 2)),
    "vgg16": partial(VGG, (2, 2, 3, 3, 3)),
    "vgg19": partial(VGG, (2, 2, 4, 4, 4)),
}
