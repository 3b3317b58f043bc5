"""DIST, Knowledge Distillation from A Stronger Teacher (Huang et al., arXiv 2205.10536, NeurIPS 2022).

::

    L = ce_weight * CE(z_s, y) + beta * inter + gamma * intra

    inter = T² mean over samples of (1 - pearson(p_s[b, :], p_t[b, :]))       p: softmax(z / T)
    intra = T² mean over classes of (1 - pearson(p_s[:, c], p_t[:, c]))

Only the relations count, between the classes of a sample and between the samples of a class: correlation ignores
location and scale. T -> `temperature`; `beta` and `gamma` are the paper's weights, 2 and 2 at T = 4 for CIFAR-100.

As in the authors' release, 1e-8 is added to the product of the norms in each correlation. With many classes and small
batches a class's probabilities are so small that this counts: equal logits then give a little more than 0, and a class
that underflows gives 1. No number differs from those of the port in GDKD's release, which computed the reference
numbers; it sets the temperature of its ImageNet runs in the wrong section and so runs them at T = 4.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.linalg import vector_norm

from trainers.distillers.base import LogitDistiller, MethodParams


def uncorrelated(a: Tensor, b: Tensor, *, eps: float = 1e-8) -> Tensor:
    """1 minus the Pearson correlation of each pair of rows of ``[N, M]``, mean over rows."""
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    norms: Tensor = vector_norm(a, dim=1) * vector_norm(b, dim=1)
    return 1 - ((a * b).sum(dim=1) / (norms + eps)).mean()


def dist_terms(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 4.0) -> tuple[Tensor, Tensor]:
    """inter and intra, unweighted; arguments as in :func:`dist_loss`."""
    student = (student_logits / temperature).softmax(dim=1)
    teacher = (teacher_logits.detach() / temperature).softmax(dim=1)
    return temperature**2 * uncorrelated(student, teacher), temperature**2 * uncorrelated(student.T, teacher.T)


def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    beta: float = 2.0,
    gamma: float = 2.0,
    temperature: float = 4.0,
) -> Tensor:
    """beta * inter + gamma * intra.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        beta: weight of the relations between the classes of a sample.
        gamma: weight of the relations between the samples of a class.
        temperature: `T`.
    """
    inter, intra = dist_terms(student_logits, teacher_logits, temperature=temperature)
    return beta * inter + gamma * intra


class DISTParams(MethodParams):
    """Hyperparameters of DIST."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    beta: float = Field(2.0, ge=0)
    """Weight of `inter`, the relations between the classes of a sample."""
    gamma: float = Field(2.0, ge=0)
    """Weight of `intra`, the relations between the samples of a class."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""


class DIST(LogitDistiller):
    """Correlation of predictions instead of their divergence."""

    Params: ClassVar[type[MethodParams]] = DISTParams
    summary: ClassVar[str] = "correlation between and within classes (arXiv 2205.10536)"
    params: DISTParams

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`inter` and `intra`, scalars of :func:`dist_terms`, from logits ``[B, C]``."""
        inter, intra = dist_terms(student, teacher, temperature=self.params.temperature)
        return {"inter": inter, "intra": intra}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`, `beta` for `inter` and `gamma` for `intra`, in every epoch."""
        return {"ce": self.params.ce_weight, "inter": self.params.beta, "intra": self.params.gamma}
