"""Decoupled Knowledge Distillation (Zhao et al., arXiv 2203.08679, CVPR 2022).

::

    L = ce_weight * CE(z_s, y) + min(epoch / warmup, 1) * (alpha * TCKD + beta * NCKD)

    TCKD = T² KL((p_t[y], 1 - p_t[y]) || (p_s[y], 1 - p_s[y]))            p: softmax(z / T)
    NCKD = T² KL(q_t || q_s)                                              q: softmax(z / T) over the classes but y

KD is alpha = 1 with beta = 1 - p_t[y] of each sample; DKD replaces that by a constant.

y -> `targets` (`partition: target`) or, as in GDKD's release, the teacher's first class (`partition: top1`); T ->
`temperature`; `warmup` -> `warmup_epochs`. `kl` turns NCKD around, also as in GDKD's release; TCKD is always forward.

Where the authors' release (mdistiller) differs: it takes the target out by subtracting 1000 from its scaled logit and
adds up probabilities, so it gives infinities once a probability underflows. The forms here are exact everywhere, and
equal elsewhere. `beta` has no value for all pairs: the release tunes it to 2 ... 8 on CIFAR-100 and to 0.5 (T = 1,
warm-up of one epoch) for ResNet34 -> ResNet18 on ImageNet. `standardize` is LSKD's (:mod:`trainers.distillers.lskd`).

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import LogitDistiller, MethodParams, Setting, ramp
from trainers.distillers.lskd import standardize
from trainers.distillers.partition import Direction, divergences, ranking
from trainers.models import Network


def dkd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    temperature: float = 4.0,
    partition: Literal["target", "top1"] = "target",
    kl: Direction = "forward",
) -> tuple[Tensor, Tensor]:
    """TCKD and NCKD, unweighted; arguments as in :func:`dkd_loss`."""
    order = ranking(teacher_logits, first=targets if partition == "target" else None)
    sizes = (1, student_logits.shape[1] - 1)
    parts = divergences(student_logits, teacher_logits, order, sizes, temperature=temperature, kl=kl)
    return parts.between.mean(), parts.within[1].mean()


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    partition: Literal["target", "top1"] = "target",
    kl: Direction = "forward",
) -> Tensor:
    """alpha * TCKD + beta * NCKD, mean over the batch, without warm-up.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        targets: int64 ``[B]``; not read by `partition` top1.
        alpha, beta: weights of TCKD and NCKD.
        temperature: `T`.
        partition: the class that is set apart: the label, or the teacher's first.
        kl: direction of NCKD.
    """
    target, others = dkd_terms(
        student_logits, teacher_logits, targets, temperature=temperature, partition=partition, kl=kl
    )
    return alpha * target + beta * others


class DKDParams(MethodParams):
    """Hyperparameters of DKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    alpha: float = Field(1.0, ge=0)
    """Weight of TCKD, the target class against the rest."""
    beta: float = Field(8.0, ge=0)
    """Weight of NCKD, the other classes among themselves."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs over which alpha and beta rise linearly from 0; 0 for none."""
    partition: Literal["target", "top1"] = "target"
    """The class set apart: the label's, or the one that the teacher ranks first."""
    kl: Direction = "forward"
    """Direction of NCKD: KL(teacher || student), KL(student || teacher), or half of both."""
    standardize: bool = False
    """Standardise both logits first (LSKD); the temperature then divides standard scores: 2, say."""


class DKD(LogitDistiller):
    """The target class and the rest of KD's loss with weights of their own."""

    Params: ClassVar[type[MethodParams]] = DKDParams
    summary: ClassVar[str] = "KD's loss taken apart: target and other classes (arXiv 2203.08679)"
    params: DKDParams

    def __init__(self, params: DKDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        self.reads_labels = params.partition == "target"

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`tckd` and `nckd`, scalars of :func:`dkd_terms`, from logits ``[B, C]``, standardised first where
        `standardize` is set."""
        params = self.params
        if params.standardize:
            student, teacher = standardize(student), standardize(teacher)
        target, others = dkd_terms(
            student, teacher, targets, temperature=params.temperature, partition=params.partition, kl=params.kl
        )
        return {"tckd": target, "nckd": others}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `alpha` for `tckd` and `beta` for `nckd`, which rise linearly over `warmup_epochs`."""
        risen = ramp(epoch, self.params.warmup_epochs)
        return {"ce": self.params.ce_weight, "tckd": risen * self.params.alpha, "nckd": risen * self.params.beta}
