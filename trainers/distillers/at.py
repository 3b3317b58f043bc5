"""AT, Paying More Attention to Attention (Zagoruyko & Komodakis, arXiv 1612.03928, ICLR 2017).

::

    L = ce_weight * CE(z_s, y) + feature_weight * at

    at   = sum over stages of the mean over samples and pixels of (A(f_s) - A(f_t))²
    A(f) = the mean over channels of f^p, as a vector over the pixels of unit length

Only where a network looks is compared, so the channels of both need not agree; maps of different sizes are
average-pooled to the smaller one. All stages after the stem are read, after their ReLU where they have one. p -> `p`,
the paper's beta -> `feature_weight`.

As in CRD's and mdistiller's releases, the power is taken without the absolute value of the paper: with an odd `p` the
sign of a map without closing ReLU (wide ResNets, MobileNetV2) counts. A map of zeros has no attention, and here no
gradient. Pairing of networks with unequally many stages: :mod:`trainers.distillers.feature_maps`.

Shapes: `B` batch, `K` channels, `h`, `w` pixels of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, MethodParams
from trainers.distillers.feature_maps import TINY, MapDistiller, paired_stages, pooled_alike, unit
from trainers.models import Features


def attention(maps: Tensor, *, p: int = 2) -> Tensor:
    """``[B, K, h, w]`` to where it is large, ``[B, h w]``, each row of unit length, or zero for a map of zeros.

    A map is divided by its largest entry first: the result is the same, and no power overflows.
    """
    largest = maps.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = maps / torch.where(largest > TINY, largest, 1.0)
    return unit(scaled.pow(p).mean(dim=1).flatten(1), dim=1)


def at_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor], *, p: int = 2) -> Tensor:
    """Squared difference of attention, mean over batch and pixels, summed over stages.

    Args:
        student_maps, teacher_maps: equally many, each ``[B, K, h, w]``; channels and pixels may differ in a pair.
        p: power of the activations, a whole number from 1 on.
    """
    terms = []
    for student, teacher in zip(student_maps, teacher_maps, strict=True):
        student, teacher = pooled_alike(student, teacher.detach())
        terms.append((attention(student, p=p) - attention(teacher, p=p)).square().mean())
    return torch.stack(terms).sum()


class ATParams(MethodParams):
    """Hyperparameters of AT."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    feature_weight: float = Field(1000.0, ge=0)
    """Weight of `at`."""
    p: int = Field(2, ge=1, le=100)
    """Power of the activations whose mean over channels is the attention."""


class AT(MapDistiller):
    """The student looks where the teacher looks."""

    least_stages: ClassVar[int] = 2
    Params: ClassVar[type[MethodParams]] = ATParams
    summary: ClassVar[str] = "attention: where the maps of each stage are large (arXiv 1612.03928)"
    params: ATParams

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`at`: :func:`at_loss`, a scalar, of the paired stages ``[B, K, h, w]``."""
        return {"at": at_loss(*paired_stages(student, teacher), p=self.params.p)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `feature_weight` for `at`, in every epoch."""
        return {"ce": self.params.ce_weight, "at": self.params.feature_weight}
