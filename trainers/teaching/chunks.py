"""An epoch's batches, prepared many at a time: pixels, views and what the teacher says of them.

What prepares a batch are many small calls – a view's draws alone are 90 kernels, each of 64 numbers – which a GPU takes
as long to start as the training itself. Since views are drawn by address, they can be made of thousands of images at
once, and cut into batches: the numbers are the same, bit for bit, whatever a chunk holds.

Shapes: `n` images of a chunk, `B` of a batch, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.config import Recipe
from trainers.data.base import Framing, Images, Split
from trainers.distillers import Batch, View
from trainers.distillers.labels import LabelReading, Partners, reading_of
from trainers.teaching.lesson import Teaching
from trainers.views.views import Views

CHUNK_IMAGES = 4096
"""Images that are prepared together, on a GPU."""
CHUNK_IMAGES_CPU = 512
"""The same on a CPU, whose caches a larger chunk does not fit."""
CHUNK_BYTES = 256_000_000
"""Of the views of a chunk, at most, where that is more than a batch."""


class Pupil(NamedTuple):
    """Whom batches are prepared for."""

    taught: Teaching
    strong: bool
    """Whether batches carry the strong view as well."""


@dataclass(frozen=True)
class Preparation:
    """What all epochs of a trial, or of several with one seed and one recipe, are prepared from."""

    recipe: Recipe
    seed: int
    train: Images
    views: Views
    pupils: tuple[Pupil, ...]
    """One for each kind of batch. What several of them have is made once."""

    def batches(
        self, parts: Sequence[Tensor], epoch: int, partners: Sequence[Tensor] | None = None
    ) -> Iterator[tuple[Batch, ...]]:
        """The batches of an epoch, one for each of the pupils.

        Args:
            parts: int64 ``[B]`` each, the positions of one batch after the other.
            epoch: counted from 1; the teachers are ready for it.
            partners: int64 ``[B]`` each, the positions of what the images of each batch are mixed with, where the
                recipe mixes them; None: each batch in reverse.

        Raises:
            InputError: when an image cannot be read; its file is named.
        """
        framing = Framing(self.seed, epoch, self.recipe.flip) if self.recipe.views != "none" else None
        chunks = list(chunked(parts, self.images))
        together = [torch.cat(chunk) if len(chunk) > 1 else chunk[0] for chunk in chunks]
        if partners is not None and self.recipe.mixes:
            others = iter(partners)
            beside = [torch.cat([next(others) for _ in chunk]) for chunk in chunks]
            together = [torch.cat(pair) for pair in zip(together, beside, strict=True)]
        for chunk, pixels in zip(chunks, self.train.batches(together, framing), strict=True):
            yield from self._cut(pixels, [len(part) for part in chunk], epoch)

    @property
    def images(self) -> int:
        """Images that are prepared together, at least one batch; those that are decoded as they come are not kept."""
        if not self.train.at_hand:
            return 1
        height, width = self.train.image_size
        most = CHUNK_IMAGES_CPU if self.train.labels.device.type == "cpu" else CHUNK_IMAGES
        return min(
            most, CHUNK_BYTES // (3 * height * width * torch.float32.itemsize * (1 + self._strong + self.recipe.mixes))
        )

    def _mixed(
        self, chunk: Split, images: Tensor, sizes: list[int], epoch: int
    ) -> tuple[Split, Tensor, Iterator[Partners]]:
        """The chunk without partners from elsewhere, its views mixed, and what each batch is mixed with."""
        count = sum(sizes)
        ends = torch.tensor(sizes).cumsum(0).tolist()
        reverse = torch.cat([torch.arange(end - 1, end - size - 1, -1) for end, size in zip(ends, sizes, strict=True)])
        others = (reverse if len(chunk) == count else torch.arange(count, len(chunk))).to(images.device)
        own = Split(chunk.images[:count], chunk.labels[:count], chunk.index[:count])
        mixed, share = self.views.mixed(images[:count], images[others], own.index, self.seed, epoch)
        labels = torch.split(chunk.labels[others], sizes)
        return own, mixed, map(Partners, labels, torch.split(share, sizes))

    @cached_property
    def _reading(self) -> LabelReading:
        return reading_of(self.recipe, self.train.labels)

    @property
    def _strong(self) -> bool:
        return any(pupil.strong for pupil in self.pupils)

    def _cut(self, chunk: Split, sizes: list[int], epoch: int) -> Iterator[tuple[Batch, ...]]:
        """The batches of a chunk, of `sizes` images; partners that are no part of these batches come after them."""
        images = self.views.training(chunk.images, chunk.index, self.seed, epoch)
        partners: Iterator[Partners | None] = repeat(None)
        if self.recipe.mixes:
            chunk, images, partners = self._mixed(chunk, images, sizes, epoch)
        weak = {taught: taught.view(images, chunk.index, sizes) for taught in self._teachings(strong=False)}
        strong: dict[Teaching, Iterator[View]] = {}
        if self._strong:
            images = self.views.strong(chunk.images, chunk.index, self.seed, epoch)
            strong = {taught: taught.strong(images, chunk.index, sizes) for taught in self._teachings(strong=True)}
        labelled = zip(torch.split(chunk.labels, sizes), torch.split(chunk.index, sizes), strict=True)
        for (labels, index), mixed_with in zip(labelled, partners, strict=False):
            seen = {taught: next(views) for taught, views in weak.items()}
            beside = {taught: next(views) for taught, views in strong.items()}
            yield tuple(
                Batch(
                    seen[taught].images,
                    labels,
                    index,
                    epoch,
                    seen[taught].teacher,
                    beside[taught] if also else None,
                    self._reading,
                    mixed_with,
                )
                for taught, also in self.pupils
            )

    def _teachings(self, strong: bool) -> list[Teaching]:
        """Each once: those that are asked about weak views, or about strong ones."""
        return list(dict.fromkeys(pupil.taught for pupil in self.pupils if pupil.strong or not strong))


def chunked(parts: Sequence[Tensor], images: int) -> Iterator[list[Tensor]]:
    """`parts` in runs of at most `images` altogether, or of one."""
    run: list[Tensor] = []
    for part in parts:
        if run and sum(map(len, run)) + len(part) > images:
            yield run
            run = []
        run.append(part)
    if run:
        yield run
