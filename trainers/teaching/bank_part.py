"""A part of a shelf of the logit bank: the entries of some images, in a folder of blocks with a lock of its own.

Blocks are Arrow files (:mod:`trainers.teaching.bank_files`) that are added and merged, never changed. Adding is for
whoever holds the part's lock; reading is for anybody at any time.

Shapes: `n` entries asked for, `N` rows of the table they are copied to, `C` classes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainers.errors import StorageError
from trainers.storage.files import write_atomically
from trainers.teaching.bank_files import SUFFIX, Block, DamagedError, block_name, encoded, locked, opened

_log = logging.getLogger(__name__)

MOST_BLOCKS = 32
"""Blocks of a part before its smaller half is merged into one."""


class Part:
    """The blocks of some images.

    Args:
        folder: where they lie; it is made when the part is first claimed.
        classes: `C`.
    """

    def __init__(self, folder: Path, classes: int) -> None:
        self.folder = folder
        self._classes = classes
        self._blocks: dict[str, Block] = {}
        self._sorted: list[Block] | None = None  # of these, as long as none comes or goes

    def read(self, wanted: NDArray[np.int64], table: Tensor, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Copy entries out of the open blocks.

        Args:
            wanted: addresses ``[n]``.
            table: ``[N, C]``, is written to.
            positions: ``[n]``, the rows of `table` that the entries belong in.

        Returns:
            ``[n]``: which of the entries the blocks hold; the rows of the others stay as they are.
        """
        held = np.zeros(len(wanted), dtype=np.bool_)
        out, left, keys = table.numpy(), np.arange(len(wanted)), wanted
        for block in self._largest_first():
            rows = block.address.searchsorted(keys)
            np.minimum(rows, len(block) - 1, out=rows)
            hit = block.address[rows] == keys
            at = left[hit]
            if not len(at):
                continue
            out[positions[at]] = block.logits[rows[hit]]
            held[at] = True
            if len(at) == len(left):
                break
            missed = ~hit
            left, keys = left[missed], keys[missed]
        return held

    def _largest_first(self) -> list[Block]:
        """The open blocks that hold something."""
        if self._sorted is None:
            self._sorted = sorted(filter(len, self._blocks.values()), key=len, reverse=True)
        return self._sorted

    def open_new(self) -> None:
        """Map blocks that have appeared since; let go of those that were merged into others.

        A damaged block is removed, with a warning; one that cannot be opened is passed over, with another.
        """
        names = self._names()
        if names == self._blocks.keys():
            return
        self._sorted = None
        for name in names - self._blocks.keys():
            try:
                self._blocks[name] = opened(self.folder / name, self._classes)
            except FileNotFoundError:
                continue  # merged into another a moment ago, which the next call finds
            except OSError as error:
                _log.warning("%s cannot be opened, and what it holds will be computed: %s", self.folder / name, error)
            except DamagedError as error:
                _log.warning("%s is damaged, and what it held will be computed again: %s", self.folder / name, error)
                self._remove(name)
        self._blocks = {name: block for name, block in self._blocks.items() if name in names}

    def _names(self) -> set[str]:
        """The files of blocks in the folder; it is listed every epoch, so quickly."""
        try:
            with os.scandir(self.folder) as files:
                return {file.name for file in files if file.name.endswith(SUFFIX) and not file.name.startswith(".")}
        except OSError:  # nobody has made it yet, or somebody has removed the bank
            return set()

    def _remove(self, name: str) -> None:
        """Remove a block's file; one that stays is read again by whoever comes next."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s cannot be removed: %s", self.folder / name, error)

    def add(self, address: NDArray[np.int64], logits: NDArray[Any]) -> None:
        """Keep new entries, and merge the smaller half of the blocks when there are many. Under the part's lock.

        Args:
            address: ``[n]``, in any order.
            logits: ``[n, C]``, of the shelf's dtype.

        Raises:
            StorageError: when the disk is full, or does not give back what was written.
        """
        self._sorted = None
        self._write(address, logits)
        if len(self._blocks) > MOST_BLOCKS:
            smaller = sorted(self._blocks, key=lambda name: len(self._blocks[name]))[: MOST_BLOCKS // 2]
            merged = [self._blocks[name] for name in smaller]
            self._write(
                np.concatenate([block.address for block in merged]), np.concatenate([block.logits for block in merged])
            )
            for name in smaller:
                self._remove(name)
                del self._blocks[name]

    def _write(self, address: NDArray[np.int64], logits: NDArray[Any]) -> None:
        address, first = np.unique(address, return_index=True)
        content = encoded(address, logits[first])
        name = block_name(content)
        write_atomically(self.folder / name, content, durable=False)  # its checksum tells if the machine went down
        try:
            self._blocks[name] = opened(self.folder / name, self._classes)
        except (DamagedError, OSError) as error:  # the disk is at fault, or somebody has removed the bank
            raise StorageError(f"{self.folder / name} does not read back as it was written: {error}") from error

    @contextmanager
    def claim(self, wait: bool) -> Iterator[bool]:
        """Hold the part's lock; yields False where another process has it and we do not `wait`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("a", encoding="utf-8")
        except OSError as error:
            _log.warning("the logit bank cannot be written (%s)", error)
            yield True
            return
        with file:
            yield locked(file.fileno(), wait)


@dataclass(frozen=True)
class Looked:
    """What a shelf held of the entries at some addresses when it was looked at."""

    table: Tensor
    """``[N, C]`` of the shelf's dtype, on the CPU; rows that are missing hold anything."""
    missing: dict[Part, NDArray[np.int64]]
    """Positions of what the shelf did not hold, by part."""
