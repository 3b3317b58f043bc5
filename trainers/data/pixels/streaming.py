"""Images that are too many for the memory: decoded batch by batch, in worker processes ahead of the training.

A training image is a random part of its file, resized (the random-resized-crop of Szegedy et al., arXiv 1409.4842,
section 6, as torchvision has it): an area of `area` of the image at a ratio of sides of `aspect`, drawn anew up to ten
times until it fits, else the middle; then mirrored with probability one half. All is drawn by address (seed, epoch,
sample), so the numbers do not depend on how many workers there are. What is evaluated is the middle, after resizing.

Shapes: `B` batch, `N` images, `S` side in pixels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kd_sweep import spawning
from trainers.config import Recipe
from trainers.data.base import Framing, Images, Split
from trainers.data.pixels.decode import Encoded, Frame, Pixels, framed, opened, planes
from trainers.draws import bits, integers
from trainers.errors import InputError
from trainers.storage.inputs import readable
from trainers.storage.sockets import room_for_sockets

DRAWN = ("area", "aspect", "top", "left")
"""What is drawn of a crop."""
TRIES = 10
"""Draws of a crop before the middle is taken (torchvision's number)."""
START = "fork" if sys.platform == "linux" else None
"""How workers start: a fork takes milliseconds, where a new process imports torch, every epoch; None: Python's way."""
FEWEST = 2
"""Processes that decode where nobody says how many."""
UNIT = float(1 << 63)
"""Draws are integers below it."""


@dataclass(frozen=True)
class Cropping:
    """How images are cut out of their files."""

    image_size: int
    """Side in pixels."""
    resize: int
    """For evaluation: the shorter side before the centre is cut out."""
    area: tuple[float, float] = (0.08, 1.0)
    """For training: smallest and largest share of the image's area."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """For training: smallest and largest width over height."""


@dataclass(frozen=True, eq=False)
class StreamedSplit(Images):
    """Images that are references to files."""

    root: Path
    files: tuple[str, ...]
    """Names below `root`, of the whole source."""
    rows: Tensor  # int64 [N], each image's place in `files`
    labels: Tensor  # int64 [N]
    index: Tensor  # int64 [N]
    cropping: Cropping
    workers: int | None
    """Processes that decode; 0 decodes in this one. None: :data:`FEWEST`, and beside a GPU as many as torch has threads
    here, which then have little else to do, where these are more."""
    at_hand: ClassVar[bool] = False

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of what is cut out of the files, in pixels: a square."""
        return self.cropping.image_size, self.cropping.image_size

    def take(self, positions: Tensor) -> StreamedSplit:
        """The images at `positions` (int64 ``[n]``), in that order; nothing is read."""
        rows = self.rows[positions.to(self.rows.device)]
        return replace(self, rows=rows, labels=self.labels[positions], index=self.index[positions])

    def to(self, device: torch.device) -> StreamedSplit:
        """The same files, with labels and indices, and so the batches, on another device."""
        return replace(self, labels=self.labels.to(device), index=self.index.to(device))

    def recipe_left(self, recipe: Recipe) -> Recipe:
        """Batches come cropped and mirrored, so a crop after padding and another flip are left out."""
        return recipe.model_copy(update={"pad": 0, "flip": False})

    @property
    def processes(self) -> int:
        """That decode."""
        if self.workers is not None:
            return self.workers
        return max(FEWEST, torch.get_num_threads()) if self.labels.device.type == "cuda" else FEWEST

    def batches(self, parts: Sequence[Tensor], framing: Framing | None = None) -> Iterator[Split]:
        """Decode the files at each of `parts` in worker processes, ahead of whoever asks; uint8 ``[B, 3, S, S]`` each.

        With a `framing` each image is a random part of its file, without one the middle.

        Raises:
            InputError: when a file cannot be decoded; it is named.
        """
        device = self.labels.device
        on_gpu = device.type == "cuda"
        workers = min(self.processes, len(parts))
        loader = DataLoader(
            _Batches(self.root, self.files, self.cropping, framing),
            batch_size=None,
            sampler=[self._addresses(part) for part in parts],
            num_workers=workers,
            multiprocessing_context=START if workers else None,
            collate_fn=_unchanged,
            pin_memory=on_gpu,
            generator=torch.Generator(),  # its own: the loop's draws (dropout) do not depend on a loader
        )
        with spawning(), room_for_sockets():
            decoded = iter(loader)
        try:
            for part, images in zip(parts, decoded, strict=True):
                if isinstance(images, str):
                    raise InputError(images)
                yield Split(images.to(device, non_blocking=on_gpu), self.labels[part], self.index[part])
        finally:
            del decoded  # and so end its processes now: kept by an error's traceback, each would cost 5 s one day

    def _addresses(self, part: Tensor) -> tuple[list[int], list[int]]:
        """Places in `files`, and addresses of the draws, of one batch."""
        return self.rows[part.to(self.rows.device)].tolist(), self.index[part].tolist()


def _unchanged(batch: Any) -> Any:
    """What a worker made of a batch: it is whole already."""
    return batch


@dataclass(frozen=True)
class _Batches(Dataset[Tensor | str]):
    """What a worker process decodes: a whole batch at a time."""

    root: Path
    files: tuple[str, ...]
    cropping: Cropping
    framing: Framing | None

    def __getitem__(self, batch: tuple[list[int], list[int]]) -> Tensor | str:
        """uint8 ``[B, 3, S, S]``, or the message of what is wrong: an exception would cross as a worker's traceback."""
        rows, index = batch
        encoded = [Encoded(readable(self.root / self.files[row]), self.root / self.files[row]) for row in rows]
        images = torch.empty(len(rows), 3, *[self.cropping.image_size] * 2, dtype=torch.uint8)
        try:
            for image, pixels in zip(images, self._decoded(encoded, torch.tensor(index)), strict=True):
                image.numpy()[...] = pixels
        except InputError as error:
            return str(error)
        return images

    def _decoded(self, encoded: list[Encoded], index: Tensor) -> Iterator[Pixels]:
        size = self.cropping.image_size
        if self.framing is None:
            return (framed(image, Frame((size, size), self.cropping.resize)) for image in encoded)
        crops = Crops(self.cropping, self.framing, index)
        return (planes(crops.cut(opened(image), position)) for position, image in enumerate(encoded))


class Crops:
    """The drawn crops of a batch of images."""

    def __init__(self, cropping: Cropping, framing: Framing, index: Tensor) -> None:
        self.cropping = cropping
        seed, epoch = framing.seed, framing.epoch
        self.draws = [
            [_uniform(seed, f"resized-crop-{what}-{attempt}", epoch, index) for what in DRAWN]
            for attempt in range(TRIES)
        ]
        self.mirrored = (integers(seed, "flip", epoch, index, 2) * int(framing.flip)).tolist()

    def box(self, position: int, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is cut out of the batch's image at `position`, of this size."""
        smallest, largest = self.cropping.area
        flattest, widest = (math.log(ratio) for ratio in self.cropping.aspect)
        for tried in self.draws:
            area, aspect, top, left = (float(draw[position]) for draw in tried)
            pixels = (smallest + (largest - smallest) * area) * width * height
            ratio = math.exp(flattest + (widest - flattest) * aspect)
            wide, high = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
            if 0 < wide <= width and 0 < high <= height:
                x, y = int(left * (width - wide + 1)), int(top * (height - high + 1))
                return x, y, x + wide, y + high
        return self._middle(width, height)

    def _middle(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The largest middle part whose ratio of sides is allowed."""
        flattest, widest = self.cropping.aspect
        wide = max(1, min(width, round(height * widest)))
        high = max(1, min(height, round(width / flattest)))
        x, y = (width - wide) // 2, (height - high) // 2
        return x, y, x + wide, y + high

    def cut(self, image: Image.Image, position: int) -> Image.Image:
        """The view of one image, at the side asked for."""
        side = self.cropping.image_size
        part = image.crop(self.box(position, image.width, image.height))
        view = part.resize((side, side), Image.Resampling.BILINEAR)
        return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirrored[position] else view


def _uniform(seed: int, purpose: str, epoch: int, index: Tensor) -> NDArray[np.float64]:
    """One number in [0, 1) per sample: float64 ``[B]``."""
    drawn: NDArray[np.int64] = bits(seed, purpose, epoch, index).numpy()
    return (drawn >> 10).astype(np.float64) / (UNIT / 1024)  # 53 bits: what a float64 holds exactly
