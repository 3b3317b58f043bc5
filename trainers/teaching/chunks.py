"""An epoch's batches, prepared many at a time: pixels, views and what the teacher says of them.

What prepares a batch are many small calls – a view's draws alone are 90 kernels, each of 64 numbers – which a GPU takes
as long to start as the training itself. Since views are drawn by address, they can be made of thousands of images at
once, and cut into batches: the numbers are the same, bit for bit, whatever a chunk holds.

Shapes: `n` images of a chunk, `B` of a batch, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.config import Recipe
from trainers.data.base import Framing, Images, Split
from trainers.distillers import Batch
from trainers.teaching.lesson import Teaching
from trainers.views.views import Views

CHUNK_IMAGES = 4096
"""Images that are prepared together, on a GPU."""
CHUNK_IMAGES_CPU = 512
"""The same on a CPU, whose caches a larger chunk does not fit."""
CHUNK_BYTES = 256_000_000
"""Of the views of a chunk, at most, where that is more than a batch."""


@dataclass(frozen=True)
class Preparation:
    """What all epochs of a trial are prepared from."""

    recipe: Recipe
    seed: int
    train: Images
    views: Views
    taught: Teaching
    strong: bool
    """Whether batches carry the strong view as well."""

    def batches(self, parts: Sequence[Tensor], epoch: int) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            parts: int64 ``[B]`` each, the positions of one batch after the other.
            epoch: counted from 1; the teacher is ready for it.

        Raises:
            InputError: when an image cannot be read; its file is named.
        """
        framing = Framing(self.seed, epoch, self.recipe.flip) if self.recipe.views != "none" else None
        chunks = list(chunked(parts, self.images))
        together = [torch.cat(chunk) if len(chunk) > 1 else chunk[0] for chunk in chunks]
        for chunk, pixels in zip(chunks, self.train.batches(together, framing), strict=True):
            yield from self._cut(pixels, [len(part) for part in chunk], epoch)

    @property
    def images(self) -> int:
        """Images that are prepared together, at least one batch; those that are decoded as they come are not kept."""
        if not self.train.at_hand:
            return 1
        height, width = self.train.image_size
        most = CHUNK_IMAGES_CPU if self.train.labels.device.type == "cpu" else CHUNK_IMAGES
        return min(most, CHUNK_BYTES // (3 * height * width * torch.float32.itemsize * (1 + self.strong)))

    def _cut(self, chunk: Split, sizes: list[int], epoch: int) -> Iterator[Batch]:
        """The batches of a chunk, of `sizes` images."""
        weak = self.taught.view(self.views.training(chunk.images, chunk.index, self.seed, epoch), chunk.index, sizes)
        strong = None
        if self.strong:
            images = self.views.strong(chunk.images, chunk.index, self.seed, epoch)
            strong = self.taught.strong(images, chunk.index, sizes)
        for labels, index in zip(torch.split(chunk.labels, sizes), torch.split(chunk.index, sizes), strict=True):
            view = next(weak)
            yield Batch(view.images, labels, index, epoch, view.teacher, next(strong) if strong is not None else None)


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
