"""Refined Logit Distillation (Sun et al., arXiv 2408.07703, ICCV 2025).

::

    L = ce_weight * CE(z_s, y) + min(epoch / warmup, 1) * (alpha * SCD + beta * MCD)

    SCD = T_c² KL(b(z_t / T_c, argmax z_t) || b(z_s / T_c, y))            b(z, k): (p[k], 1 - p[k]) of p = softmax(z)
    MCD = T² KL(q_t || q_s)                                               q: softmax(z / T) over K
    K   = the classes that the teacher ranks below y: { k : z_t[k] < z_t[y] }

Sample confidence distillation (SCD): the student shall be as sure of the label as the teacher is of its first class,
whichever that is. Masked correlation distillation (MCD): the label and what the teacher ranks at or above it are left
out, so that a mistake of the teacher teaches nothing; where K is empty or one class, MCD is 0. Where the teacher is
right, RLD at T_c = T is DKD. T -> `temperature`, T_c -> `confidence_temperature`, `warmup` -> `warmup_epochs`.

Where the authors' release (zju-SWJ/RLD) differs: it takes the logarithm of summed probabilities, which is infinite once
one underflows in float32; the forms here are exact everywhere, and equal elsewhere. Its T_c is 1 by default, and T by
the option that its README's command sets, as here. Its `--logit-stand`, our `standardize` (both logits standardised
first, :mod:`trainers.distillers.lskd`), goes with nine times the weights and T = T_c = 2. On ImageNet it takes T = 1 =
T_c, a warm-up of one epoch, and beta = 0.5 for ResNet34 -> ResNet18, 2 for ResNet50 -> MobileNetV1.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import LogitDistiller, MethodParams, ramp
from trainers.distillers.lskd import standardize as standard_scores
from trainers.distillers.partition import kl_divergence


def rld_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    temperature: float = 4.0,
    confidence_temperature: float = 4.0,
    standardize: bool = False,
) -> tuple[Tensor, Tensor]:
    """SCD and MCD, unweighted; arguments as in :func:`rld_loss`."""
    student, teacher = student_logits, teacher_logits.detach()
    if standardize:
        student, teacher = standard_scores(student), standard_scores(teacher)
    ours = _log_shares(student / confidence_temperature, targets)
    theirs = _log_shares(teacher / confidence_temperature, teacher.argmax(dim=1))
    confidence = confidence_temperature**2 * kl_divergence(ours, theirs).mean()
    below = teacher < teacher.gather(1, targets[:, None])  # [B, C]
    correlation = temperature**2 * _masked_kl(student / temperature, teacher / temperature, below).mean()
    return confidence, correlation


def rld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    confidence_temperature: float = 4.0,
    standardize: bool = False,
) -> Tensor:
    """alpha * SCD + beta * MCD, mean over the batch, without warm-up.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        targets: int64 ``[B]``.
        alpha, beta: weights of SCD and MCD.
        temperature: `T`, of MCD.
        confidence_temperature: `T_c`, of SCD.
        standardize: compare standard scores of both logits.
    """
    confidence, correlation = rld_terms(
        student_logits,
        teacher_logits,
        targets,
        temperature=temperature,
        confidence_temperature=confidence_temperature,
        standardize=standardize,
    )
    return alpha * confidence + beta * correlation


def _log_shares(logits: Tensor, chosen: Tensor) -> Tensor:
    """``[B, 2]``: log of the probability of each sample's chosen class (int64 ``[B]``), and of all others together."""
    own = F.one_hot(chosen, logits.shape[1]).bool()
    others = logits.masked_fill(own, -math.inf).logsumexp(dim=1)
    return torch.stack([logits.gather(1, chosen[:, None])[:, 0], others], dim=1).log_softmax(dim=1)


def _masked_kl(student: Tensor, teacher: Tensor, kept: Tensor) -> Tensor:
    """KL ``[B]`` of the softmaxes over the classes that are `kept` (bool ``[B, C]``); 0 where none is."""
    some = kept.any(dim=1, keepdim=True)
    kept = kept | ~some  # a softmax over nothing has no gradient, not even one of 0
    ours, theirs = (logits.masked_fill(~kept, -math.inf).log_softmax(dim=1) for logits in (student, teacher))
    ours, theirs = ours.masked_fill(~kept, 0), theirs.masked_fill(~kept, 0)  # left out, their divergence is 0
    return torch.where(some[:, 0], kl_divergence(ours, theirs), 0)


class RLDParams(MethodParams):
    """Hyperparameters of RLD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    alpha: float = Field(1.0, ge=0)
    """Weight of SCD, the student's confidence in the label."""
    beta: float = Field(8.0, ge=0)
    """Weight of MCD, the classes that the teacher ranks below the label."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens the classes of MCD."""
    confidence_temperature: float = Field(4.0, gt=0)
    """`T_c`, softens the confidences of SCD."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs over which alpha and beta rise linearly from 0; 0 for none."""
    standardize: bool = False
    """Standardise both logits first (LSKD); both temperatures then divide standard scores: 2, say."""


class RLD(LogitDistiller):
    """The teacher's confidence, and its ranking below the label: what its mistakes leave of KD's loss."""

    Params: ClassVar[type[MethodParams]] = RLDParams
    summary: ClassVar[str] = "confidence, and the classes ranked below the label (arXiv 2408.07703)"
    params: RLDParams
    reads_labels = True

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`scd` and `mcd`, scalars of :func:`rld_terms`, from logits ``[B, C]``."""
        params = self.params
        confidence, correlation = rld_terms(
            student,
            teacher,
            targets,
            temperature=params.temperature,
            confidence_temperature=params.confidence_temperature,
            standardize=params.standardize,
        )
        return {"scd": confidence, "mcd": correlation}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `alpha` for `scd` and `beta` for `mcd`, which rise linearly over `warmup_epochs`."""
        risen = ramp(epoch, self.params.warmup_epochs)
        return {"ce": self.params.ce_weight, "scd": risen * self.params.alpha, "mcd": risen * self.params.beta}
