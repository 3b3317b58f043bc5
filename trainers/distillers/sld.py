"""Swapped Logit Distillation (Limantoro et al., arXiv 2504.20108, Multimedia Systems 2025).

::

    L = ce_weight * [CE(z_s, y) + CE(z_s', y)] + kd_weight * [K(z_s, z_t) + K(z_s', z_t')]

    K(z_s, z_t) = sum over T of T² { KL(p(swap(z_t)) || p(z_s)) + [epoch > start] KL(p(swap(z_s)) || p(z_s)) }

    swap(z): z with the values of its largest class and of y exchanged;  p(z) = softmax(z / T)

z, z': logits of the weak and the strong view. The teacher's mistakes are corrected, and from epoch `start` + 1 on the
student's own corrected logits, the pseudo-teacher, teach as well. T -> `temperatures`. Samples that are classified
right are left as they are, and their second divergence is 0. The student passes over the two views one after the other,
so BatchNorm takes its statistics from each by itself and updates them twice, as in the authors' release.

As there, the student's swapped logits are not detached: the gradient flows through both sides of the second divergence.
`detach` stops it at the side that teaches. The release fixes `start` at 150 and the temperatures at 1 ... 6 (its
configured temperature is not read); its ImageNet runs end after 100 epochs, so that the second divergence never comes.
No number differs from the release's.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams, Setting
from trainers.distillers.softening import Softening, softening
from trainers.models import Network


def swap_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits ``[B, C]`` with the values of the largest class and of the label (int64 ``[B]``) exchanged."""
    label, largest = targets[:, None], logits.argmax(dim=1, keepdim=True)
    source = torch.arange(logits.shape[1], device=logits.device).expand_as(logits)
    return logits.gather(1, source.scatter(1, label, largest).scatter(1, largest, label))


def swapped_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    epoch: int,
    start: int = 150,
    temperatures: Sequence[float] = (1, 2, 3, 4, 5, 6),
    detach: bool = False,
) -> Tensor:
    """K of one view, summed over temperatures, mean over the batch; arguments as in :func:`sld_loss`."""
    loss = teacher_swap_loss(student_logits, teacher_logits, targets, temperatures=temperatures)
    if epoch > start:
        loss = loss + student_swap_loss(student_logits, targets, temperatures=temperatures, detach=detach)
    return loss


def teacher_swap_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    temperatures: Sequence[float] | Softening = (1, 2, 3, 4, 5, 6),
) -> Tensor:
    """First divergence of K: the teacher, corrected; arguments as in :func:`sld_loss`."""
    softened = softening(temperatures, student_logits)
    swapped = swap_logits(teacher_logits.detach(), targets)
    return softened.divergence(softened.copies(student_logits), swapped)


def student_swap_loss(
    student_logits: Tensor,
    targets: Tensor,
    *,
    temperatures: Sequence[float] | Softening = (1, 2, 3, 4, 5, 6),
    detach: bool = False,
) -> Tensor:
    """Second divergence of K: the student itself, corrected; arguments as in :func:`sld_loss`."""
    softened = softening(temperatures, student_logits)
    swapped = swap_logits(student_logits, targets)
    teaching = swapped.detach() if detach else softened.copies(swapped)
    return softened.divergence(softened.copies(student_logits), teaching)


def sld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    strong_student_logits: Tensor,
    strong_teacher_logits: Tensor,
    targets: Tensor,
    *,
    epoch: int,
    start: int = 150,
    temperatures: Sequence[float] = (1, 2, 3, 4, 5, 6),
    detach: bool = False,
) -> Tensor:
    """K of the weak and the strong view.

    Args:
        student_logits, teacher_logits: ``[B, C]``, of the weak view.
        strong_student_logits, strong_teacher_logits: ``[B, C]``, of the strong view.
        targets: int64 ``[B]``.
        epoch: counted from 1.
        start: the last epoch without the student's own swapped logits.
        temperatures: all `T`.
        detach: stop the gradient at the student's swapped logits.
    """
    views = ((student_logits, teacher_logits), (strong_student_logits, strong_teacher_logits))
    weak, strong = (
        swapped_kl(*view, targets, epoch=epoch, start=start, temperatures=temperatures, detach=detach) for view in views
    )
    return weak + strong


Temperatures = tuple[Annotated[float, Field(gt=0)], ...]


class SLDParams(MethodParams):
    """Hyperparameters of SLD."""

    ce_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the labels, in each view."""
    kd_weight: float = Field(0.9, ge=0)
    """Weight of each divergence."""
    temperatures: Temperatures = Field((1, 2, 3, 4, 5, 6), min_length=1, max_length=100)
    """All `T`; the divergences are summed over them."""
    start: int | None = Field(150, ge=0)
    """The last epoch without the pseudo-teacher, the student's own swapped logits; null never lets it in."""
    detach: bool = False
    """Stop the gradient at the pseudo-teacher; the release does not."""


class SLD(Distiller):
    """Teacher and student, with their mistakes swapped away, teach the student in two views."""

    Params: ClassVar[type[MethodParams]] = SLDParams
    summary: ClassVar[str] = "mistakes of teacher and student swapped away, in two views (arXiv 2504.20108)"
    strong_view = True
    reads_labels = True

    def __init__(self, params: SLDParams, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params
        self.softened = Softening(params.temperatures)

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> SLD:
        """The method around `student`; nothing is added to it."""
        return cls(params, student, setting)

    def losses(self, batch: Batch) -> Losses:
        """`ce`, `swap_teacher` and `swap_student` of the weak view, and the same of the strong one under names that end
        in `_strong`. The logits are the weak view's.

        Raises:
            TypeError: where the batch carries no strong view, or one of the two no teacher's pass.
        """
        logits, terms = self._view(batch)
        _, strong = self._view(batch.need_strong())
        return Losses(logits, terms | {f"{name}_strong": term for name, term in strong.items()})

    def _view(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and terms of one view."""
        logits, temperatures = self.passed(batch.images).logits.float(), self.softened
        teacher = batch.need_teacher().logits.float()
        return logits, {
            "ce": batch.ce(logits),
            "swap_teacher": teacher_swap_loss(logits, teacher, batch.targets, temperatures=temperatures),
            "swap_student": student_swap_loss(
                logits, batch.targets, temperatures=temperatures, detach=self.params.detach
            ),
        }

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for both cross-entropies and `kd_weight` for the divergences; up to epoch `start`, and throughout
        where that is null, `swap_student` and `swap_student_strong` have 0."""
        params = self.params
        started = params.start is not None and epoch > params.start
        weights = {
            "ce": params.ce_weight,
            "swap_teacher": params.kd_weight,
            "swap_student": params.kd_weight if started else 0.0,
        }
        return weights | {f"{name}_strong": weight for name, weight in weights.items()}
