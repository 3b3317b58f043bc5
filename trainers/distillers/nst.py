"""NST, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer (Huang & Wang, arXiv 1707.01219).

::

    L = ce_weight * CE(z_s, y) + feature_weight * nst

    nst     = sum over stages of the mean over samples of k(s, s) - 2 k(s, t) + k(t, t)
    k(a, b) = the mean over pairs of channels of (a_i . b_j)²       a_i: channel i as a unit vector over the pixels

That is the squared maximum mean discrepancy, with the polynomial kernel of degree 2, between the two sets of
channels: the student's channels shall respond at the same places as the teacher's, whichever and however many they
are. Maps of different sizes are average-pooled to the smaller one. All stages after the stem are read, after their
ReLU where they have one. The paper's lambda -> `feature_weight`.

Where CRD's and mdistiller's releases differ, not in value: they hold the products of all pairs of channels pixel by
pixel, 1 GB for a batch of 64 maps of 256 × 8 × 8; here no pair of channels costs more than one number, and pairs of
pixels are taken instead where there are fewer. A channel of zeros has no direction, and here no gradient. Pairing of
networks with unequally many stages: :mod:`trainers.distillers.feature_maps`.

Shapes: `B` batch, `K` channels, `P` pixels of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, MethodParams
from trainers.distillers.feature_maps import MapDistiller, paired_stages, pooled_alike, unit
from trainers.models import Features


def kernel_mean(a: Tensor, b: Tensor) -> Tensor:
    """Mean over the batch and over pairs of rows of the squared dot product, of ``[B, K, P]`` and ``[B, L, P]``.

    Both ways give the same: the sum over i, j of (a_i . b_j)² is that of the entrywise product of the pixels' Gram
    matrices, a^T a and b^T b.
    """
    pairs = a.shape[1] * b.shape[1]
    if pairs <= a.shape[2] ** 2:
        return torch.bmm(a, b.mT).square().mean()  # [B, K, L]
    return (torch.bmm(a.mT, a) * torch.bmm(b.mT, b)).sum(dim=(1, 2)).mean() / pairs  # [B, P, P]


def nst_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    """Squared maximum mean discrepancy of the channels, mean over the batch, summed over stages.

    Args:
        student_maps, teacher_maps: equally many, each ``[B, K, h, w]``; channels and pixels may differ in a pair.
    """
    terms = []
    for pair in zip(student_maps, teacher_maps, strict=True):
        student, teacher = (unit(maps.flatten(2), dim=2) for maps in pooled_alike(pair[0], pair[1].detach()))
        own, cross, taught = kernel_mean(student, student), kernel_mean(student, teacher), kernel_mean(teacher, teacher)
        terms.append(own - 2 * cross + taught)
    return torch.stack(terms).sum()


class NSTParams(MethodParams):
    """Hyperparameters of NST."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    feature_weight: float = Field(50.0, ge=0)
    """Weight of `nst`."""


class NST(MapDistiller):
    """The student's channels are distributed as the teacher's."""

    least_stages: ClassVar[int] = 2
    Params: ClassVar[type[MethodParams]] = NSTParams
    summary: ClassVar[str] = "discrepancy between the channels' patterns of each stage (arXiv 1707.01219)"
    params: NSTParams

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`nst`: :func:`nst_loss`, a scalar, of the paired stages ``[B, K, h, w]``."""
        return {"nst": nst_loss(*paired_stages(student, teacher))}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `feature_weight` for `nst`, in every epoch."""
        return {"ce": self.params.ce_weight, "nst": self.params.feature_weight}
