"""Transformed Teacher Matching, plain and weighted (Zheng & Yang, arXiv 2402.11148, ICLR 2024).

::

    TTM:   L = ce_weight * CE(z_s, y) + beta * mean over samples of KL(p_t^gamma / U || p_s)
    WTTM:  L = ce_weight * CE(z_s, y) + beta * mean over samples of U * KL(p_t^gamma / U || p_s)

    U = sum over classes of p_t^gamma                                     p: softmax(z)

Only the teacher is softened: p_t^gamma / U is softmax(gamma * z_t), a temperature of 1 / gamma. The student keeps its
own probabilities, which adds a Rényi entropy to KD's objective. WTTM gives more weight to samples whose teacher is
unsure: U is 1 for a certain teacher and at most C^(1 - gamma). There is no factor T².

The release raises probabilities to the power gamma, which loses those that underflow in float32; here the logarithms
are scaled. It has no defaults: `gamma` and `beta` are tuned per pair (paper, appendix A.4; TTM's beta from 7 to 101 and
WTTM's from 1.4 to 16 on CIFAR-100). The defaults here are those of vgg13 -> vgg8: gamma 0.1, beta 45 and 2.25. Checked
against the equation, not against numbers of the authors' code.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import LogitDistiller, MethodParams
from trainers.distillers.partition import kl_divergence


def ttm_loss(student_logits: Tensor, teacher_logits: Tensor, *, gamma: float = 0.1, weighted: bool = False) -> Tensor:
    """Divergence of the student from the softened teacher, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        gamma: exponent of the teacher's probabilities, 1 / T.
        weighted: whether each sample is weighted by its power sum U (WTTM).
    """
    powers = gamma * teacher_logits.detach().log_softmax(dim=1)
    divergence = kl_divergence(student_logits.log_softmax(dim=1), powers.log_softmax(dim=1))  # [B]
    return (powers.logsumexp(dim=1).exp() * divergence if weighted else divergence).mean()


class TTMParams(MethodParams):
    """Hyperparameters of TTM."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    beta: float = Field(45.0, ge=0)
    """Weight of the distillation term."""
    gamma: float = Field(0.1, gt=0, le=1)
    """Exponent of the teacher's probabilities: 0.1 is a temperature of 10."""


class WTTMParams(TTMParams):
    """Hyperparameters of WTTM."""

    beta: float = Field(2.25, ge=0)
    """Weight of the distillation term."""


class TTM(LogitDistiller):
    """The student's own probabilities against a softened teacher."""

    Params: ClassVar[type[MethodParams]] = TTMParams
    summary: ClassVar[str] = "softened teacher, unsoftened student (arXiv 2402.11148)"
    weighted: ClassVar[bool] = False
    params: TTMParams

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`ttm`: :func:`ttm_loss`, a scalar, from logits ``[B, C]``; `weighted` as the class says."""
        return {"ttm": ttm_loss(student, teacher, gamma=self.params.gamma, weighted=self.weighted)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `beta` for `ttm`, in every epoch."""
        return {"ce": self.params.ce_weight, "ttm": self.params.beta}


class WTTM(TTM):
    """TTM with more weight on samples of which the teacher is unsure."""

    Params: ClassVar[type[MethodParams]] = WTTMParams
    summary: ClassVar[str] = "TTM weighted by the teacher's uncertainty (arXiv 2402.11148)"
    weighted: ClassVar[bool] = True
