"""Logit Standardization in Knowledge Distillation (Sun et al., arXiv 2403.01427, CVPR 2024).

::

    L = ce_weight * CE(z_s, y) + kd_weight * T² KL(softmax(S(z_t) / T) || softmax(S(z_s) / T))

    S(z) = (z - mean(z)) / (std(z) + 1e-7)        over the classes of each sample

The student is freed from matching the teacher's range and location of logits: only their standard scores count. std is
the unbiased one (it divides by C - 1), and the gradient passes through mean and std, as in the authors' release.
T -> `temperature`, the base temperature; S -> :func:`standardize`, which DKD and GDKD offer as a field of that name.

No number differs from the release's. The defaults are those of its KD with ResNet teachers (0.1, 9, T = 2); per pair it
tunes kd_weight from 1 to 18 and T from 2 to 4, and its DKD multiplies alpha and beta by such a weight.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import LogitDistiller, MethodParams
from trainers.distillers.kd import kd_loss


def standardize(logits: Tensor, *, eps: float = 1e-7) -> Tensor:
    """Standard scores of logits ``[B, C]`` over each sample's classes; `eps` is added to the standard deviation."""
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + eps)


def lskd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 2.0) -> Tensor:
    """KD's loss between standardised logits.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        temperature: `T`, of the standard scores.
    """
    return kd_loss(standardize(student_logits), standardize(teacher_logits), temperature=temperature)


class LSKDParams(MethodParams):
    """Hyperparameters of LSKD."""

    ce_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the labels."""
    kd_weight: float = Field(9.0, ge=0)
    """Weight of the distillation term."""
    temperature: float = Field(2.0, gt=0)
    """`T`, softens both distributions of standard scores."""


class LSKD(LogitDistiller):
    """KD that compares standard scores instead of logits."""

    Params: ClassVar[type[MethodParams]] = LSKDParams
    summary: ClassVar[str] = "KD on standardised logits (arXiv 2403.01427)"
    params: LSKDParams

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`lskd`: :func:`lskd_loss`, a scalar, from logits ``[B, C]``."""
        return {"lskd": lskd_loss(student, teacher, temperature=self.params.temperature)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `kd_weight` for `lskd`, in every epoch."""
        return {"ce": self.params.ce_weight, "lskd": self.params.kd_weight}
