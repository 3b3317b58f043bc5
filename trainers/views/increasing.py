"""RandAugment (Cubuk et al., arXiv 1909.13719) in the form that timm's recipes name ``rand-m9-mstd0.5-inc1``.

`operations` times in a row one of 15 operations, each left out at even odds. Its strength is drawn from N(magnitude,
std), cut to 0 ... 10, and a stronger one changes more (`inc1`). Warps take the nearest pixel and uncover grey, where
timm interpolates and takes the data set's mean.

What is drawn depends on (seed, epoch, sample) alone.

Shapes: `B` batch, `H`, `W` pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainers.config import RandAugment
from trainers.draws import integers, uniform
from trainers.views.augment import AUTOAUGMENT_FILL, applied

TOP = 10.0
"""The highest strength."""
CHANCE = 0.5
"""With which an operation that was drawn is carried out."""
INCREASING = (
    "autocontrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize_add",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""timm's operations, in its order."""
ENHANCING = ("color", "contrast", "brightness", "sharpness")
NAMES = ("identity", *INCREASING)


def increasing(images: Tensor, index: Tensor, seed: int, epoch: int, options: RandAugment) -> Tensor:
    """Drawn operations in a row on each image.

    Args:
        images: uint8 ``[B, 3, H, W]``.
        index: int64 ``[B]``; with `seed` and `epoch`, the address of the draws.
        options: how many operations, and how strong.
    """
    for turn in range(options.operations):
        drawn = [uniform(seed, f"increasing-{what}-{turn}", epoch, index) for what in ("chance", "strength", "sign")]
        chosen = 1 + integers(seed, f"increasing-operation-{turn}", epoch, index, len(INCREASING))
        chosen = chosen.masked_fill(drawn[0] >= CHANCE, 0)
        strength = (options.magnitude + options.std * _normal(drawn[1])).clamp(0, TOP)
        images = applied(images, NAMES, chosen, _magnitudes(chosen, strength, drawn[2], images), AUTOAUGMENT_FILL)
    return images


def _normal(unit: Tensor) -> Tensor:
    return torch.erfinv(2 * unit.clamp(min=2.0**-53) - 1) * math.sqrt(2)


def _magnitudes(chosen: Tensor, strength: Tensor, sign: Tensor, images: Tensor) -> Tensor:
    """What each image's operation takes: float64 ``[B]``."""
    share, negate = strength / TOP, torch.where(sign < 0.5, -1.0, 1.0)
    magnitude = torch.zeros_like(share)
    for place, name in enumerate(NAMES):
        magnitude = torch.where(chosen == place, meant(name, share, negate, images), magnitude)
    return magnitude


def meant(name: str, share: Tensor, sign: Tensor, images: Tensor) -> Tensor:
    """What a share of the highest strength means to an operation, where `sign` is -1 or 1: float64 ``[B]`` all."""
    height, width = images.shape[2:]
    if name in ENHANCING:
        return (1 + sign * (0.9 * share)).clamp(min=0.1)
    reaches = {"rotate": 30, "shear_x": 0.3, "shear_y": 0.3, "translate_x": 0.45 * width, "translate_y": 0.45 * height}
    if name in reaches:
        return sign * (reaches[name] * share)
    whole = {"posterize": 4 - (4 * share).floor(), "solarize": 256 - (256 * share).floor(), "solarize_add": 110 * share}
    return whole[name].floor() if name in whole else torch.zeros_like(share)
