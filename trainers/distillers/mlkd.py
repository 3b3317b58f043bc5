"""Multi-level Logit Distillation (Jin, Wang & Lin, CVPR 2023): the loss of one view, as a function.

::

    L = sum over T of  m * kd(T) + m' * cc(T) + m * bc(T)                 P: softmax(z / T), a B x C matrix

    kd = T² KL(P_t || P_s), mean over the batch
    cc = ||P_t' P_t - P_s' P_s||² / C        class correlation, C x C matrices
    bc = ||P_t P_t' - P_s P_s'||² / B        batch correlation, B x B matrices

T -> `temperatures`. m is the share of samples of which the teacher's largest probability (T = 1) is at most its `conf`
quantile, m' the share of classes whose column sum of P_t (T = 1) is at most their `class_conf` quantile. In the
authors' code these masks are meant to select samples and classes, but the terms are reduced to scalars before the mask
is applied, so that the mask only scales them; that is what is computed here. `mask=False` leaves the scaling out.

This is the loss as GDKD's release has it: one view. The published method adds a strongly augmented view, on which the
KL term alone is used.

No method of this name yet: a batch carries one view, and the method needs the weak and the strong one.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.distillers.kd import kd_loss


class MLKDTerms(NamedTuple):
    """The three levels, each summed over the temperatures and scaled by its mask."""

    kd: Tensor
    cc: Tensor
    bc: Tensor


def mlkd_masks(teacher_logits: Tensor, *, conf: float = 0.5, class_conf: float = 0.5) -> tuple[Tensor, Tensor]:
    """Which samples ``[B]`` and classes ``[C]`` the teacher is least sure of, as bool."""
    probabilities = teacher_logits.detach().softmax(dim=1)
    confidence, mass = probabilities.amax(dim=1), probabilities.sum(dim=0)
    return confidence <= confidence.quantile(conf), mass <= mass.quantile(class_conf)


def mlkd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperatures: Sequence[float] = (2, 3, 4, 5, 6),
    conf: float = 0.5,
    class_conf: float = 0.5,
    mask: bool = True,
) -> MLKDTerms:
    """kd, cc and bc; arguments as in :func:`mlkd_loss`."""
    levels = []
    for temperature in temperatures:
        student = (student_logits / temperature).softmax(dim=1)
        teacher = (teacher_logits.detach() / temperature).softmax(dim=1)
        kd = kd_loss(student_logits, teacher_logits, temperature=temperature)
        levels.append(torch.stack([kd, _gram_distance(student.T, teacher.T), _gram_distance(student, teacher)]))
    kd, cc, bc = torch.stack(levels).sum(dim=0)
    if not mask:
        return MLKDTerms(kd, cc, bc)
    samples, classes = (
        chosen.float().mean() for chosen in mlkd_masks(teacher_logits, conf=conf, class_conf=class_conf)
    )
    return MLKDTerms(samples * kd, classes * cc, samples * bc)


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


def _gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """||a a' - b b'||² / N for ``[N, M]``; in float32 under autocast too, which would round the products."""
    with torch.autocast(a.device.type, enabled=False):
        return (a @ a.T - b @ b.T).square().sum() / len(a)
