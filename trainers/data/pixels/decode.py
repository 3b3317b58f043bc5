"""Image files to pixels, in threads, with every fault named.

Pillow decodes; nothing in a file is run. Colours come out as RGB: grey is repeated, a palette looked up, transparency
dropped, 16 bits cut to 8. The orientation that a camera notes (EXIF) is not followed, as in torchvision's loaders.

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from trainers.data.pixels.fingerprint import readable
from trainers.errors import InputError
from trainers.process import cores

Pixels = NDArray[np.uint8]

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
    """The image in 8-bit RGB."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        high_bytes = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(high_bytes).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def opened(encoded: Encoded) -> Image.Image:
    """The decoded image, in RGB.

    Raises:
        InputError: when it cannot be decoded.
    """
    content = encoded.content
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            image.load()
            return rgb(image)
    except Exception as error:  # a decoder raises anything at all on a damaged file
        raise InputError(f"{encoded.name} is not a readable image: {reason(error)}") from error


def inspect(path: Path) -> None:
    """Whether the file begins as an image does, without decoding it; raises InputError."""
    try:
        with Image.open(path) as image:
            image.verify()
    except Exception as error:  # as above
        raise InputError(f"{readable(path)} is not a readable image: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What a decoder has to say, in one line and without the address of a buffer."""
    if isinstance(error, UnidentifiedImageError):
        return "its format is unknown"
    return str(error).strip().partition("\n")[0] or type(error).__name__


def shrunk(image: Image.Image, resize: int) -> Image.Image:
    """The image with its shorter side at `resize` pixels, bilinear with antialiasing."""
    width, height = image.size
    scale = resize / min(width, height)
    size = (max(resize, round(width * scale)), max(resize, round(height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def framed(encoded: Encoded, frame: Frame) -> Pixels:
    """One image as pixels ``[3, H, W]``.

    Raises:
        InputError: when it cannot be decoded, or has another size and is not to be resized.
    """
    image = opened(encoded)
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
