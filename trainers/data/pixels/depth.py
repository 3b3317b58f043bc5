"""Images of more than 8 bits a channel: their high bits, where it is known which value is white.

Pillow clips them: a value of 300 of 65,535 would be white, and so would almost all of a picture. A grey image of 12 or
16 bits says by its format how far its values go. Of whole numbers of 32 bits, numbers with a sign and fractions nothing
says it: they may go to 1, to 255, to 65,535 or to what a detector counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIXTEEN_BITS = ("PPM", "PNG")
"""Formats whose grey images of more than 8 bits Pillow brings to 0 ... 65,535, whatever it calls their mode."""
UNTOLD = {"I": "whole numbers of 32 bits, or with a sign", "F": "fractions"}
"""Modes of other images whose white is not known, and what their pixels are."""
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262
"""TIFF's tags."""
WHITE_IS_ZERO = 0
"""Of PHOTOMETRIC: 0 is white. Pillow turns such an image over where it has 8 bits or fewer, and no deep one."""


def is_deep(image: Image.Image) -> bool:
    """Whether an image has one channel, of more than 8 bits, whose white is known."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BITS)


def check_depth(image: Image.Image) -> None:
    """Raises ValueError for an image of which it is not known which value is white."""
    pixels = None if is_deep(image) else UNTOLD.get(image.mode)
    if pixels is not None:
        raise ValueError(
            f"its pixels are {pixels}, and the file does not say which of them is white; save it with 8 or 16 bits a"
            " channel"
        )


def high_bits(image: Image.Image) -> NDArray[np.uint8]:
    """The 8 highest bits of each pixel of a deep image (see :func:`is_deep`): uint8 ``[H, W]``."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits = int(tags.get(BITS_PER_SAMPLE, (16,))[0])  # 12 in some TIFF files, which Pillow does not bring to 16
    high = (np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    return ~high if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else high
