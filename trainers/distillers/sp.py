"""SP, Similarity-Preserving Knowledge Distillation (Tung & Mori, arXiv 1907.09682, ICCV 2019).

::

    L = ce_weight * CE(z_s, y) + feature_weight * sp

    sp = sum over stages of 1 / B² * ||G_t - G_s||²         G: x x^T with rows of unit length, x = [B, K h w]

Pairs of images that excite the teacher alike shall excite the student alike; neither channels nor pixels need agree.
The method reads the last stage alone, as CRD's and mdistiller's releases do (`sp_loss` takes any number). The paper's
gamma -> `feature_weight`.

Where those releases differ, not in value: the loss has the shape (1,) there. An image whose map is zero has no
similarity to any other, and here no gradient.

Shapes: `B` batch, `K` channels, `h`, `w` pixels of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, MethodParams
from trainers.distillers.feature_maps import MapDistiller, unit
from trainers.models import Features


def similarities(maps: Tensor) -> Tensor:
    """``[B, ...]`` to the dot products of all pairs of samples, ``[B, B]``, each row of unit length."""
    flat = maps.flatten(1)
    return unit(flat @ flat.T, dim=1)


def sp_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    """Squared difference of the samples' similarities, mean over their pairs, summed over stages.

    Args:
        student_maps, teacher_maps: equally many, each ``[B, ...]``; but for the batch, shapes may differ in a pair.
    """
    pairs = zip(student_maps, teacher_maps, strict=True)
    terms = [(similarities(teacher.detach()) - similarities(student)).square().mean() for student, teacher in pairs]
    return torch.stack(terms).sum()


class SPParams(MethodParams):
    """Hyperparameters of SP."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    feature_weight: float = Field(3000.0, ge=0)
    """Weight of `sp`."""


class SP(MapDistiller):
    """What is alike to the teacher is alike to the student."""

    least_stages: ClassVar[int] = 1
    Params: ClassVar[type[MethodParams]] = SPParams
    summary: ClassVar[str] = "similarity of the batch's images in the last stage (arXiv 1907.09682)"
    params: SPParams

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`sp`: :func:`sp_loss`, a scalar, of each network's last stage ``[B, K, h, w]``."""
        return {"sp": sp_loss(student.stages[-1:], teacher.stages[-1:])}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `feature_weight` for `sp`, in every epoch."""
        return {"ce": self.params.ce_weight, "sp": self.params.feature_weight}
