"""Wasserstein distance for knowledge distillation, logit level: WKD-L (Lv et al., arXiv 2412.08139, NeurIPS 2024).

::

    L = ce_weight * CE(z_s, y) + target_weight * LT + g(epoch) * WD

    LT = - p_t[y] log p_s[y]                                                                      p: softmax(z)
    WD = sum over classes i, j but y of P_ij c_ij
    P  = diag(u) G diag(v), after `rounds` of  v = b / (G' u + 1e-8), u = a / (G v + 1e-8)  from u = 1 / (C - 1)
    a, b: softmax(z_s / T) and softmax(z_t / T) over the classes but y
    G  = exp(-c / regularization),   c = max(1 - exp(-sharpen * d), 0) + 1e-8,   d: distances of classes

    g = wkd_weight up to epoch E0, then half a cosine down to 0 at epoch E

What the student believes of the classes other than the label's is carried to what the teacher believes; carrying to a
class that is alike costs little. d: 1 - cosine of the rows of the teacher's classifier; T -> `temperature`; E0, E ->
`decay_start`, `decay_end`. There is no factor T². The number of Sinkhorn's rounds is a part of the method, as are both
1e-8: after ten rounds the student's marginal is exact and the teacher's is off by about 0.01, and the gradient flows
through all of them. `sharpen: 0` takes d itself for c.

Where the authors' release (JiamingLv/WKD) differs: on CIFAR-100 and ImageNet it reads d from files, 1 - the centred
kernel alignment of two classes' features over the training set; their off-diagonal mean is 0.7 (CIFAR-100), where that
of classifiers' rows is about 1 (:func:`cka_distances` computes them, in no trial: docs/methods.md says why). Its option
`fc` is the distance here, though as released it fails in the second step, since d keeps the graph to the teacher's
weights. It gathers C - 1 classes for each sample and keeps B (C - 1)² floats
in each round; here the label's class has no mass instead, and C² are kept once. On ImageNet E0 is 0 and E 100.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import LogitDistiller, MethodParams, Setting
from trainers.distillers.feature_maps import survey
from trainers.models import Network

TINY = 1e-8
"""Added to costs and to divisors, as in the release."""


def cosine_distances(rows: Tensor) -> Tensor:
    """1 - cosine ``[C, C]`` of every two rows of a classifier's weight ``[C, D]``, without gradient."""
    if rows.is_meta:  # a network that is built for its shapes: to compute with those would load torch's compiler
        return rows.new_empty(len(rows), len(rows))
    directions = F.normalize(rows.detach(), dim=1)
    return 1 - directions @ directions.T


def cka_distances(features: Tensor) -> Tensor:
    """1 - CKA ``[C, C]``, linear centred kernel alignment of every two classes' features, without gradient.

    It is what the release's published runs read from files:

    ::

        CKA(k, l) = |X_k' X_l|² / (|X_k' X_k| |X_l' X_l|)        X: features of a class, centred; Frobenius norms

    Args:
        features: ``[C, n, D]``, of as many samples of each class. The i-th samples of two classes stand side by side,
            so their order counts. On CIFAR-100 the release takes every place of the teacher's last map of every
            training image for a sample.
    """
    centred = features.detach() - features.detach().mean(dim=1, keepdim=True)
    classes, samples, _ = centred.shape
    beside = centred.transpose(0, 1).reshape(samples, -1)  # [n, C D]
    alike = torch.stack([(own.T @ beside).unflatten(1, (classes, -1)).square().sum(dim=(0, 2)) for own in centred])
    norms = alike.diagonal().sqrt()
    return (1 - alike / (norms[:, None] * norms)).fill_diagonal_(0)


def costs(distances: Tensor, *, sharpen: float = 1.0) -> Tensor:
    """c ``[C, C]``: what carrying from one class to another costs; arguments as in :func:`wkd_loss`."""
    sharpened = -torch.expm1(-sharpen * distances) if sharpen > 0 else distances
    return sharpened.clamp_min(0) + TINY


def wkd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    distances: Tensor,
    *,
    temperature: float = 8.0,
    sharpen: float = 1.0,
    regularization: float = 0.05,
    rounds: int = 10,
) -> tuple[Tensor, Tensor]:
    """LT and WD, unweighted; arguments as in :func:`wkd_loss`."""
    label, teacher = targets[:, None], teacher_logits.detach()
    target = -teacher.softmax(dim=1).gather(1, label) * student_logits.log_softmax(dim=1).gather(1, label)
    own = F.one_hot(targets, student_logits.shape[1]).bool()
    ours, theirs = ((z / temperature).masked_fill(own, -math.inf).softmax(dim=1) for z in (student_logits, teacher))
    cost = costs(distances.to(student_logits.dtype), sharpen=sharpen)
    start = (~own).to(ours.dtype) / (ours.shape[1] - 1)
    return target.mean(), carried(ours, theirs, cost, start, regularization=regularization, rounds=rounds).mean()


def carried(
    source: Tensor, goal: Tensor, cost: Tensor, start: Tensor, *, regularization: float = 0.05, rounds: int = 10
) -> Tensor:
    """What it costs ``[B]`` to carry distributions `source` to `goal` (each ``[B, C]``), by Sinkhorn's rounds.

    Args:
        source, goal: their marginals; a class that has no mass in either takes no part.
        cost: ``[C, C]``, from each class of the source to each of the goal.
        start: the first u, ``[B, C]``, 0 where a class takes no part.
        regularization: weight of the plan's entropy.
        rounds: how many.
    """
    kernel = torch.exp(-cost / regularization)
    left, right = start, goal
    for _ in range(rounds):
        right = goal / (left @ kernel + TINY)
        left = source / (right @ kernel.T + TINY)
    return (left @ (kernel * cost) * right).sum(dim=1)


def wkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    distances: Tensor,
    *,
    target_weight: float = 1.0,
    wkd_weight: float = 600.0,
    temperature: float = 8.0,
    sharpen: float = 1.0,
    regularization: float = 0.05,
    rounds: int = 10,
) -> Tensor:
    """target_weight * LT + wkd_weight * WD, mean over the batch, without decay.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        targets: int64 ``[B]``.
        distances: ``[C, C]``, how unlike two classes are: :func:`cosine_distances` of the teacher's classifier, say.
        target_weight, wkd_weight: weights of LT and WD.
        temperature: `T`, of WD.
        sharpen: how soon distances cost the full price; 0 takes them as they are.
        regularization: weight of the plan's entropy.
        rounds: of Sinkhorn's iteration.
    """
    target, distance = wkd_terms(
        student_logits,
        teacher_logits,
        targets,
        distances,
        temperature=temperature,
        sharpen=sharpen,
        regularization=regularization,
        rounds=rounds,
    )
    return target_weight * target + wkd_weight * distance


def decay(epoch: int, start: int | None, end: int) -> float:
    """Factor of WD's weight: 1 up to epoch `start`, then half a cosine to 0 at epoch `end` and after it; None: 1."""
    if start is None or epoch <= start:
        return 1.0
    done = (epoch - start) / (end - start) if epoch < end else 1.0
    return (1 + math.cos(math.pi * done)) / 2


class WKDParams(MethodParams):
    """Hyperparameters of WKD-L."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    target_weight: float = Field(1.0, ge=0)
    """Weight of LT, the label's class as the teacher sees it; 1 in the release."""
    wkd_weight: float = Field(600.0, ge=0)
    """Weight of WD, the distance of the other classes."""
    temperature: float = Field(8.0, gt=0)
    """`T`, softens the other classes."""
    sharpen: float = Field(1.0, ge=0)
    """How soon distances between classes cost the full price; 0 takes them as they are."""
    regularization: float = Field(0.05, gt=0)
    """Weight of the plan's entropy: the smaller, the sharper plan and slower convergence."""
    rounds: int = Field(10, ge=1, le=1_000)
    """Rounds of Sinkhorn's iteration."""
    decay_start: int | None = Field(150, ge=0)
    """The last epoch with the whole wkd_weight, which then falls along half a cosine; null never lets it fall."""
    decay_end: int = Field(240, ge=1)
    """The epoch at which it is 0."""


class WKD(LogitDistiller):
    """The cost of carrying the student's other classes to the teacher's, by how alike classes are to the teacher."""

    Params: ClassVar[type[MethodParams]] = WKDParams
    summary: ClassVar[str] = "Wasserstein distance by how alike classes are (WKD-L, arXiv 2412.08139)"
    copies_teacher: ClassVar[bool] = True
    stateless: ClassVar[bool] = False
    params: WKDParams
    reads_labels = True
    distances: Tensor  # [C, C]

    def __init__(self, params: WKDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        teacher = setting.need_teacher()
        survey(teacher, setting, "wkd")  # by a pass it is known whether the last layer of a user's network is its head
        self.register_buffer("distances", cosine_distances(teacher.classifier.weight), persistent=False)

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`wkd_target` and `wkd`, scalars of :func:`wkd_terms`, from logits ``[B, C]``."""
        params = self.params
        target, distance = wkd_terms(
            student,
            teacher,
            targets,
            self.distances,
            temperature=params.temperature,
            sharpen=params.sharpen,
            regularization=params.regularization,
            rounds=params.rounds,
        )
        return {"wkd_target": target, "wkd": distance}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`, `target_weight` for `wkd_target`; `wkd_weight` for `wkd`, which falls from epoch
        `decay_start` to 0 at `decay_end`."""
        params = self.params
        left = decay(epoch, params.decay_start, params.decay_end)
        return {"ce": params.ce_weight, "wkd_target": params.target_weight, "wkd": left * params.wkd_weight}
