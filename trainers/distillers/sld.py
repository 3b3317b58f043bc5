"""Swapped Logit Distillation (arXiv 2504.20108, Multimedia Systems 2025): the losses, as functions of two views.

::

    L = ce_weight * [CE(z_s, y) + CE(z_s', y)] + kd_weight * [K(z_s, z_t) + K(z_s', z_t')]

    K(z_s, z_t) = sum over T of T² { KL(p(swap(z_t)) || p(z_s)) + [epoch > start] KL(p(swap(z_s)) || p(z_s)) }

    swap(z): z with the values of its largest class and of y exchanged;  p(z) = softmax(z / T)

z, z': logits of the weak and the strong view. The teacher's mistakes are corrected, and from epoch `start` + 1 on the
student's own corrected logits teach as well. T -> `temperatures`. Samples that are classified right are left as they
are, and their second divergence is 0.

As in the authors' release, the student's swapped logits are not detached: the gradient flows through both sides of the
second divergence. `detach` stops it at the side that teaches. The release fixes `start` at 150 and the temperatures at
1 ... 6 (its configured temperature is not read); its ImageNet runs end after 100
epochs, so that the second divergence never comes.

No method of this name yet: a batch carries one view, and SLD needs student and teacher on a weak and a strong one.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.distillers.kd import soft_kl


def swap_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits ``[B, C]`` with the values of the largest class and of the label (int64 ``[B]``) exchanged."""
    label, largest = targets[:, None], logits.argmax(dim=1, keepdim=True)
    source = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits), 1)
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
    teachers = [swap_logits(teacher_logits.detach(), targets)]
    if epoch > start:
        own = swap_logits(student_logits, targets)
        teachers.append(own.detach() if detach else own)
    return torch.stack([soft_kl(student_logits, teacher, t) for teacher in teachers for t in temperatures]).sum()


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
