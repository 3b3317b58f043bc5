"""Local Dense Relational Logit Distillation (Xu et al., arXiv 2507.15911, ICCV 2025).

::

    L = ce_weight * CE(z_s, y) + alpha * LDRLD + beta * RNTK

    LDRLD = 1 / M * sum over sets S of w_S T² KL(softmax of z_t / T in S || softmax of z_s / T in S)
    RNTK  = T² KL(q_t || q_s)                             q: softmax(z / T) over the classes but c_1 ... c_k
    w     = 2 / (1.5 + |i - j|) * exp(-0.05 (i + j)) for the pair of ranks i and j, 1 for the whole

    c_1 ... c_k: the classes of the student's k largest logits, in descending order
    S: all M - 1 = k (k - 1) / 2 pairs of them, and the whole

The student's own first classes are compared pair by pair, pairs of high and near ranks counting most, and the rest is
compared as a whole (RNTK, remaining non-top-k). No label is read; ranks carry no gradient. T -> `temperature`. In a
pair softmax is the sigmoid of the difference of logits, which is how all pairs are computed at once: from two k by k
tables.

Where the authors' release (yema-web/LDRLD) differs: with k = C nothing remains, and it compares all classes in RNTK;
here RNTK is 0 then. With k = 2 the whole is the pair once more and has, as there, the pair's weight. Its k is 7 and T
4; alpha and beta have no default, and those here are its README's for resnet32x4 -> resnet8x4. Its runs raise the
learning rate over the first 20 epochs (`warmup_epochs` of a recipe here); the loss has no warm-up.

Shapes: `B` batch, `C` classes, `k` first classes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import LogitDistiller, MethodParams, Setting
from trainers.distillers.partition import kl_divergence, ranking
from trainers.errors import InputError
from trainers.models import Network


def pair_weights(k: int, like: Tensor) -> Tensor:
    """w of each pair of ranks, ``[k, k]`` above the diagonal and 0 elsewhere, as `like` in type and device."""
    ranks = torch.arange(1, k + 1, dtype=like.dtype, device=like.device)
    apart, together = (ranks[None] - ranks[:, None]).abs(), ranks[None] + ranks[:, None]
    return (2 / (1.5 + apart) * torch.exp(-0.05 * together)).triu(1)


def ldrld_terms(
    student_logits: Tensor, teacher_logits: Tensor, *, k: int = 7, temperature: float = 4.0
) -> tuple[Tensor, Tensor]:
    """LDRLD and RNTK, unweighted; arguments as in :func:`ldrld_loss`."""
    order = ranking(student_logits)
    student, teacher = ((z.gather(1, order) / temperature) for z in (student_logits, teacher_logits.detach()))
    weights = pair_weights(k, student)
    pairs = (weights * _pairwise_kl(student[:, :k], teacher[:, :k])).sum(dim=(1, 2))  # [B]
    whole = _softmax_kl(student[:, :k], teacher[:, :k]) * (weights[0, 1] if k == 2 else 1)
    local = (pairs + whole) / (k * (k - 1) // 2 + 1)
    remaining = _softmax_kl(student[:, k:], teacher[:, k:])
    return temperature**2 * local.mean(), temperature**2 * remaining.mean()


def ldrld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    alpha: float = 10.5,
    beta: float = 7.0,
    k: int = 7,
    temperature: float = 4.0,
) -> Tensor:
    """alpha * LDRLD + beta * RNTK, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        alpha: weight of the student's first classes, pair by pair and together.
        beta: weight of the rest.
        k: how many first classes there are, 1 ... C.
        temperature: `T`.
    """
    local, remaining = ldrld_terms(student_logits, teacher_logits, k=k, temperature=temperature)
    return alpha * local + beta * remaining


def _pairwise_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL ``[B, k, k]`` of the softmaxes of every two of `k` logits ``[B, k]``."""
    ours, theirs = (z[:, :, None] - z[:, None, :] for z in (student, teacher))
    first = theirs.sigmoid() * (F.logsigmoid(theirs) - F.logsigmoid(ours))
    second = (-theirs).sigmoid() * (F.logsigmoid(-theirs) - F.logsigmoid(-ours))
    return first + second


def _softmax_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL ``[B]`` of the softmaxes of logits ``[B, K]``; 0 for no logits."""
    return kl_divergence(student.log_softmax(dim=1), teacher.log_softmax(dim=1))


class LDRLDParams(MethodParams):
    """Hyperparameters of LDRLD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    alpha: float = Field(10.5, ge=0)
    """Weight of LDRLD, the student's first classes in pairs and together."""
    beta: float = Field(7.0, ge=0)
    """Weight of RNTK, the other classes among themselves."""
    k: int = Field(7, ge=1)
    """How many first classes of the student are compared in pairs; at most those that the data set has."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens all distributions."""


class LDRLD(LogitDistiller):
    """The student's first classes compared pair by pair, and the rest as a whole."""

    Params: ClassVar[type[MethodParams]] = LDRLDParams
    summary: ClassVar[str] = "the student's top-k classes in pairs, and the rest (arXiv 2507.15911)"
    params: LDRLDParams

    def __init__(self, params: LDRLDParams, student: Network, setting: Setting) -> None:
        if params.k > setting.num_classes:
            raise InputError(f"k must be at most the number of classes ({setting.num_classes}), found {params.k}")
        super().__init__(params, student, setting)

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`ldrld` and `rntk`, scalars of :func:`ldrld_terms`, from logits ``[B, C]``."""
        local, remaining = ldrld_terms(student, teacher, k=self.params.k, temperature=self.params.temperature)
        return {"ldrld": local, "rntk": remaining}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`, `alpha` for `ldrld` and `beta` for `rntk`, in every epoch."""
        return {"ce": self.params.ce_weight, "ldrld": self.params.alpha, "rntk": self.params.beta}
