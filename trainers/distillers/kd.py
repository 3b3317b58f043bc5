"""Knowledge Distillation (Hinton, Vinyals & Dean, arXiv 1503.02531).

::

    L = ce_weight * CE(z_s, y) + alpha * T² KL(softmax(z_t / T) || softmax(z_s / T))

z_s, z_t: logits of student and teacher; y: the label; T -> `temperature`.

No number differs from those of CRD's and mdistiller's code. Weights and temperature default to those of their CIFAR-100
runs (0.1, 0.9, 4); their ImageNet runs use 0.5, 0.5 and 1.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import LogitDistiller, MethodParams


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 4.0) -> Tensor:
    """T² times the batch mean of KL(teacher || student) between softened probabilities.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        temperature: `T`.
    """
    return soft_kl(student_logits, teacher_logits.detach(), temperature)


def soft_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor) -> Tensor:
    """:func:`kd_loss` for a teacher, or a temperature, that learns as well: the gradient reaches all.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        temperature: `T`, a number or a scalar tensor.
    """
    student = F.log_softmax(student_logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


class KDParams(MethodParams):
    """Hyperparameters of KD."""

    ce_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the labels."""
    alpha: float = Field(0.9, ge=0)
    """Weight of the distillation term."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""


class KD(LogitDistiller):
    """Softened probabilities of the teacher as a second target."""

    Params: ClassVar[type[MethodParams]] = KDParams
    summary: ClassVar[str] = "softened teacher probabilities (arXiv 1503.02531)"
    params: KDParams

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`kd`: :func:`kd_loss`, a scalar, from logits ``[B, C]``."""
        return {"kd": kd_loss(student, teacher, temperature=self.params.temperature)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `alpha` for `kd`, in every epoch."""
        return {"ce": self.params.ce_weight, "kd": self.params.alpha}
