"""Normalized Logits for Knowledge Distillation (Chi et al., arXiv 2308.00520), plain and around DKD.

::

    NormKD:       L = ce_weight * CE(z_s, y) + kd_weight * mean of tau_t² KL(p_t || p_s)
    NormKD + DKD: L = ce_weight * CE(z_s, y)
                      + min(epoch / warmup, 1) * mean of tau_t² [alpha * KL(b_t || b_s) + beta * KL(q_t || q_s)]

    tau = temperature * std(z) over the classes of each sample, the student's and the teacher's own
    p = softmax(z / tau),   b = (p[y], 1 - p[y]),   q: softmax(z / tau) over the classes but y

Every sample has its own temperature, in proportion to its logits' deviation, which is the unbiased one (it divides by C
- 1); the gradient passes through the student's. That is LSKD (:mod:`trainers.distillers.lskd`), whose mean a softmax
does not see, but for the factor: LSKD has the constant T², here it is the square of the teacher's own temperature, so
that samples with a loud teacher count more. T_norm -> `temperature`, `warmup` -> `warmup_epochs`.

Where the authors' release (gizi1/NormKD) differs: constant logits give NaN there; here 1e-7 is added to the deviation
that divides, as in LSKD, and such a teacher counts nothing. Around DKD it adds up probabilities; here masses are exact.
alpha and beta are DKD's by default; it tunes them per pair, from (0.5, 8.5) to (7, 2), told in docs/methods.md.
On ImageNet NormKD has T_norm = 1 and weights of 0.5, and around DKD alpha = beta = 1, a warm-up of one epoch and T_norm
= 0.5 (ResNet34 -> ResNet18) or 0.75 (ResNet50 -> MobileNetV1).

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import LogitDistiller, MethodParams, ramp
from trainers.distillers.lskd import standardize
from trainers.distillers.partition import divergences, kl_divergence, ranking


def normkd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 2.0) -> Tensor:
    """KD's loss at each sample's own temperature, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        temperature: T_norm, how many standard deviations a temperature is.
    """
    student, teacher = standardize(student_logits), standardize(teacher_logits.detach())
    each = kl_divergence((student / temperature).log_softmax(dim=1), (teacher / temperature).log_softmax(dim=1))  # [B]
    return temperature**2 * (_square(teacher_logits) * each).mean()


def normkd_dkd_terms(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, *, temperature: float = 2.0
) -> tuple[Tensor, Tensor]:
    """DKD's TCKD and NCKD at each sample's own temperature; arguments as in :func:`normkd_dkd_loss`."""
    student, teacher = standardize(student_logits), standardize(teacher_logits.detach())
    order, sizes = ranking(teacher, first=targets), (1, student.shape[1] - 1)
    parts = divergences(student, teacher, order, sizes, temperature=temperature)  # times T_norm²
    square = _square(teacher_logits)
    return (square * parts.between).mean(), (square * parts.within[1]).mean()


def normkd_dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 2.0,
) -> Tensor:
    """alpha * TCKD + beta * NCKD at each sample's own temperature, mean over the batch, without warm-up.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        targets: int64 ``[B]``.
        alpha, beta: weights of TCKD and NCKD.
        temperature: T_norm, how many standard deviations a temperature is.
    """
    target, others = normkd_dkd_terms(student_logits, teacher_logits, targets, temperature=temperature)
    return alpha * target + beta * others


def _square(teacher_logits: Tensor) -> Tensor:
    """Each sample's variance over its classes, ``[B]``, without gradient."""
    return teacher_logits.detach().var(dim=1)


class NormKDParams(MethodParams):
    """Hyperparameters of NormKD."""

    ce_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the labels."""
    kd_weight: float = Field(0.9, ge=0)
    """Weight of the distillation term."""
    temperature: float = Field(2.0, gt=0)
    """T_norm: each sample's temperature, in standard deviations of its logits."""


class NormKDDKDParams(MethodParams):
    """Hyperparameters of NormKD around DKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    alpha: float = Field(1.0, ge=0)
    """Weight of TCKD, the target class against the rest."""
    beta: float = Field(8.0, ge=0)
    """Weight of NCKD, the other classes among themselves."""
    temperature: float = Field(2.0, gt=0)
    """T_norm: each sample's temperature, in standard deviations of its logits."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs over which alpha and beta rise linearly from 0; 0 for none."""


class NormKD(LogitDistiller):
    """KD at a temperature of each sample's own."""

    Params: ClassVar[type[MethodParams]] = NormKDParams
    summary: ClassVar[str] = "KD at temperatures in proportion to each sample's logits (arXiv 2308.00520)"
    params: NormKDParams

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`normkd`: :func:`normkd_loss`, a scalar, from logits ``[B, C]``."""
        return {"normkd": normkd_loss(student, teacher, temperature=self.params.temperature)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `kd_weight` for `normkd`, in every epoch."""
        return {"ce": self.params.ce_weight, "normkd": self.params.kd_weight}


class NormKDDKD(LogitDistiller):
    """DKD at a temperature of each sample's own."""

    Params: ClassVar[type[MethodParams]] = NormKDDKDParams
    summary: ClassVar[str] = "DKD at temperatures in proportion to each sample's logits (arXiv 2308.00520)"
    params: NormKDDKDParams
    reads_labels = True

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`tckd` and `nckd`, scalars of :func:`normkd_dkd_terms`, from logits ``[B, C]``."""
        target, others = normkd_dkd_terms(student, teacher, targets, temperature=self.params.temperature)
        return {"tckd": target, "nckd": others}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `alpha` for `tckd` and `beta` for `nckd`, which rise linearly over `warmup_epochs`."""
        risen = ramp(epoch, self.params.warmup_epochs)
        return {"ce": self.params.ce_weight, "tckd": risen * self.params.alpha, "nckd": risen * self.params.beta}
