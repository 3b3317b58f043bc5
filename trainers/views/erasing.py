"""Random erasing (Zhong et al., arXiv 1708.04896) as timm and DeiT do it: a box of noise in the normalised view.

A box has 0.02 to 1/3 of the image's pixels and sides in a ratio of 0.3 to 1/0.3, evenly drawn by its logarithm; of ten
drawn boxes the first that is smaller than the image is taken, at a drawn place, and filled with numbers from N(0, 1),
each of its own. What is drawn depends on (seed, epoch, sample) alone.

Shapes: `B` batch, `H`, `W` pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainers.draws import bits, uniform

AREA = (0.02, 1 / 3)
"""Share of the image's pixels."""
RATIO = (math.log(0.3), math.log(1 / 0.3))
"""Logarithm of height over width."""
TRIES = 10


def erased(images: Tensor, index: Tensor, seed: int, epoch: int, *, chance: float) -> Tensor:
    """Fill a box of some images with noise.

    Args:
        images: normalised, float ``[B, 3, H, W]``.
        index: int64 ``[B]``; with `seed` and `epoch`, the address of the draws.
        chance: with which an image loses a box.
    """
    chosen = torch.nonzero(uniform(seed, "erasing-chance", epoch, index) < chance).flatten()
    some = index[chosen]
    inside = _boxes(some, seed, epoch, images.shape[2], images.shape[3])
    noise = _noise(bits(seed, "erasing-noise", epoch, some), images.shape[1:]).to(images.dtype)
    return images.index_copy(0, chosen, torch.where(inside, noise, images[chosen]))


def _boxes(index: Tensor, seed: int, epoch: int, height: int, width: int) -> Tensor:
    """Where the box of each image lies: bool ``[B, 1, H, W]``; nowhere where none was small enough."""
    tall, wide = torch.zeros_like(index), torch.zeros_like(index)
    for turn in range(TRIES):
        area = _between(AREA, uniform(seed, f"erasing-area-{turn}", epoch, index)) * height * width
        ratio = _between(RATIO, uniform(seed, f"erasing-ratio-{turn}", epoch, index)).exp()
        rows, columns = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
        first = (tall == 0) & (rows < height) & (columns < width)
        tall, wide = torch.where(first, rows, tall), torch.where(first, columns, wide)
    inside = []
    for axis, side, length in (("top", height, tall), ("left", width, wide)):
        start = (uniform(seed, f"erasing-{axis}", epoch, index) * (side - length + 1)).long()[:, None]
        place = torch.arange(side, device=index.device)
        inside.append((place >= start) & (place < start + length[:, None]))
    rows, columns = inside
    return rows[:, None, :, None] & columns[:, None, None, :]


def _between(ends: tuple[float, float], unit: Tensor) -> Tensor:
    low, high = ends
    return low + (high - low) * unit


def _noise(start: Tensor, shape: torch.Size) -> Tensor:
    """Numbers from N(0, 1) by address: int64 ``[B]`` to float64 ``[B, *shape]``."""
    places = torch.arange(shape.numel(), device=start.device)
    unit = uniform(0, "erasing-pixel", 0, start[:, None] ^ places)
    return (torch.erfinv(2 * unit.clamp(min=2.0**-53) - 1) * math.sqrt(2)).view(-1, *shape)
