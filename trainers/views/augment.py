"""RandAugment and AutoAugment on batches: which operation each image gets, and how much of it, drawn by address.

**RandAugment**, as SLD's and MLKD's releases have it for their strong view: `operations` times in a row one of
FixMatch's 14 operations (arXiv 2001.07685, appendix), each with a magnitude drawn uniformly from its range. Their
second argument, 10, is a strength that nothing reads. A square of a drawn side in FixMatch's grey follows
(:func:`grey_square`).

**AutoAugment**, the CIFAR-10 policy (Cubuk et al., arXiv 1805.09501, appendix): one of 25 pairs of operations, each
with its probability and one of ten magnitudes, in torchvision's reading of the table. Cutout follows
(:func:`black_square`).

What an operation draws depends on (seed, epoch, sample) alone, and no image's result on its batch.

Shapes: `B` batch, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainers.draws import integers, uniform
from trainers.views import pixel_ops as ops

PIXEL_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": lambda images, magnitude: ops.autocontrast(images),
    "equalize": lambda images, magnitude: ops.equalize(images),
    "invert": lambda images, magnitude: ops.invert(images),
    "posterize": ops.posterize,
    "solarize": ops.solarize,
    "solarize_add": ops.solarize_add,
    "brightness": ops.brightness,
    "color": ops.color,
    "contrast": ops.contrast,
    "sharpness": ops.sharpness,
}
"""Of uint8 images ``[N, 3, H, W]`` and their magnitudes, float64 ``[N]``."""
WARPS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "rotate": ops.rotation,
    "shear_x": ops.shear_x,
    "shear_y": ops.shear_y,
    "translate_x": ops.translation_x,
    "translate_y": ops.translation_y,
}
"""Of magnitudes, float64 ``[N]``, and the images' height and width."""
OPERATIONS = ("identity", *PIXEL_OPERATIONS, *WARPS)

# -- RandAugment ------------------------------------------------------------------------------------------------------

RANDAUGMENT: dict[str, tuple[float, float]] = {
    "autocontrast": (0, 1),  # magnitude not read
    "brightness": (0.05, 0.95),
    "color": (0.05, 0.95),
    "contrast": (0.05, 0.95),
    "equalize": (0, 1),  # magnitude not read
    "identity": (0, 1),  # magnitude not read
    "posterize": (4, 8),  # bits kept, cut to an integer: 4 ... 7
    "rotate": (-30, 30),  # degrees
    "sharpness": (0.05, 0.95),
    "shear_x": (-0.3, 0.3),
    "shear_y": (-0.3, 0.3),
    "solarize": (0, 256),
    "translate_x": (-0.3, 0.3),  # of the width
    "translate_y": (-0.3, 0.3),  # of the height
}
"""FixMatch's operations and the ranges of their magnitudes, in the releases' order."""
RANDAUGMENT_FILL = 0
"""What warps uncover is black there."""
GREY = (125, 123, 114)
"""The grey of FixMatch's square: red, green, blue."""


def randaugment(images: Tensor, index: Tensor, seed: int, epoch: int, *, operations: int) -> Tensor:
    """`operations` drawn operations in a row on each image.

    Args:
        images: uint8 ``[B, 3, H, W]``.
        index: int64 ``[B]``, each image's place in the data set, the address of its draws.
        seed, epoch: the rest of the address.
        operations: how many; the same one may be drawn again.
    """
    sides = {"translate_x": images.shape[3], "translate_y": images.shape[2]}
    ranges = [(low * sides.get(name, 1), high * sides.get(name, 1)) for name, (low, high) in RANDAUGMENT.items()]
    low, high = torch.tensor(ranges, dtype=torch.float64, device=images.device).T
    for turn in range(operations):
        chosen = integers(seed, f"randaugment-operation-{turn}", epoch, index, len(RANDAUGMENT))
        share = uniform(seed, f"randaugment-magnitude-{turn}", epoch, index)
        magnitude = low[chosen] + (high - low)[chosen] * share
        images = applied(images, list(RANDAUGMENT), chosen, magnitude, RANDAUGMENT_FILL)
    return images


def grey_square(images: Tensor, index: Tensor, seed: int, epoch: int, *, largest: float) -> Tensor:
    """Paint a square about a drawn point in FixMatch's grey, cut off at the image's border.

    Its side is drawn from 0 to `largest` of the width. The box starts at the whole pixel half a side before the point,
    or at the border, and includes the pixel that the side ends in, as Pillow draws it.

    Args:
        images: uint8 ``[B, 3, H, W]``.
        index: int64 ``[B]``; with `seed` and `epoch`, the address of the draws.
        largest: share of the width, 0 to 1.
    """
    height, width = images.shape[-2:]
    side = uniform(seed, "grey-square-side", epoch, index) * largest * width
    left = _start(uniform(seed, "grey-square-x", epoch, index) * width, side)
    top = _start(uniform(seed, "grey-square-y", epoch, index) * height, side)
    box = (left.long(), top.long(), (left + side).long() + 1, (top + side).long() + 1)
    return ops.filled_boxes(images, box, GREY)


def _start(point: Tensor, side: Tensor) -> Tensor:
    return (point - side / 2).clamp(min=0).floor()


# -- AutoAugment ------------------------------------------------------------------------------------------------------

Step = tuple[str, float, int]
"""An operation, its probability, and its magnitude's level, 0 ... 9 (0 where none is read)."""

AUTOAUGMENT: tuple[tuple[Step, Step], ...] = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)
"""The CIFAR-10 policy: pairs of steps, of which each image gets one."""
AUTOAUGMENT_FILL = 128
"""What warps uncover, in GDKD's release."""
TOP_LEVEL = 9
"""The highest level of a magnitude."""


def autoaugment(images: Tensor, index: Tensor, seed: int, epoch: int) -> Tensor:
    """One drawn pair of steps of the CIFAR-10 policy on each image; arguments as in :func:`randaugment`."""
    pair = integers(seed, "autoaugment-pair", epoch, index, len(AUTOAUGMENT))
    for turn in (0, 1):
        steps = [steps[turn] for steps in AUTOAUGMENT]
        table = [
            (OPERATIONS.index(name), chance, *centre_and_reach(name, level, images.shape))
            for name, chance, level in steps
        ]
        chosen, chance, centre, reach = torch.tensor(table, dtype=torch.float64, device=images.device).T[:, pair]
        sign = 1 - 2 * integers(seed, f"autoaugment-sign-{turn}", epoch, index, 2)
        left_out = uniform(seed, f"autoaugment-chance-{turn}", epoch, index) >= chance
        chosen = chosen.long().masked_fill(left_out, OPERATIONS.index("identity"))
        images = applied(images, OPERATIONS, chosen, centre + sign * reach, AUTOAUGMENT_FILL)
    return images


def centre_and_reach(name: str, level: int, shape: Sequence[int]) -> tuple[float, float]:
    """What a level means for images of `shape`: the magnitude is the first plus or minus the second, at even odds."""
    share = level / TOP_LEVEL
    height, width = shape[-2:]
    scales = {
        "shear_x": (0, 0.3 * share),
        "shear_y": (0, 0.3 * share),
        "translate_x": (0, int(150 / 331 * width * share)),  # whole pixels; 331 is the side of the paper's images
        "translate_y": (0, int(150 / 331 * height * share)),
        "rotate": (0, 30 * share),
        "brightness": (1, 0.9 * share),
        "color": (1, 0.9 * share),
        "contrast": (1, 0.9 * share),
        "sharpness": (1, 0.9 * share),
        "posterize": (8 - round(4 * share), 0),
        "solarize": (255 * (1 - share), 0),
    }
    return scales.get(name, (0, 0))


def black_square(images: Tensor, index: Tensor, seed: int, epoch: int, *, side: int) -> Tensor:
    """Cutout (DeVries & Taylor, arXiv 1708.04552): a square of `side` pixels about a drawn one, cut off at the border.

    An odd side counts as the even one below, as in its authors' code.

    Args:
        images: uint8 ``[B, 3, H, W]``.
        index: int64 ``[B]``; with `seed` and `epoch`, the address of the draws.
        side: pixels.
    """
    half = side // 2
    x = integers(seed, "cutout-x", epoch, index, images.shape[3])
    y = integers(seed, "cutout-y", epoch, index, images.shape[2])
    return ops.filled_boxes(images, (x - half, y - half, x + half, y + half), (0, 0, 0))


# -- both -------------------------------------------------------------------------------------------------------------


def applied(images: Tensor, names: Sequence[str], chosen: Tensor, magnitude: Tensor, fill: int) -> Tensor:
    """Each image after its operation: every operation runs once, on the images that it was chosen for.

    Args:
        images: uint8 ``[B, 3, H, W]``.
        names: operations to choose from, of `OPERATIONS`.
        chosen: int64 ``[B]``, places in `names`.
        magnitude: float64 ``[B]``.
        fill: value of pixels that a warp uncovers.
    """
    counts = torch.bincount(chosen, minlength=len(names)).tolist()
    groups = torch.argsort(chosen, stable=True).split_with_sizes(counts)
    members = {name: group for name, group in zip(names, groups, strict=True) if len(group)}
    done = images.clone()
    for name in sorted(members.keys() & PIXEL_OPERATIONS.keys()):
        some = members[name]
        done.index_copy_(0, some, PIXEL_OPERATIONS[name](images.index_select(0, some), magnitude[some]))
    if moving := sorted(members.keys() & WARPS.keys()):
        some = torch.cat([members[name] for name in moving])
        warp = torch.cat([WARPS[name](magnitude[members[name]], *images.shape[2:]) for name in moving])
        done.index_copy_(0, some, ops.warped(images.index_select(0, some), warp, fill))
    return done
