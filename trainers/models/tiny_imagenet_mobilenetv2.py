"""MobileNetV2 at full width, as mdistiller's Tiny-ImageNet experiments have it.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2, with expansion 6. As in
mdistiller's release (its definition goes back to github.com/weiaicunzai/pytorch-cifar100), whose state-dict keys these
are: every convolution has a bias, the stem is a 1 × 1 convolution padded by one pixel (64 × 64 pixels become a map of
66 × 66), the sixth group keeps the resolution, and the last layer is a 1 × 1 convolution. That layer is the same
arithmetic as a linear one, and is one here; in the state dict its weight has the convolution's shape.

Features are those of the release: stem, the groups that halve the resolution, and the last map in front of the pooling.
Bottlenecks are linear, so there the preactivation is the stage's output itself.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.base import Features, Network

# table 2, one row a group of bottlenecks: channels, repetitions, stride of the first
GROUPS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 1), (320, 1, 1))
STEM = 32
EXPANSION = 6
STAGE_ENDS = (1, 2, 3)  # the groups that halve the resolution
FEATURE_DIM = 1280


class PointwiseHead(nn.Linear):
    """A linear layer whose weight is ``[C, D, 1, 1]`` in a state dict, as a 1 × 1 convolution's."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__(features, num_classes)
        self.register_state_dict_post_hook(_as_convolution)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_as_linear)  # type: ignore[no-untyped-call]


def _as_convolution(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    state[f"{prefix}weight"] = state[f"{prefix}weight"][:, :, None, None]


def _as_linear(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    if f"{prefix}weight" in state:
        state[f"{prefix}weight"] = state[f"{prefix}weight"].flatten(start_dim=1)


class Bottleneck(nn.Module):
    """Widen by `expansion`, filter each channel by itself, narrow again; a shortcut where the shapes agree."""

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.keeps_shape = stride == 1 and channels_in == channels
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, wide, 1),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride=stride, padding=1, groups=wide),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels, h / stride, w / stride]``."""
        out: Tensor = self.residual(x)
        return x + out if self.keeps_shape else out


class TinyImageNetMobileNetV2(Network):
    """Stem, seven groups of bottlenecks, a 1 × 1 convolution to 1280 channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        widths = (STEM, *(row[0] for row in GROUPS))
        self.stage_channels = (STEM, *(GROUPS[end][0] for end in STAGE_ENDS), FEATURE_DIM)
        self.feature_dim = FEATURE_DIM
        self.pre = nn.Sequential(nn.Conv2d(3, STEM, 1, padding=1), nn.BatchNorm2d(STEM))
        for index, (channels, repetitions, stride) in enumerate(GROUPS):
            first = Bottleneck(widths[index], channels, stride, EXPANSION if index else 1)
            rest = (Bottleneck(channels, channels, 1, EXPANSION) for _ in range(repetitions - 1))
            self.add_module(f"stage{index + 1}", first if repetitions == 1 else nn.Sequential(first, *rest))
        self.conv1 = nn.Sequential(nn.Conv2d(widths[-1], FEATURE_DIM, 1), nn.BatchNorm2d(FEATURE_DIM))
        self.conv2 = PointwiseHead(FEATURE_DIM, num_classes)

    @property
    def classifier(self) -> nn.Linear:
        """`conv2`, a linear layer but for the shape of its weight in a state dict: ``[B, D]`` to ``[B, C]``."""
        return self.conv2

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``.

        The stem makes height and width two pixels larger, three stages halve them (an odd side rounds up), and the last
        map, whose mean is `pooled`, keeps them: 66, 33, 17, 9 and 9 pixels of an image of 64.
        """
        before = self.pre(images)
        x = F.relu6(before)
        preactivations, stages = [before], [x]
        for index in range(len(GROUPS)):
            x = self.get_submodule(f"stage{index + 1}")(x)
            if index in STAGE_ENDS:
                preactivations.append(x)
                stages.append(x)
        preactivations.append(self.conv1(x))
        stages.append(F.relu6(preactivations[-1]))
        pooled = stages[-1].mean(dim=(2, 3))  # [B, D]
        return Features(self.conv2(pooled), pooled, tuple(stages), tuple(preactivations), stages[-1])


ARCHITECTURES: dict[str, Callable[[int], Network]] = {"tiny_imagenet/MobileNetV2": TinyImageNetMobileNetV2}
