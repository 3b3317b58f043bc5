"""Images that lie in a memory-mapped file, and their way to a GPU: a copy of all of them, or batches read ahead.

Shapes: `B` batch, `N` images, `M` images of the file, `H`, `W` pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.data.base import Framing, Images, Split

MOST_COPIED = 2_000_000_000
"""Bytes of a split that a GPU holds a copy of, for each trial: Tiny ImageNet's 1.2 GB, say."""
COPIED_AT_ONCE = 64_000_000
"""Bytes on the way to that copy."""
READ_AHEAD = 2
"""Batches of a larger split that are read before they are asked for."""


@dataclass(frozen=True, eq=False)
class MappedSplit(Images):
    """Images in a memory-mapped file; of a subset, only the places are in memory."""

    store: Tensor  # uint8 [M, 3, H, W], the whole file
    rows: Tensor  # int64 [N], each image's place in the file
    labels: Tensor  # int64 [N]
    index: Tensor  # int64 [N]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in the file, in pixels."""
        height, width = self.store.shape[-2:]
        return height, width

    @property
    def images(self) -> Tensor:
        """The pixels, copied into memory: uint8 ``[N, 3, H, W]``."""
        return self.store[self.rows]

    def take(self, positions: Tensor) -> MappedSplit:
        """The images at `positions` (int64 ``[n]``): places, labels and indices are copied, pixels stay in the mapped
        file."""
        rows = self.rows[positions.to(self.rows.device)]
        return MappedSplit(self.store, rows, self.labels[positions], self.index[positions])

    def to(self, device: torch.device) -> Images:
        """On the CPU the mapping stays. Another device gets a copy, or, of more than :data:`MOST_COPIED` bytes, labels
        and indices alone: the pixels are sent as they are asked for."""
        if device.type == "cpu":
            return self
        labels, index = self.labels.to(device), self.index.to(device)
        if len(self) * self._image_bytes > MOST_COPIED:
            return MappedSplit(self.store, self.rows, labels, index)
        return Split(self._copied(device), labels, index)

    def batches(self, parts: Sequence[Tensor], framing: Framing | None = None) -> Iterator[Split]:
        """Copies of the pixels at each of `parts` (int64 ``[B]``) on the labels' device; `framing` is not read: views
        are drawn on the device."""
        if self.labels.device.type == "cpu":
            return (Split(self.store[self.rows[part]], self.labels[part], self.index[part]) for part in parts)
        return self._sent(parts)

    def _sent(self, parts: Sequence[Tensor]) -> Iterator[Split]:
        """The batches, whose pixels a thread reads before they are asked for; the host waits for the device once."""
        device, sizes = self.labels.device, [len(part) for part in parts]
        waiting = deque(torch.split(torch.cat(list(parts)).cpu(), sizes))
        with ThreadPoolExecutor(1, "pixels") as pool:
            read = deque(pool.submit(self._read, waiting.popleft()) for _ in range(min(READ_AHEAD, len(waiting))))
            for part in parts:
                pixels = read.popleft().result().to(device, non_blocking=True)
                read.extend(pool.submit(self._read, waiting.popleft()) for _ in range(min(1, len(waiting))))
                yield Split(pixels, self.labels[part], self.index[part])

    def _read(self, positions: Tensor) -> Tensor:
        """Pixels in memory that a GPU reads by itself, uint8 ``[B, 3, H, W]``."""
        pixels = self.store[self.rows[positions]]
        return pixels.pin_memory() if torch.cuda.is_available() else pixels

    def _copied(self, device: torch.device) -> Tensor:
        """All pixels on a device, of which the host holds few at a time."""
        pixels = torch.empty(len(self), *self.store.shape[1:], dtype=self.store.dtype, device=device)
        size = max(1, COPIED_AT_ONCE // self._image_bytes)
        for start in range(0, len(self), size):
            pixels[start : start + size] = self.store[self.rows[start : start + size]].to(device)
        return pixels

    @property
    def _image_bytes(self) -> int:
        return self.store[0].numel()
