"""PKT, Probabilistic Knowledge Transfer (Passalis & Tefas, arXiv 1803.10837, ECCV 2018).

::

    L = ce_weight * CE(z_s, y) + feature_weight * pkt

    pkt = 1 / B² * sum over i, j of q[i, j] log((q[i, j] + eps) / (p[i, j] + eps))
    p[i, :] = ((cos(f_s[i], f_s[j]) + 1) / 2 for all j), divided by its sum;  q the same of f_t

f: the pooled features, which the classifier reads. Each image's similarities to the batch are taken for a distribution
over its neighbours, and the student's is drawn to the teacher's. eps -> `eps`.

As in mdistiller's release, the mean is over all B² pairs, where a divergence would have one over the B rows: hence the
large weight. An image counts as its own neighbour. Where the release differs: it divides by norm + eps and sets NaN to
0; the gradient of a sample without features is NaN there, and 0 here.

Shapes: `B` batch, `D` features.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, MethodParams
from trainers.distillers.feature_maps import MapDistiller, unit
from trainers.models import Features


def neighbours(features: Tensor) -> Tensor:
    """``[B, D]`` to each sample's distribution over the batch, ``[B, B]``, from cosines scaled to [0, 1]."""
    directions = unit(features, dim=1)
    scaled = ((directions @ directions.T + 1) / 2).clamp(min=0)  # rounding may leave a cosine below -1
    return scaled / scaled.sum(dim=1, keepdim=True)


def pkt_loss(student_features: Tensor, teacher_features: Tensor, *, eps: float = 1e-7) -> Tensor:
    """Divergence of the samples' distributions over their neighbours, mean over pairs of samples.

    Args:
        student_features: ``[B, D]``.
        teacher_features: ``[B, D']``.
        eps: added to both probabilities under the logarithm.
    """
    student, teacher = neighbours(student_features), neighbours(teacher_features.detach())
    return (teacher * ((teacher - student) / (student + eps)).log1p()).mean()


class PKTParams(MethodParams):
    """Hyperparameters of PKT."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    feature_weight: float = Field(30000.0, ge=0)
    """Weight of `pkt`."""
    eps: float = Field(1e-7, gt=0)
    """Added to both probabilities under the logarithm."""


class PKT(MapDistiller):
    """Each image's neighbours in the batch are distributed as for the teacher."""

    Params: ClassVar[type[MethodParams]] = PKTParams
    summary: ClassVar[str] = "each image's neighbours among the batch's pooled features (arXiv 1803.10837)"
    reads_pooled: ClassVar[bool] = True
    params: PKTParams

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`pkt`: :func:`pkt_loss`, a scalar, of the pooled features ``[B, D]``, whose widths may differ."""
        return {"pkt": pkt_loss(student.pooled, teacher.pooled, eps=self.params.eps)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `feature_weight` for `pkt`, in every epoch."""
        return {"ce": self.params.ce_weight, "pkt": self.params.feature_weight}
