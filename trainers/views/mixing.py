"""Two images in one: mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899).

::

    mixup:    x = share * x_own + (1 - share) * x_partner,          share ~ Beta(alpha, alpha)
    CutMix:   x = x_own outside a box and x_partner inside it,      the box takes 1 - share of the image

CutMix's box has the image's form and a drawn middle, and is cut off at the border; the share that counts is what is
left of the image. With both, each image gets one of the two at even odds. An image's partner is the one that stands as
far from the end of its batch as it does from the beginning, as in timm; share, choice and box depend on (seed, epoch,
sample) alone, where timm draws one of each for a whole batch (its mode `elem` is as here).

Shapes: `B` batch, `H`, `W` pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.draws import integers, uniform

KNOTS = 4097
"""Of the table that shares are looked up in."""


class Mixed(NamedTuple):
    """Images, each with a part of another."""

    images: Tensor
    """float ``[B, 3, H, W]``."""
    share: Tensor
    """float32 ``[B]``, of each image's own."""


def mixed(own: Tensor, partners: Tensor, index: Tensor, seed: int, epoch: int, *, mixup: float, cutmix: float) -> Mixed:
    """Mix each image with its partner.

    Args:
        own, partners: normalised views, float ``[B, 3, H, W]``; row i of one goes with row i of the other.
        index: int64 ``[B]``, place in the data set of each of `own`: with `seed` and `epoch`, the address of the draws.
        mixup, cutmix: `alpha` of each; 0 leaves it out. One of the two is more.
    """
    cut = _cut(index, seed, epoch, mixup, cutmix)
    share = torch.ones_like(index, dtype=torch.float64)
    outside = torch.ones_like(own[:, :1], dtype=torch.bool)
    if cutmix > 0:
        wanted = beta(uniform(seed, "cutmix-share", epoch, index), cutmix)
        outside = _outside(wanted, index, seed, epoch, own.shape[2], own.shape[3]) | ~cut[:, None, None, None]
        share = outside.double().mean(dim=(1, 2, 3))
    if mixup > 0:
        share = torch.where(cut, share, beta(uniform(seed, "mixup-share", epoch, index), mixup))
    kept = torch.where(cut, 1.0, share).float()[:, None, None, None]
    return Mixed(torch.where(outside, kept * own + (1 - kept) * partners, partners), share.float())


def _cut(index: Tensor, seed: int, epoch: int, mixup: float, cutmix: float) -> Tensor:
    """Which images go through CutMix: bool ``[B]``."""
    if mixup > 0 and cutmix > 0:
        return uniform(seed, "mix-choice", epoch, index) < 0.5
    return torch.full_like(index, cutmix > 0, dtype=torch.bool)


def _outside(share: Tensor, index: Tensor, seed: int, epoch: int, height: int, width: int) -> Tensor:
    """Where a box of 1 - `share` (float64 ``[B]``) is not: bool ``[B, 1, H, W]``."""
    ratio = (1 - share).sqrt()
    inside = []
    for axis, side in (("y", height), ("x", width)):
        middle = integers(seed, f"cutmix-{axis}", epoch, index, side)[:, None]
        half = (ratio * side).long()[:, None] // 2
        place = torch.arange(side, device=index.device)
        inside.append((place >= middle - half) & (place < middle + half))
    rows, columns = inside
    return ~(rows[:, None, :, None] & columns[:, None, None, :])


def beta(unit: Tensor, alpha: float) -> Tensor:
    """The quantile of Beta(alpha, alpha) at `unit`, float64 of any shape in [0, 1)."""
    below = torch.minimum(unit, 1 - unit)
    probability, power = (knots.to(unit.device) for knots in _half_of_beta(alpha))
    right = torch.searchsorted(probability, below).clamp(1, KNOTS - 1)
    low, high = probability[right - 1], probability[right]
    part = ((below - low) / (high - low)).clamp(0, 1)
    value = torch.lerp(power[right - 1], power[right], part) ** (1 / min(alpha, 1.0))
    return torch.where(unit < 0.5, value, 1 - value)


@lru_cache(maxsize=16)
def _half_of_beta(alpha: float) -> tuple[Tensor, Tensor]:
    """Probabilities from 0 to 1/2, rising, and t = x ** p of the x below which each lies, float64.

    With p = min(alpha, 1) the density x ** (alpha - 1) (1 - x) ** (alpha - 1) is one of t that is bounded, up to
    x = 1/2; the other half is its mirror image.
    """
    exponent = min(alpha, 1.0)
    power = torch.linspace(0, 1, KNOTS, dtype=torch.float64) * 0.5**exponent
    density = power ** (alpha / exponent - 1) * (1 - power ** (1 / exponent)) ** (alpha - 1)
    area = torch.cat([power.new_zeros(1), torch.cumulative_trapezoid(density, power)])
    return area / area[-1] / 2, power
