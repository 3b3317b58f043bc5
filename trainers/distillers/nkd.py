"""Normalized Knowledge Distillation (Yang et al., arXiv 2303.13005, ICCV 2023).

::

    L = ce_weight * CE(z_s, y) + target_weight * nkd_target + gamma * nkd_other

    nkd_target = - p_t[y] log p_s[y]                                      p: softmax(z)
    nkd_other  = - T² sum over c != y of q_t[c] log q_s[c]                q: softmax(z / T) over the classes but y

KD's cross-entropy taken apart: the label's class as an ordinary cross-entropy with a soft target, and the others
normalised to one, so that the student can match them. T (lambda in the paper) -> `temperature`, gamma -> `gamma`.

Both terms are cross-entropies, as in the authors' release: at equal logits they come to the teacher's entropies, not to
0. The gradient of nkd_other is that of DKD's NCKD. The defaults are the release's for ImageNet; for ResNet34 ->
ResNet18 on CIFAR-100 it sets gamma = 3.5 and T = 3. One revision of it (1c2c0ff) builds a mask that leaves the label's
class among the others; the equation, and another revision (ad4876f), leave it out, as here. `target_weight`, 1 in the
paper, is ours. Checked against the equation, not against numbers of the authors' code.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import LogitDistiller, MethodParams
from trainers.distillers.partition import ranking


def nkd_terms(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """nkd_target and nkd_other, unweighted; arguments as in :func:`nkd_loss`."""
    label, teacher = targets[:, None], teacher_logits.detach()
    target = -teacher.softmax(dim=1).gather(1, label) * student_logits.log_softmax(dim=1).gather(1, label)  # [B, 1]
    others = ranking(teacher, first=targets)[:, 1:]  # [B, C - 1]
    log_student = (student_logits.gather(1, others) / temperature).log_softmax(dim=1)
    log_teacher = (teacher.gather(1, others) / temperature).log_softmax(dim=1)
    return target.mean(), -(temperature**2) * (log_teacher.exp() * log_student).sum(dim=1).mean()


def nkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    gamma: float = 1.5,
    temperature: float = 1.0,
) -> Tensor:
    """nkd_target + gamma * nkd_other, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        targets: int64 ``[B]``.
        gamma: weight of the classes other than the label's.
        temperature: `T`, of those classes only.
    """
    target, others = nkd_terms(student_logits, teacher_logits, targets, temperature=temperature)
    return target + gamma * others


class NKDParams(MethodParams):
    """Hyperparameters of NKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    target_weight: float = Field(1.0, ge=0)
    """Weight of `nkd_target`, 1 in the paper."""
    gamma: float = Field(1.5, ge=0)
    """Weight of `nkd_other`."""
    temperature: float = Field(1.0, gt=0)
    """`T`, softens the other classes."""


class NKD(LogitDistiller):
    """A soft cross-entropy on the label's class and one on the others, normalised among themselves."""

    Params: ClassVar[type[MethodParams]] = NKDParams
    summary: ClassVar[str] = "soft label class, other classes normalised (arXiv 2303.13005)"
    params: NKDParams
    reads_labels = True

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`nkd_target` and `nkd_other`, scalars of :func:`nkd_terms`, from logits ``[B, C]``."""
        target, others = nkd_terms(student, teacher, targets, temperature=self.params.temperature)
        return {"nkd_target": target, "nkd_other": others}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`, `target_weight` for `nkd_target` and `gamma` for `nkd_other`, in every epoch."""
        params = self.params
        return {"ce": params.ce_weight, "nkd_target": params.target_weight, "nkd_other": params.gamma}
