"""CRLD, cross-view consistency regularisation (Zhang, Liu, Cai & Ma, arXiv 2412.16493, ACM MM 2024).

::

    L = ce_weight * [CE(z_s, y) + CE(z_s', y)] + within_weight * within + cross_weight * cross

    within = mean over samples of m  * [k(z_s, z_t)  + k(z_s', z_t')]
    cross  = mean over samples of m' * [k(z_s', z_t) + k(z_s, z_t')]

    k(a, b) = T² KL(softmax(b / T) || softmax(a / T))
    m  = [max softmax(z_t)  >= weak_threshold]                            the teacher is sure of the weak view
    m' = [max softmax(z_t') >= strong_threshold]                          the teacher is sure of the strong view

z, z': logits of the weak and the strong view. Student and teacher agree about one view, and about the same image across
views, where the teacher is sure; the means run over all samples, masked ones included. T -> `temperature`. The student
passes over the two views one after the other.

The numbers are those of the code that DeepKD's authors carry (their plain branch); CRLD's own was not to be had. There
one mask, the weak view's, serves both terms within a view, and the strong view's both across; whether the paper means
that is not known. The defaults are that code's, whose files per pair are for CRLD with DeepKD: within_weight 1 for
resnet110 -> resnet20 and resnet32 and wrn_40_2 -> resnet8x4, 0.5 for resnet56 -> resnet20, resnet32x4 -> ShuffleV2 and
wrn_40_2 -> wrn_40_1, 2 elsewhere; on ImageNet T = 1 and ce_weight 2. There also: a learning rate that warms up for 20
epochs and falls along a cosine.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams, Setting
from trainers.distillers.partition import kl_divergence
from trainers.models import Network


def crld_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    strong_student_logits: Tensor,
    strong_teacher_logits: Tensor,
    *,
    temperature: float = 4.0,
    weak_threshold: float = 0.9,
    strong_threshold: float = 0.2,
) -> tuple[Tensor, Tensor]:
    """within and cross, unweighted; arguments as in :func:`crld_loss`."""
    seen = (student_logits, strong_student_logits, teacher_logits.detach(), strong_teacher_logits.detach())
    weak, strong, taught, taught_strong = ((logits / temperature).log_softmax(dim=1) for logits in seen)
    sure = _sure(seen[2], weak_threshold)
    sure_strong = _sure(seen[3], strong_threshold)
    within = sure * (kl_divergence(weak, taught) + kl_divergence(strong, taught_strong))
    cross = sure_strong * (kl_divergence(strong, taught) + kl_divergence(weak, taught_strong))
    return temperature**2 * within.mean(), temperature**2 * cross.mean()


def _sure(teacher_logits: Tensor, threshold: float) -> Tensor:
    """Where the largest probability is at least `threshold`: zeros and ones ``[B]``."""
    return (teacher_logits.softmax(dim=1).amax(dim=1) >= threshold).to(teacher_logits.dtype)


def crld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    strong_student_logits: Tensor,
    strong_teacher_logits: Tensor,
    *,
    within_weight: float = 2.0,
    cross_weight: float = 0.5,
    temperature: float = 4.0,
    weak_threshold: float = 0.9,
    strong_threshold: float = 0.2,
) -> Tensor:
    """within_weight * within + cross_weight * cross, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``, of the weak view; no gradient reaches the teacher's.
        strong_student_logits, strong_teacher_logits: ``[B, C]``, of the strong view.
        within_weight, cross_weight: weights of both terms.
        temperature: `T`.
        weak_threshold: the least of the teacher's largest probability in the weak view with which a sample counts for
            `within`.
        strong_threshold: the same in the strong view, for `cross`.
    """
    within, cross = crld_terms(
        student_logits,
        teacher_logits,
        strong_student_logits,
        strong_teacher_logits,
        temperature=temperature,
        weak_threshold=weak_threshold,
        strong_threshold=strong_threshold,
    )
    return within_weight * within + cross_weight * cross


class CRLDParams(MethodParams):
    """Hyperparameters of CRLD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels, in each view."""
    within_weight: float = Field(2.0, ge=0)
    """Weight of `within`, student and teacher in the same view."""
    cross_weight: float = Field(0.5, ge=0)
    """Weight of `cross`, student and teacher in different views."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens all distributions."""
    weak_threshold: float = Field(0.9, ge=0, le=1)
    """The teacher's least confidence in the weak view with which a sample counts for `within`."""
    strong_threshold: float = Field(0.2, ge=0, le=1)
    """The teacher's least confidence in the strong view with which a sample counts for `cross`."""


class CRLD(Distiller):
    """Student and teacher agree within a view and across two, where the teacher is sure."""

    Params: ClassVar[type[MethodParams]] = CRLDParams
    summary: ClassVar[str] = "agreement within and across two views where the teacher is sure (arXiv 2412.16493)"
    strong_view = True

    def __init__(self, params: CRLDParams, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> CRLD:
        """The method around `student`; nothing is added to it."""
        return cls(params, student, setting)

    def losses(self, batch: Batch) -> Losses:
        """`ce` and `ce_strong` of the two views, `within` and `cross`, of float32 logits; its logits are the weak's.

        Raises:
            TypeError: where the batch carries no strong view, or one of the two no teacher's pass.
        """
        params, strong = self.params, batch.need_strong()
        views = (*self._seen(batch), *self._seen(strong))
        within, cross = crld_terms(
            *views,
            temperature=params.temperature,
            weak_threshold=params.weak_threshold,
            strong_threshold=params.strong_threshold,
        )
        ce, ce_strong = (batch.ce(logits) for logits in (views[0], views[2]))
        return Losses(views[0], {"ce": ce, "ce_strong": ce_strong, "within": within, "cross": cross})

    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The student's and the teacher's logits of one view."""
        return self.passed(batch.images).logits.float(), batch.need_teacher().logits.float()

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for the cross-entropies, `within_weight` and `cross_weight`, in every epoch."""
        params = self.params
        ce = {"ce": params.ce_weight, "ce_strong": params.ce_weight}
        return ce | {"within": params.within_weight, "cross": params.cross_weight}
