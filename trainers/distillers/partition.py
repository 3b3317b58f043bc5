"""Divergence of softened probabilities, taken apart along groups of classes: what DKD and GDKD have in common.

::

    KL(p_t || p_s) = KL(b_t || b_s) + sum_g b_t[g] * KL(q_t[g] || q_s[g])

p: softmax of all logits / T; b[g]: the probability of group g; q[g]: the softmax inside group g. The methods give the
parts weights of their own. With m[g] = logsumexp of the group's logits / T, log b = log_softmax(m) and
log q[g] = log_softmax of the group's logits: no probability is ever summed, so nothing underflows, and no mask value
limits the logits.

Shapes: `B` batch, `C` classes, `G` groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Direction = Literal["forward", "reverse", "both"]
"""`forward`: KL(teacher || student); `reverse`: KL(student || teacher); `both`: half of each."""


class Divergences(NamedTuple):
    """The parts, per sample, times T²."""

    between: Tensor
    """``[B]``: forward KL of the groups' probabilities."""
    within: tuple[Tensor, ...]
    """For each group ``[B]``: divergence of the probabilities inside it."""


def ranking(teacher_logits: Tensor, *, first: Tensor | None = None, descending: bool = True) -> Tensor:
    """Each sample's classes by the teacher's logits, as indices ``[B, C]``; equal logits by index.

    Args:
        teacher_logits: ``[B, C]``; no gradient reaches them.
        first: int64 ``[B]``, one class per sample that goes before all others.
        descending: the largest logit first; False: the smallest.
    """
    scores = teacher_logits.detach()
    if first is not None:
        scores = scores.scatter(1, first[:, None], math.inf if descending else -math.inf)
    return scores.argsort(dim=1, descending=descending, stable=True)


def kl_divergence(student: Tensor, teacher: Tensor, direction: Direction = "forward") -> Tensor:
    """Divergence ``[B]`` of log-probabilities ``[B, C]``."""
    if direction == "both":
        return (kl_divergence(student, teacher, "forward") + kl_divergence(student, teacher, "reverse")) / 2
    approximation, truth = (student, teacher) if direction == "forward" else (teacher, student)
    return F.kl_div(approximation, truth, reduction="none", log_target=True).sum(dim=1)


def divergences(
    student_logits: Tensor,
    teacher_logits: Tensor,
    order: Tensor,
    sizes: Sequence[int],
    *,
    temperature: float,
    kl: Direction = "forward",
) -> Divergences:
    """The divergence between and within groups.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        order: int64 ``[B, C]``, each sample's classes such that groups are contiguous.
        sizes: how many classes each of the `G` groups takes of that order.
        temperature: `T`.
        kl: direction inside the groups; between them it is always forward.

    Raises:
        ValueError: where a group would be empty.
    """
    if min(sizes) < 1:
        raise ValueError(f"every group needs a class; {order.shape[1]} classes were cut into groups of {list(sizes)}")
    student = torch.split(student_logits.gather(1, order) / temperature, list(sizes), dim=1)
    teacher = torch.split(teacher_logits.detach().gather(1, order) / temperature, list(sizes), dim=1)
    between = kl_divergence(_log_masses(student), _log_masses(teacher))
    within = [
        kl_divergence(s.log_softmax(dim=1), t.log_softmax(dim=1), kl) for s, t in zip(student, teacher, strict=True)
    ]
    return Divergences(temperature**2 * between, tuple(temperature**2 * part for part in within))


def _log_masses(groups: Sequence[Tensor]) -> Tensor:
    masses = torch.stack([group.logsumexp(dim=1) for group in groups], dim=1)  # [B, G]
    return masses.log_softmax(dim=1)
