"""GDKD with three groups of classes (arXiv 2512.04625), which its authors use for vision transformers as teachers.

::

    L = ce_weight * CE(z_s, y) + min(epoch / warmup, 1) * (w0 * high + w1 * low_top + w2 * low_other)

    high      = T² KL(b_t || b_s)                  b: shares of the three groups in softmax(z / T)
    low_top   = T² KL(q_t[2..k] || q_s[2..k])      q[g]: softmax(z / T) inside group g
    low_other = T² KL(q_t[rest] || q_s[rest])

The groups are the class that the teacher ranks first, those it ranks 2 to `k`, and the rest. T -> `temperature`,
`warmup` -> `warmup_epochs`. Always forward. Differences from the authors' release as in
:mod:`trainers.distillers.gdkd`; an empty group (k = 1 or k = C) is refused, where k = 1 is NaN there.

Shapes: `B` batch, `C` classes, `k` classes of the first two groups together.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import MethodParams
from trainers.distillers.gdkd import GroupedDistiller, GroupedParams
from trainers.distillers.partition import divergences, ranking


def gdkd3_terms(
    student_logits: Tensor, teacher_logits: Tensor, *, k: int = 4, temperature: float = 4.0
) -> tuple[Tensor, Tensor, Tensor]:
    """high, low_top and low_other, unweighted; arguments as in :func:`gdkd3_loss`."""
    sizes = (1, k - 1, student_logits.shape[1] - k)
    parts = divergences(student_logits, teacher_logits, ranking(teacher_logits), sizes, temperature=temperature)
    return parts.between.mean(), parts.within[1].mean(), parts.within[2].mean()


def gdkd3_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    k: int = 4,
    w0: float = 1.0,
    w1: float = 1.0,
    w2: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """w0 * high + w1 * low_top + w2 * low_other over three groups, mean over the batch, without warm-up.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        k: classes of the first two groups together, 2 ... C - 1.
        w0, w1, w2: weights of the divergence between the groups, inside the second, and inside the rest.
        temperature: `T`.
    """
    high, top, other = gdkd3_terms(student_logits, teacher_logits, k=k, temperature=temperature)
    return w0 * high + w1 * top + w2 * other


class GDKD3Params(GroupedParams):
    """Hyperparameters of GDKD3."""

    k: int = Field(4, ge=2)
    """Classes of the first two groups together; fewer than the data set has. The authors use 5 for ViT teachers."""


class GDKD3(GroupedDistiller):
    """GDKD with the teacher's first class, the next k - 1 and the rest as groups."""

    Params: ClassVar[type[MethodParams]] = GDKD3Params
    summary: ClassVar[str] = "GDKD with three groups: first, next k - 1, rest (arXiv 2512.04625)"
    params: GDKD3Params

    def parts(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of :func:`gdkd3_terms`, over three groups."""
        return gdkd3_terms(student, teacher, k=self.params.k, temperature=self.params.temperature)
