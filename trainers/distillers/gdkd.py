"""Generalized Decoupled Knowledge Distillation (arXiv 2512.04625).

::

    L = ce_weight * CE(z_s, y) + min(epoch / warmup, 1) * (w0 * high + w1 * low_top + w2 * low_other)

    high      = T² KL(b_t || b_s)                  b: shares of the two groups in softmax(z / T)
    low_top   = T² KL(q_t[top] || q_s[top])        q[g]: softmax(z / T) inside group g
    low_other = T² KL(q_t[other] || q_s[other])

`top` holds the `k` classes that the teacher ranks best (`partition: best`) or worst, `other` the rest; no label is
read. KD is w0 = 1, w1 = b_t[top], w2 = b_t[other] of each sample; DKD with the teacher's first class is k = 1.

T -> `temperature`, `warmup` -> `warmup_epochs`. `kl` turns the two low terms around; high is always forward.

Where the authors' release differs: it leaves classes out by subtracting 1000 from scaled logits and takes the logarithm
of summed probabilities, which is infinite or NaN where a group underflows. The forms here are exact everywhere, and
equal elsewhere. An empty group (k = C) is NaN there and refused here. The release tunes (w1, w2) per pair, from (1, 1)
to (2, 8) on CIFAR-100, and takes w0 = 0.5, T = 1 and a warm-up of one epoch on ImageNet; unless told otherwise it
distils from teachers trained with AutoAugment and Cutout. `standardize` is its LS_GDKD: both logits standardised first,
as in LSKD (:mod:`trainers.distillers.lskd`), without that method's other norm modes.

Shapes: `B` batch, `C` classes, `k` classes of the first group.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import LogitDistiller, MethodParams, Setting, ramp
from trainers.distillers.lskd import standardize
from trainers.distillers.partition import Direction, divergences, ranking
from trainers.errors import InputError
from trainers.models import Network


def gdkd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    k: int = 5,
    temperature: float = 4.0,
    partition: Literal["best", "worst"] = "best",
    kl: Direction = "forward",
) -> tuple[Tensor, Tensor, Tensor]:
    """high, low_top and low_other, unweighted; arguments as in :func:`gdkd_loss`."""
    order = ranking(teacher_logits, descending=partition == "best")
    sizes = (k, student_logits.shape[1] - k)
    parts = divergences(student_logits, teacher_logits, order, sizes, temperature=temperature, kl=kl)
    return parts.between.mean(), parts.within[0].mean(), parts.within[1].mean()


def gdkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    k: int = 5,
    w0: float = 1.0,
    w1: float = 1.0,
    w2: float = 8.0,
    temperature: float = 4.0,
    partition: Literal["best", "worst"] = "best",
    kl: Direction = "forward",
) -> Tensor:
    """w0 * high + w1 * low_top + w2 * low_other over two groups, mean over the batch, without warm-up.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        k: classes of the first group, 1 ... C - 1.
        w0, w1, w2: weights of the divergence between the groups, inside the first, and inside the rest.
        temperature: `T`.
        partition: whether the first group holds the teacher's best or worst classes.
        kl: direction inside the groups.
    """
    high, top, other = gdkd_terms(
        student_logits, teacher_logits, k=k, temperature=temperature, partition=partition, kl=kl
    )
    return w0 * high + w1 * top + w2 * other


class GroupedParams(MethodParams):
    """Hyperparameters that GDKD and GDKD3 share."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    w0: float = Field(1.0, ge=0)
    """Weight of `high`, the divergence between the groups."""
    w1: float = Field(1.0, ge=0)
    """Weight of `low_top`, inside the group of likely classes."""
    w2: float = Field(8.0, ge=0)
    """Weight of `low_other`, inside the rest."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs over which w0, w1 and w2 rise linearly from 0; 0 for none."""
    standardize: bool = False
    """Standardise both logits first (LSKD); the temperature then divides standard scores."""


class GDKDParams(GroupedParams):
    """Hyperparameters of GDKD."""

    k: int = Field(5, ge=1)
    """Classes of the first group; fewer than the data set has."""
    partition: Literal["best", "worst"] = "best"
    """Whether the first group holds the classes that the teacher ranks best or worst."""
    kl: Direction = "forward"
    """Direction inside the groups: KL(teacher || student), KL(student || teacher), or half of both."""


class GroupedDistiller(LogitDistiller):
    """What GDKD and GDKD3 share: three terms, their weights, and the limit of `k`."""

    def __init__(self, params: Any, student: Network, setting: Setting) -> None:
        if params.k >= setting.num_classes:
            raise InputError(f"k must be smaller than the number of classes ({setting.num_classes}), found {params.k}")
        super().__init__(params, student, setting)

    @abstractmethod
    def parts(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """high, low_top and low_other, unweighted scalars, of logits ``[B, C]``."""

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`high`, `low_top` and `low_other`: :meth:`parts` of logits ``[B, C]``, standardised first where `standardize`
        is set."""
        if self.params.standardize:
            student, teacher = standardize(student), standardize(teacher)
        high, top, other = self.parts(student, teacher)
        return {"high": high, "low_top": top, "low_other": other}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `w0`, `w1` and `w2` for the others, which rise linearly over `warmup_epochs`."""
        params, risen = self.params, ramp(epoch, self.params.warmup_epochs)
        weights = {"high": params.w0, "low_top": params.w1, "low_other": params.w2}
        return {"ce": params.ce_weight} | {name: risen * weight for name, weight in weights.items()}


class GDKD(GroupedDistiller):
    """KD's loss between and within the teacher's top-k classes and the rest, each part with its weight."""

    Params: ClassVar[type[MethodParams]] = GDKDParams
    summary: ClassVar[str] = "KD's loss taken apart along the teacher's top-k classes (arXiv 2512.04625)"
    params: GDKDParams

    def parts(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of :func:`gdkd_terms`, over two groups."""
        params = self.params
        return gdkd_terms(
            student, teacher, k=params.k, temperature=params.temperature, partition=params.partition, kl=params.kl
        )
