"""Distilling Knowledge via Knowledge Review (Chen et al., arXiv 2104.09044, CVPR 2021).

::

    L = ce_weight * CE(z_s, y) + min(epoch / warmup, 1) * reviewkd_weight * sum over levels of HCL(R_i, F_t_i)

    R_n = widen_n(r_n),  r_n = narrow_n(F_s_n)                        n: the deepest level, the pooled feature as a map
    R_i = widen_i(r_i),  r_i = a * narrow_i(F_s_i) + b * r_(i+1)      resized to F_t_i; (a, b) = attention, per pixel

    HCL(R, F) = sum over l of w_l * MSE(pool_l(R), pool_l(F)) / sum over l of w_l
                pool_l: the map itself, then averages to 4 × 4, 2 × 2 and 1 × 1; w = 1, 1/2, 1/4, 1/8

F_s: the student's stages after their ReLU, without the stem, then its pooled feature as a 1 × 1 map; F_t: the
teacher's before their ReLU, likewise. The student's deep levels are so taught by all of the teacher's that are not
deeper. Poolings that are not smaller than the map are left out, and each kept one weighs half of the one before.

warmup -> `warmup_epochs`. The width of `narrow` is the smaller of `mid_channels` and the student's pooled width.

Where the authors' release differs: sizes and channels stand in tables by name there, so other pairs do not build; here
they are read off both networks. Levels are paired from the deepest on, and where one network has more stages its first
are left out. mdistiller has a setting for `mid_channels` which it does not read. No number differs from mdistiller's.

Shapes: `B` batch, `c` channels, `h`, `w` pixels of a map, `m` narrow channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams, Setting, ramp
from trainers.distillers.feature_maps import MapDistiller, survey
from trainers.models import Features, Network

POOLINGS = (4, 2, 1)


def hcl_loss(
    student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor], *, poolings: Sequence[int] = POOLINGS
) -> Tensor:
    """The hierarchical context loss, mean over batch, channels and pixels, summed over the pairs of maps.

    Args:
        student_maps, teacher_maps: as many of one as of the other, each pair ``[B, c, h, w]`` alike.
        poolings: sides of the averaged maps, falling; those not smaller than `h` are left out.
    """
    pairs = zip(student_maps, teacher_maps, strict=True)
    return torch.stack([_context_loss(ours, theirs.detach(), poolings) for ours, theirs in pairs]).sum()


def _context_loss(student: Tensor, teacher: Tensor, poolings: Sequence[int]) -> Tensor:
    levels = [F.mse_loss(student, teacher)]
    for side in poolings:
        if side < student.shape[2]:
            levels.append(F.mse_loss(F.adaptive_avg_pool2d(student, side), F.adaptive_avg_pool2d(teacher, side)))
    weights = [0.5**level for level in range(len(levels))]
    weighted = [weight * level for weight, level in zip(weights, levels, strict=True)]
    return torch.stack(weighted).sum() / sum(weights)


class Fusion(nn.Module):
    """One level: the student's map with what the deeper level handed on, as a map of the teacher's shape."""

    def __init__(self, channels_in: int, mid: int, channels_out: int, *, fuse: bool) -> None:
        super().__init__()
        self.narrow = _normed(nn.Conv2d(channels_in, mid, 1, bias=False))
        self.widen = _normed(nn.Conv2d(mid, channels_out, 3, padding=1, bias=False))
        self.attention: nn.Module | None = None
        if fuse:
            self.attention = nn.Sequential(nn.Conv2d(2 * mid, 2, 1), nn.Sigmoid())

    def forward(self, x: Tensor, deeper: Tensor | None, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The map for the teacher's ``[B, channels_out, *size]``, and what is handed on, ``[B, m, *size]``."""
        x = self.narrow(x)
        if self.attention is not None and deeper is not None:
            deeper = F.interpolate(deeper, x.shape[2:])
            share = self.attention(torch.cat([x, deeper], dim=1))  # [B, 2, h, w]
            x = x * share[:, :1] + deeper * share[:, 1:]
        x = F.interpolate(x, list(size))
        return self.widen(x), x


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    """The convolution, from U(-b, b) with b² = 3 / fan-in, and batch norm."""
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))


class Review(nn.Module):
    """The fusions of all levels, in the order of use: the deepest first."""

    def __init__(self, student_channels: Sequence[int], teacher_channels: Sequence[int], mid_channels: int) -> None:
        super().__init__()
        mid = min(mid_channels, student_channels[-1])
        widths = list(zip(student_channels, teacher_channels, strict=True))
        fusions = (Fusion(ours, mid, theirs, fuse=level > 0) for level, (ours, theirs) in enumerate(reversed(widths)))
        self.fusions = nn.ModuleList(fusions)

    def forward(self, student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> list[Tensor]:
        """Shallow to deep, ``[B, c, h, w]`` of each network, to the student's maps in the shapes of the teacher's, in
        that order."""
        reviewed: list[Tensor] = []
        handed_on: Tensor | None = None
        for fusion, ours, theirs in zip(self.fusions, reversed(student_maps), reversed(teacher_maps), strict=True):
            result, handed_on = fusion(ours, handed_on, theirs.shape[2:])
            reviewed.append(result)
        return reviewed[::-1]


def paired_levels(
    student: Features, teacher: Features, *, before_relu: bool = False
) -> tuple[list[Tensor], list[Tensor]]:
    """As many levels ``[B, channels, h, w]`` of one as of the other, shallow to deep: stages without the stem, then the
    pooled feature as a 1 × 1 map.

    `before_relu`: whether the student's stages are read before their ReLU, as the teacher's always are.
    """
    stages = (student.preactivations if before_relu else student.stages, teacher.preactivations)
    count = min(map(len, stages)) - 1
    ours, theirs = (
        [*maps[-count:], passed.pooled[:, :, None, None]]
        for maps, passed in zip(stages, (student, teacher), strict=True)
    )
    return ours, theirs


class ReviewKDParams(MethodParams):
    """Hyperparameters of ReviewKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    reviewkd_weight: float = Field(1.0, ge=0)
    """Weight of the distillation term; the authors use 0.6 to 8, mostly 5."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs over which reviewkd_weight rises linearly from 0; 0 for none."""
    mid_channels: int = Field(512, ge=1, le=65_536)
    """Channels inside the fusions, at most; never more than the student's pooled feature has."""
    student_preactivations: bool = False
    """Read the student's stages before their ReLU, as the teacher's always are."""


class ReviewKD(MapDistiller):
    """The student's levels, each fused with the deeper ones, imitate the teacher's."""

    Params: ClassVar[type[MethodParams]] = ReviewKDParams
    summary: ClassVar[str] = "levels fused from the deepest up imitate the teacher's (arXiv 2104.09044)"
    params: ReviewKDParams

    def __init__(self, params: ReviewKDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        networks = (student, setting.need_teacher())
        ours, theirs = self._paired(*(survey(network, setting, "reviewkd", stages=2) for network in networks))
        self.review = Review([m.shape[1] for m in ours], [m.shape[1] for m in theirs], params.mid_channels)

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`reviewkd`: :func:`hcl_loss`, a scalar, of the student's reviewed levels and the teacher's, ``[B, c, h, w]``
        each."""
        ours, theirs = self._paired(student, teacher)
        return {"reviewkd": hcl_loss(self.review(ours, theirs), theirs)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `reviewkd_weight` for `reviewkd`, which rises linearly over `warmup_epochs`."""
        params = self.params
        return {"ce": params.ce_weight, "reviewkd": ramp(epoch, params.warmup_epochs) * params.reviewkd_weight}

    def _paired(self, student: Features, teacher: Features) -> tuple[list[Tensor], list[Tensor]]:
        return paired_levels(student, teacher, before_relu=self.params.student_preactivations)
