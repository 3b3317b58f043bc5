"""RKD, Relational Knowledge Distillation (Park et al., arXiv 1904.05068, CVPR 2019).

::

    L = ce_weight * CE(z_s, y) + distance_weight * rkd_distance + angle_weight * rkd_angle

    rkd_distance = mean over i, j of huber(d_s[i, j] - d_t[i, j])         d: |f[i] - f[j]| over its mean
    rkd_angle    = mean over i, j, k of huber(c_s[i, j, k] - c_t[i, j, k])
    c[i, j, k]   = cosine of the angle at f[i] between f[j] and f[k]
    huber(x)     = x² / 2 up to |x| = 1, |x| - 1/2 beyond

f: the pooled features, which the classifier reads. `squared` takes squared distances.

As in mdistiller's release, the mean distance is over the pairs that are apart, and the means of both terms are over all
B² and B³ entries, also those that are 0 by definition. Where it differs: it takes distances from squared norms and
dot products, which cancel, and clamps at eps; here they come from differences, and two equal samples are at distance 0
with a gradient of 0. `eps` only keeps a batch of equal features from a division by zero.

Shapes: `B` batch, `D` features.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams
from trainers.distillers.feature_maps import MapDistiller, unit
from trainers.models import Features


def relations(features: Tensor, *, squared: bool = False, eps: float = 1e-12) -> tuple[Tensor, Tensor]:
    """Distances over their mean, ``[B, B]``, and cosines at every sample, ``[B, B, B]``, of ``[B, D]``."""
    differences = features[None] - features[:, None]  # [B, B, D]
    distances = differences.square().sum(dim=2) if squared else vector_norm(differences, dim=2)
    apart = (distances > 0).sum().clamp(min=1)
    directions = unit(differences, dim=2)
    return distances / (distances.sum() / apart).clamp(min=eps), torch.bmm(directions, directions.mT)


def rkd_terms(
    student_features: Tensor, teacher_features: Tensor, *, squared: bool = False, eps: float = 1e-12
) -> tuple[Tensor, Tensor]:
    """rkd_distance and rkd_angle, unweighted; arguments as in :func:`rkd_loss`."""
    student = relations(student_features, squared=squared, eps=eps)
    with torch.no_grad():
        teacher = relations(teacher_features, squared=squared, eps=eps)
    return F.smooth_l1_loss(student[0], teacher[0]), F.smooth_l1_loss(student[1], teacher[1])


def rkd_loss(
    student_features: Tensor,
    teacher_features: Tensor,
    *,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
    squared: bool = False,
    eps: float = 1e-12,
) -> Tensor:
    """distance_weight * rkd_distance + angle_weight * rkd_angle; memory grows with B³ and B² D.

    Args:
        student_features: ``[B, D]``.
        teacher_features: ``[B, D']``.
        distance_weight, angle_weight: weights of distances and angles.
        squared: whether distances are squared.
        eps: least mean distance that is divided by.
    """
    distance, angle = rkd_terms(student_features, teacher_features, squared=squared, eps=eps)
    return distance_weight * distance + angle_weight * angle


class RKDParams(MethodParams):
    """Hyperparameters of RKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    distance_weight: float = Field(25.0, ge=0)
    """Weight of `rkd_distance`, the distances of pairs."""
    angle_weight: float = Field(50.0, ge=0)
    """Weight of `rkd_angle`, the angles of triplets."""
    squared: bool = False
    """Whether distances are squared."""
    eps: float = Field(1e-12, gt=0)
    """Least mean distance that is divided by."""


class RKD(MapDistiller):
    """Distances and angles between images as the teacher has them."""

    Params: ClassVar[type[MethodParams]] = RKDParams
    summary: ClassVar[str] = "distances and angles among the batch's pooled features (arXiv 1904.05068)"
    reads_pooled: ClassVar[bool] = True
    params: RKDParams

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`rkd_distance` and `rkd_angle`, scalars of :func:`rkd_terms`, of the pooled features ``[B, D]``, whose widths
        may differ."""
        params = self.params
        distance, angle = rkd_terms(student.pooled, teacher.pooled, squared=params.squared, eps=params.eps)
        return {"rkd_distance": distance, "rkd_angle": angle}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`, `distance_weight` for `rkd_distance` and `angle_weight` for `rkd_angle`, in every
        epoch."""
        params = self.params
        return {"ce": params.ce_weight, "rkd_distance": params.distance_weight, "rkd_angle": params.angle_weight}
