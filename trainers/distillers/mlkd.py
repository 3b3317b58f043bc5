"""Multi-level Logit Distillation (Jin, Wang & Lin, CVPR 2023).

::

    L = ce_weight * [CE(z_s, y) + CE(z_s', y)] + kd_weight * [sum over T of m * kd(T) + m' * cc(T) + m * bc(T) + kd'(T)]

    kd = T² KL(P_t || P_s), mean over the batch        P: softmax(z / T), a B x C matrix
    cc = ||P_t' P_t - P_s' P_s||² / C                  class correlation, C x C matrices (here ' transposes)
    bc = ||P_t P_t' - P_s P_s'||² / B                  batch correlation, B x B matrices

z, z': logits of the weak and the strong view; kd' is kd on the strong view. T -> `temperatures`. m is the share of
samples of which the teacher's largest probability (T = 1) is at most its `conf` quantile, m' the share of classes whose
column sum of P_t (T = 1) is at most their `class_conf` quantile. In the authors' code these masks are meant to select
samples and classes, but the terms are reduced to scalars before the mask is applied, so that the mask only scales them;
that is what is computed here. `mask: false` leaves the scaling out.

In the release kd' takes the weak view again at two of its five temperatures, 2 and 6, so that the strong view is read
at the other three. `strong: released`, the default, does so too; `strong: all` reads the strong view throughout. The
strong view's cc and bc are computed there and dropped; here they are not computed. `views: weak` is the loss as GDKD's
release has it, on one view (and with T = 2 ... 6, 240 epochs and learning rate 0.05; the release proper trains for 480
or 960). No number differs from the release's.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams, Setting
from trainers.distillers.sld import Temperatures
from trainers.distillers.softening import Softening, softening
from trainers.models import Network

READ_ON_WEAK = (2.0, 6.0)
"""Temperatures at which the release's term of the strong view reads the weak one."""


class MLKDTerms(NamedTuple):
    """The three levels, each a scalar, summed over the temperatures and scaled by its mask."""

    kd: Tensor
    """Divergence of each sample's probabilities."""
    cc: Tensor
    """Distance of the class correlations."""
    bc: Tensor
    """Distance of the batch correlations."""


def mlkd_masks(teacher_logits: Tensor, *, conf: float = 0.5, class_conf: float = 0.5) -> tuple[Tensor, Tensor]:
    """Which samples ``[B]`` and classes ``[C]`` the teacher is least sure of, as bool."""
    probabilities = teacher_logits.detach().softmax(dim=1)
    confidence, mass = probabilities.amax(dim=1), probabilities.sum(dim=0)
    return confidence <= quantile(confidence, conf), mass <= quantile(mass, class_conf)


def quantile(values: Tensor, share: float) -> Tensor:
    """The `share` quantile, a scalar, of float32 ``[N]``, in two kernels: :func:`torch.quantile` where none is NaN."""
    split = share * (2**29 + 1)
    rank = (split - (split - share)) * (len(values) - 1)  # of the share in single precision, as torch has it
    rising, below = values.sort().values, math.floor(rank)
    return torch.lerp(rising[below], rising[math.ceil(rank)], rank - below)


def mlkd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperatures: Sequence[float] | Softening = (2, 3, 4, 5, 6),
    conf: float = 0.5,
    class_conf: float = 0.5,
    mask: bool = True,
) -> MLKDTerms:
    """kd, cc and bc; arguments as in :func:`mlkd_loss`."""
    kd, cc, bc = _levels(student_logits, teacher_logits.detach(), softening(temperatures, student_logits))
    if not mask:
        return MLKDTerms(kd, cc, bc)
    samples, classes = (
        chosen.mean(dtype=torch.float32) for chosen in mlkd_masks(teacher_logits, conf=conf, class_conf=class_conf)
    )
    return MLKDTerms(samples * kd, classes * cc, samples * bc)


def _levels(student_logits: Tensor, teacher_logits: Tensor, softened: Softening) -> Tensor:
    """kd, cc and bc ``[3]``, summed over the temperatures, without masks."""
    # two copies a temperature: one for the divergence, one for the correlations
    copies = torch.stack([student_logits] * 2 * len(softened.temperatures))
    diverging, correlated = copies.view(-1, 2, *student_logits.shape).unbind(dim=1)  # [T, B, C] each
    student = (correlated / softened.divisors).softmax(dim=2)
    teacher = (teacher_logits / softened.divisors).softmax(dim=2)
    kd = softened.divergences(diverging, teacher_logits)  # [T] each
    cc, bc = _gram_distances(student.mT, teacher.mT), _gram_distances(student, teacher)
    return torch.stack([kd, cc, bc], dim=1).flip(0).sum(dim=0)


def mlkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperatures: Sequence[float] = (2, 3, 4, 5, 6),
    conf: float = 0.5,
    class_conf: float = 0.5,
    mask: bool = True,
) -> Tensor:
    """kd + cc + bc over all temperatures, each scaled by its mask's mean.

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        temperatures: all `T`.
        conf: quantile of the teacher's confidence up to which a sample counts.
        class_conf: quantile of the classes' summed probabilities up to which a class counts.
        mask: False leaves the scaling out.
    """
    terms = mlkd_terms(
        student_logits, teacher_logits, temperatures=temperatures, conf=conf, class_conf=class_conf, mask=mask
    )
    return terms.kd + terms.cc + terms.bc


def strong_kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    strong_student_logits: Tensor,
    strong_teacher_logits: Tensor,
    *,
    temperatures: Sequence[float] | Softening = (4, 3, 5, 2, 6),
    read_on_weak: Sequence[float] = READ_ON_WEAK,
) -> Tensor:
    """kd', summed over the temperatures.

    Args:
        student_logits, teacher_logits: ``[B, C]``, of the weak view.
        strong_student_logits, strong_teacher_logits: ``[B, C]``, of the strong view.
        temperatures: all `T`.
        read_on_weak: those of them at which the weak view stands in for the strong one.
    """
    softened = softening(temperatures, student_logits)
    weak = [temperature in read_on_weak for temperature in softened.temperatures]
    student = softened.chosen(weak, student_logits, strong_student_logits)
    teacher = softened.chosen(weak, teacher_logits, strong_teacher_logits)
    return softened.divergence(student, teacher.detach())


class Gram(torch.autograd.Function):
    """x x' of each ``[N, M]`` of ``[T, N, M]``.

    Its gradient is computed as autograd has it of a single product, whose last bits are others than those of many.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """``[T, N, N]``."""
        return x @ x.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep x."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """That of x, from ``[T, N, N]``."""
        x: Tensor = ctx.saved_tensors[0]
        if x.is_contiguous():
            return gradient @ x + gradient.mT @ x
        return (x.mT @ gradient + x.mT @ gradient.mT).mT


def _gram_distances(a: Tensor, b: Tensor) -> Tensor:
    """||a a' - b b'||² / N of each ``[N, M]`` of ``[T, N, M]``; in float32 under autocast too, which would round the
    products."""
    with torch.autocast(a.device.type, enabled=False):
        ours: Tensor = Gram.apply(a)
        return (ours - b @ b.mT).square().sum(dim=(1, 2)) / a.shape[1]


class MLKDParams(MethodParams):
    """Hyperparameters of MLKD."""

    ce_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the labels, in each view."""
    kd_weight: float = Field(0.9, ge=0)
    """Weight of each of `kd`, `cc`, `bc` and `kd_strong`."""
    temperatures: Temperatures = Field((4, 3, 5, 2, 6), min_length=1, max_length=100)
    """All `T`; the terms are summed over them. The release has 1 for 4 on ImageNet."""
    conf: float = Field(0.5, ge=0, le=1)
    """Quantile of the teacher's confidence up to which a sample counts."""
    class_conf: float = Field(0.5, ge=0, le=1)
    """Quantile of the classes' summed probabilities up to which a class counts."""
    mask: bool = True
    """Scale the weak view's terms by the share of samples, or classes, that count."""
    views: Literal["both", "weak"] = "both"
    """`both` as published; `weak` leaves the strong view out, as GDKD's release does."""
    strong: Literal["released", "all"] = "released"
    """`released`: at T = 2 and 6 `kd_strong` reads the weak view, as in the release; `all`: always the strong one."""


class MLKD(Distiller):
    """Divergence, class correlation and batch correlation at several temperatures, with a strong view beside."""

    Params: ClassVar[type[MethodParams]] = MLKDParams
    summary: ClassVar[str] = "samples, classes and batches compared at several temperatures, two views (CVPR 2023)"
    strong_view = True

    def __init__(self, params: MLKDParams, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params
        self.strong_view = params.views == "both"
        self.softened = Softening(params.temperatures)

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> MLKD:
        """The method around `student`; nothing is added to it."""
        return cls(params, student, setting)

    def losses(self, batch: Batch) -> Losses:
        """`ce` and the three levels `kd`, `cc` and `bc` of the weak view; with `views: both`, `ce_strong` and
        `kd_strong` of the strong one.

        Raises:
            TypeError: where the batch carries no teacher's pass, or no strong view that it needs.
        """
        params = self.params
        logits, teacher = self._seen(batch)
        levels = mlkd_terms(
            logits,
            teacher,
            temperatures=self.softened,
            conf=params.conf,
            class_conf=params.class_conf,
            mask=params.mask,
        )
        terms = {"ce": batch.ce(logits), **levels._asdict()}
        if self.strong_view:
            terms |= self._strong_terms(logits, teacher, batch.need_strong())
        return Losses(logits, terms)

    def _strong_terms(self, logits: Tensor, teacher: Tensor, strong: Batch) -> dict[str, Tensor]:
        views = (logits, teacher, *self._seen(strong))
        kd = strong_kd_loss(
            *views,
            temperatures=self.softened,
            read_on_weak=READ_ON_WEAK if self.params.strong == "released" else (),
        )
        return {"ce_strong": strong.ce(views[2]), "kd_strong": kd}

    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The student's and the teacher's logits of one view."""
        return self.passed(batch.images).logits.float(), batch.need_teacher().logits.float()

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for the cross-entropies and `kd_weight` for the others, in every epoch."""
        params = self.params
        weights = {"ce": params.ce_weight, "kd": params.kd_weight, "cc": params.kd_weight, "bc": params.kd_weight}
        return weights | ({"ce_strong": params.ce_weight, "kd_strong": params.kd_weight} if self.strong_view else {})
