"""ABKD around DKD: the alpha-beta divergence (Wang et al., arXiv 2505.04560, ICML 2025) for its second term.

::

    L = ce_weight * CE(z_s, y) + min(epoch / warmup, 1) * (alpha * TCKD + beta * ABNCKD)

    TCKD   = T² KL((p_t[y], 1 - p_t[y]) || (p_s[y], 1 - p_s[y]))             p: softmax(z / T)
    ABNCKD = T² D(q_t || q_s)                                                q: softmax(z / T) over the classes but y

D: the divergence of :mod:`trainers.distillers.abkd`, with the exponents `ab_alpha` and `ab_beta`; alpha and beta are
DKD's weights. T -> `temperature`; `warmup` -> `warmup_epochs`. The exponents (1, 0) are DKD itself.

Where the authors' release (ghwang-s/abkd) differs: it divides by zero where an exponent, or their sum, is 0, unless
they are (1, 0), and its sums of probabilities underflow; here both are as in ABKD and DKD. It has no values for all
pairs: its comment on vgg13 -> vgg8 has exponents that add up to 1, with the first from 0.5 to 1.2, and 6 for `beta`.
The first is 0.8 here, as in ABKD. Beyond 1 the second is negative, and the divergence has no bound where a probability
of the student vanishes: such exponents are for :func:`abkd_dkd_loss` alone.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.abkd import alpha_beta_divergence
from trainers.distillers.base import LogitDistiller, MethodParams, ramp
from trainers.distillers.dkd import dkd_terms
from trainers.distillers.partition import ranking


def abkd_dkd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    ab_alpha: float = 0.8,
    ab_beta: float = 0.2,
    temperature: float = 4.0,
) -> tuple[Tensor, Tensor]:
    """TCKD and ABNCKD, unweighted; arguments as in :func:`abkd_dkd_loss`."""
    teacher_logits = teacher_logits.detach()
    target, _ = dkd_terms(student_logits, teacher_logits, targets, temperature=temperature)
    others = ranking(teacher_logits, first=targets)[:, 1:]
    theirs, ours = (
        (logits.gather(1, others) / temperature).log_softmax(dim=1) for logits in (teacher_logits, student_logits)
    )
    return target, temperature**2 * alpha_beta_divergence(theirs, ours, ab_alpha, ab_beta).mean()


def abkd_dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 6.0,
    ab_alpha: float = 0.8,
    ab_beta: float = 0.2,
    temperature: float = 4.0,
) -> Tensor:
    """alpha * TCKD + beta * ABNCKD, mean over the batch, without warm-up.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        targets: int64 ``[B]``.
        alpha, beta: weights of TCKD and ABNCKD.
        ab_alpha, ab_beta: exponents of the teacher's and the student's probabilities; any numbers.
        temperature: `T`.
    """
    options = {"ab_alpha": ab_alpha, "ab_beta": ab_beta, "temperature": temperature}
    target, others = abkd_dkd_terms(student_logits, teacher_logits, targets, **options)
    return alpha * target + beta * others


class ABKDDKDParams(MethodParams):
    """Hyperparameters of ABKD around DKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    alpha: float = Field(1.0, ge=0)
    """Weight of TCKD, the target class against the rest."""
    beta: float = Field(6.0, ge=0)
    """Weight of ABNCKD, the divergence of the other classes among themselves."""
    ab_alpha: float = Field(0.8, ge=0)
    """Exponent of the teacher's probabilities in that divergence."""
    ab_beta: float = Field(0.2, ge=0)
    """Exponent of the student's probabilities in it."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs over which alpha and beta rise linearly from 0; 0 for none."""


class ABKDDKD(LogitDistiller):
    """DKD with a divergence between forward and reverse KL among the classes but the label's."""

    Params: ClassVar[type[MethodParams]] = ABKDDKDParams
    summary: ClassVar[str] = "DKD with the alpha-beta divergence of the other classes (arXiv 2505.04560)"
    params: ABKDDKDParams
    reads_labels = True

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`tckd` and `ab_nckd`, scalars of :func:`abkd_dkd_terms`, from logits ``[B, C]``."""
        params = self.params
        options = {"ab_alpha": params.ab_alpha, "ab_beta": params.ab_beta, "temperature": params.temperature}
        target, others = abkd_dkd_terms(student, teacher, targets, **options)
        return {"tckd": target, "ab_nckd": others}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `alpha` for `tckd`, `beta` for `ab_nckd`, which rise linearly over `warmup_epochs`."""
        risen = ramp(epoch, self.params.warmup_epochs)
        return {"ce": self.params.ce_weight, "tckd": risen * self.params.alpha, "ab_nckd": risen * self.params.beta}
