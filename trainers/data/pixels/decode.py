"""Image files to pixels, in threads, with every fault named.

Pillow decodes, in this process and by itself: nothing in a file is run, and no other program is (:data:`DECODED`). What
an image will take is known from its head, before its pixels are read (:data:`MOST_PIXELS`). Colours come out as RGB:
grey is repeated, a palette looked up, transparency dropped, more bits cut to 8 (:mod:`trainers.data.pixels.depth`). The
orientation that a camera notes (EXIF) is not followed, as in torchvision's loaders.

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from trainers.allotment import cores
from trainers.data.pixels.depth import check_depth, high_bits, is_deep
from trainers.errors import InputError
from trainers.storage.inputs import check_file, readable

Pixels = NDArray[np.uint8]

DECODED = (
    *("BMP", "DIB", "GIF", "JPEG", "PPM", "PNG"),  # the commonest first, as Pillow has them
    *("AVIF", "BLP", "CUR", "DCX", "DDS", "FLI", "FPX", "FTEX", "GBR", "ICNS", "ICO", "IM", "IMT", "JPEG2000"),
    *("MCIDAS", "MIC", "MSP", "PCD", "PCX", "PIXAR", "PSD", "QOI", "SGI", "SPIDER", "SUN", "TGA", "TIFF", "WEBP"),
    *("XBM", "XPM", "XVTHUMB"),
)
"""Formats that are opened, by Pillow's names. Left out: EPS, which Pillow hands to Ghostscript, an interpreter; IPTC,
which may hold one; FITS, whose pixels may unpack to any size; and what only other programs decode (BUFR, GRIB, HDF5,
MPEG, WMF)."""
UNKNOWN = "its format is none that is decoded here (JPEG, PNG, WebP, TIFF, GIF, BMP and others; no PostScript)"
MOST_PIXELS = 1 << 26
"""Of an image that was resized before its centre is cut out: 256 MiB, as Pillow keeps them. A file may have no more
than Pillow's own bound, 179 million."""
CHUNK = 256
"""Images that a thread decodes at a time."""
CHUNKS_AHEAD = 16
"""Chunks whose encoded bytes are in memory at a time."""


@dataclass(frozen=True)
class Encoded:
    """One image that waits to be decoded."""

    name: str
    """What it is called in a message: a file, or a row of one."""
    content: bytes | Path


@dataclass(frozen=True)
class Frame:
    """What is cut out of a decoded image."""

    image_size: tuple[int, int]
    """Height and width in pixels."""
    resize: int | None = None
    """The shorter side is brought to so many pixels, and the centre cut out; None takes only images of `image_size`."""


@dataclass(frozen=True)
class Part:
    """One split that waits to be decoded."""

    labels: Sequence[int]
    fill: Callable[[Tensor], None]
    """Writes the pixels, uint8 ``[N, 3, H, W]``, in place."""


def files_part(files: Sequence[tuple[Path, int]], frame: Frame) -> Part:
    """Image files with their labels, as a split that waits to be decoded."""

    def decode(images: Tensor) -> None:
        fill(images, (Encoded(readable(path), path) for path, _ in files), frame)

    return Part([label for _, label in files], decode)


def rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB. Raises ValueError where it is not known which of its values is white."""
    if image.mode == "RGB":
        return image
    check_depth(image)
    if is_deep(image):
        return Image.fromarray(high_bits(image)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def opened(encoded: Encoded, resize: int | None = None) -> Image.Image:
    """The decoded image, in RGB, which may be brought to `resize` pixels on its shorter side.

    Raises:
        InputError: when it is no regular file, cannot be decoded, or would become too large.
    """
    content = encoded.content
    if isinstance(content, Path):
        check_file(content)
    try:
        with _recognised(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            _check_pixels(image.size, resize)
            check_depth(image)
            image.load()
            _check_pixels(image.size, resize)  # an icon's size is known only now
            return rgb(image)
    except Exception as error:  # a decoder raises anything at all on a damaged file
        raise InputError(f"{encoded.name} is not a readable image: {reason(error)}") from error


@cache
def formats() -> tuple[str, ...]:
    """Those of :data:`DECODED` that this Pillow has."""
    Image.init()
    return tuple(name for name in DECODED if name in Image.OPEN)


def _recognised(file: io.BytesIO | Path) -> ImageFile:
    """The image of which only the head was read."""
    return Image.open(file, formats=formats())


def _check_pixels(size: tuple[int, int], resize: int | None) -> None:
    """Raises ValueError for an image, `size` pixels wide and high, that would be too large when it is resized."""
    if resize is None:
        return
    width, height = _resized(size, resize)
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"it is {size[0]:,} × {size[1]:,} pixels (width × height), and with its shorter side at {resize} it would"
            f" be {width:,} × {height:,}; at most {MOST_PIXELS:,} are made"
        )


def inspect(path: Path, resize: int | None = None) -> None:
    """Whether the file begins as an image does, of a size and a depth that can be read; not decoded. Raises
    InputError."""
    try:
        with _recognised(path) as image:
            _check_pixels(image.size, resize)
            check_depth(image)
            image.verify()
    except Exception as error:  # as above
        raise InputError(f"{readable(path)} is not a readable image: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What a decoder has to say, in one line and without the address of a buffer."""
    if isinstance(error, UnidentifiedImageError):
        return UNKNOWN
    return str(error).strip().partition("\n")[0] or type(error).__name__


def shrunk(image: Image.Image, resize: int) -> Image.Image:
    """The image with its shorter side at `resize` pixels, bilinear with antialiasing."""
    size = _resized(image.size, resize)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def _resized(size: tuple[int, int], resize: int) -> tuple[int, int]:
    """Width and height once the shorter of the two is `resize` pixels."""
    width, height = size
    scale = resize / min(width, height)
    return max(resize, round(width * scale)), max(resize, round(height * scale))


def framed(encoded: Encoded, frame: Frame) -> Pixels:
    """One image as pixels ``[3, H, W]``.

    Raises:
        InputError: when it cannot be decoded, or has another size and is not to be resized.
    """
    image = opened(encoded, frame.resize)
    height, width = frame.image_size
    if frame.resize is not None:
        image = centre(shrunk(image, frame.resize), frame.image_size)
    elif (image.height, image.width) != frame.image_size:
        raise InputError(
            f"{encoded.name} has {image.height} × {image.width} pixels, the first image {height} × {width};"
            " set image_size to bring all to one size"
        )
    return planes(image)


def centre(image: Image.Image, image_size: tuple[int, int]) -> Image.Image:
    """The middle of an image."""
    height, width = image_size
    top, left = (image.height - height) // 2, (image.width - width) // 2
    return image.crop((left, top, left + width, top + height))


def planes(image: Image.Image) -> Pixels:
    """An RGB image as an array ``[3, H, W]``."""
    return np.asarray(image).transpose(2, 0, 1)


def fill(images: Tensor, encoded: Iterable[Encoded], frame: Frame) -> None:
    """Decode into uint8 ``[N, 3, H, W]``, in place, with as many threads as the process has cores.

    Raises:
        InputError: for the first image that cannot be decoded.
        RuntimeError: when fewer images come than there is room for.
    """
    target = images.numpy()

    def decode(start: int, chunk: list[Encoded]) -> None:
        for offset, image in enumerate(chunk):
            target[start + offset] = framed(image, frame)

    done = 0
    with ThreadPoolExecutor(cores()) as pool:
        chunks = _chunks(encoded)
        while ahead := list(islice(chunks, CHUNKS_AHEAD)):
            list(pool.map(decode, *zip(*ahead, strict=True)))
            done += sum(len(chunk) for _, chunk in ahead)
    if done != len(images):
        raise RuntimeError(f"{done} images came where {len(images)} were announced")


def _chunks(encoded: Iterable[Encoded]) -> Iterator[tuple[int, list[Encoded]]]:
    """Runs of images, each with the place of its first."""
    source, start = iter(encoded), 0
    while chunk := list(islice(source, CHUNK)):
        yield start, chunk
        start += len(chunk)
