"""The logit bank: what a teacher says of a view of an image, computed once for all trials, seeds and epochs.

A **shelf** holds what one teacher says of one view family over one data set, at one precision. An **entry** is a row of
logits; its address is image * views + view: the image's place in the data set, and which of the family's views it is.
Images are grouped into **parts** of :data:`PART_IMAGES`; a part (:mod:`trainers.teaching.bank_part`) is a folder of
**blocks**, Arrow files of entries in the order of their addresses, memory-mapped by every process that reads them, so
that all of a machine share one copy.

Any number of processes fill a shelf at once. A block appears whole, by one rename, under the hash of its content; who
adds one holds the part's lock, so that two do not compute the same entries, and the system lets go of the lock of a
process that dies. Where locks do not work (some network disks) entries are computed twice and no harm is done: what is
computed for an address does not depend on who computes it, or together with what. Machines that share a storage pass on
what they compute as **packs** (:mod:`trainers.teaching.bank_exchange`).

A bank never keeps more than its budget. It can be removed at any time: open mappings live on, and what is missing is
computed again.

Shapes: `N` entries that a call asks for, `n` of them, `C` classes.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.errors import StorageError
from trainers.storage.content import content_key
from trainers.storage.files import write_atomically
from trainers.storage.shared import NOWHERE, Storage
from trainers.teaching.bank_exchange import Packs
from trainers.teaching.bank_files import FORMAT, SUFFIX, Block
from trainers.teaching.bank_part import Looked, Part

_log = logging.getLogger(__name__)

PART_IMAGES = 256
"""Images of a part: what is locked and written at a time. Few, so that several processes fill a small set together."""
REST_SECONDS = 60.0
"""How long a storage that has failed is left alone."""
OPEN_SHELVES = 2
"""Shelves whose blocks stay mapped: opening thousands of them takes a second, which an epoch need not. Views without
end have a shelf an epoch, and push each other out."""
SHARE_OF_DISK = 0.1
"""Of what the disk has left: the budget where none is set."""
DTYPES: dict[str, torch.dtype] = {"fp16": torch.float16, "fp32": torch.float32}
"""What logits are rounded to, by its name in a recipe."""


@dataclass(frozen=True)
class Work:
    """How entries are best computed."""

    entries: int = PART_IMAGES
    """In one call, about."""
    multiple: int = 1
    """A number of them that wastes nothing: whole passes."""


class LogitBank:
    """All shelves below one folder.

    Args:
        folder: is made when it is first written to.
        budget: bytes that the bank may take; None: a tenth of what the disk has left, the bank's own bytes counted in.
        storage: through which machines pass on what they compute.
    """

    def __init__(self, folder: Path, budget: int | None = None, storage: Storage = NOWHERE) -> None:
        self.folder = folder
        self.budget = budget
        self._storage = storage
        self._alone_until = 0.0
        self._open: dict[str, Shelf] = {}  # those of the latest use last
        self._choosing = threading.Lock()

    def shelf(self, about: dict[str, Any], *, views: int, classes: int, dtype: torch.dtype) -> Shelf:
        """The shelf of what `about` describes: the very one of an earlier call, with its blocks open, if that was among
        the latest.

        Args:
            about: everything that decides the logits, as JSON.
            views: of an image, in the family.
            classes: `C`.
            dtype: float16 or float32.
        """
        layout = {"views": views, "classes": classes, "dtype": str(dtype), "part": PART_IMAGES, "format": FORMAT}
        content = about | layout
        key = content_key(content)
        with self._choosing:
            shelf = self._open.pop(key, None) or Shelf(self, self.folder / key, content, views, classes, dtype)
            self._open[key] = shelf
            while len(self._open) > OPEN_SHELVES:
                del self._open[next(iter(self._open))]
        return shelf

    @contextmanager
    def sharing(self) -> Iterator[Storage]:
        """The storage. Where it fails, the block ends with a warning, and for a while there is none: waiting for one
        that is away takes seconds, every epoch. It costs work, and changes no number."""
        try:
            yield NOWHERE if time.monotonic() < self._alone_until else self._storage
        except StorageError as error:
            self._alone_until = time.monotonic() + REST_SECONDS
            _log.warning("the logit bank goes on with what is on this machine: %s", error)

    def room(self) -> int:
        """Bytes that may still be kept; negative where the bank has more than its budget."""
        used = self.used()
        if self.budget is not None:
            return self.budget - used
        there = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        return int((shutil.disk_usage(there).free + used) * SHARE_OF_DISK) - used

    def used(self) -> int:
        """Bytes of all blocks on this machine's disk."""
        return sum(_size(path) for path in self.folder.glob(f"*/part-*/*{SUFFIX}"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # merged into another a moment ago
        return 0


class Shelf:
    """What one teacher says of one view family; see :meth:`LogitBank.shelf`. Of a process's threads one at a time uses
    it."""

    def __init__(
        self, bank: LogitBank, folder: Path, about: dict[str, Any], views: int, classes: int, dtype: torch.dtype
    ) -> None:
        self._bank = bank
        self._folder = folder
        self._about = about
        self._views = views
        self._classes = classes
        self._dtype = dtype
        self._parts: dict[int, Part] = {}
        self._packs = Packs(folder / "packs", classes)
        self._in_use = threading.RLock()

    def look(self, address: Tensor) -> Looked:
        """Read the entries at `address` (int64 ``[N]``, on the CPU) that are here, and compute none."""
        table = torch.empty(len(address), self._classes, dtype=self._dtype)
        with self._in_use:
            return Looked(table, self._missing(address.numpy(), table))

    def table(
        self,
        address: Tensor,
        compute: Callable[[Tensor], Tensor],
        work: Work = Work(),
        looked: Looked | None = None,
    ) -> Tensor:
        """The entries at `address`: those that are there are read, the others computed, and kept if there is room.

        Args:
            address: int64 ``[N]``, on the CPU.
            compute: logits ``[n, C]`` of the entries at some positions (int64 ``[n]``) of `address`.
            work: how many of them at a time.
            looked: what :meth:`look` has found of them already; it is used up.

        Returns:
            ``[N, C]`` of the shelf's dtype, on the CPU, in memory of its own.

        Raises:
            ValueError: where a computed logit is beyond what the dtype holds. A disk or a storage that fails raises
                nothing: it costs work, and a warning says so.
        """
        with self._in_use:
            return self._completed(looked or self.look(address), address.numpy(), compute, work)

    def _completed(
        self, looked: Looked, wanted: NDArray[np.int64], compute: Callable[[Tensor], Tensor], work: Work
    ) -> Tensor:
        """See :meth:`table`."""
        table, missing = looked.table, looked.missing
        if missing and self._absorb():
            missing = self._missing(wanted, table)
        if not missing:
            return table
        entry = self._classes * self._dtype.itemsize + wanted.itemsize
        if entry * sum(map(len, missing.values())) > self._bank.room():
            everything = torch.from_numpy(np.concatenate(list(missing.values())))
            table[everything] = self.computed(everything, compute)
            return table
        fill = _Filling(self, wanted, table, compute, work)
        taken = fill.free(missing)
        for part, lacking in taken.items():  # others are at work on these
            fill.when_free(part, lacking)
        if fill.kept:
            new = np.concatenate(fill.kept)
            with self._bank.sharing() as storage:
                self._packs.give(storage, wanted[new], table[torch.from_numpy(new)].numpy())
        return table

    def _missing(self, wanted: NDArray[np.int64], table: Tensor) -> dict[Part, NDArray[np.int64]]:
        """Read what is here; the positions of what is not, by part."""
        missing = {}
        for part, positions in self._by_part(wanted):
            part.open_new()
            lacking = positions[~part.read(wanted[positions], table, positions)]
            if len(lacking):
                missing[part] = lacking
        return missing

    def _absorb(self) -> bool:
        """Add what other machines have computed since to the parts here; whether there was any."""
        came = False
        with self._bank.sharing() as storage:
            for block in self._packs.fetched(storage, self._bank.room):
                came = True
                if len(block):
                    self._add(block)
        return came

    def _add(self, block: Block) -> None:
        """Add the entries that are not here to their parts. Raises StorageError when the disk is full."""
        known = torch.from_numpy(block.logits)
        for part, positions in self._by_part(block.address):
            with part.claim(wait=True):
                part.open_new()
                new = positions[~part.read(block.address[positions], known, positions)]
                if len(new):
                    part.add(block.address[new], block.logits[new])

    def _by_part(self, wanted: NDArray[np.int64]) -> Iterator[tuple[Part, NDArray[np.int64]]]:
        """The parts that hold some of `wanted`, with the positions of these."""
        order = np.argsort(wanted, kind="stable")  # rising within a part too, which makes its search cheap
        numbers, starts = np.unique(wanted[order] // (self._views * PART_IMAGES), return_index=True)
        for number, positions in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            if number not in self._parts:
                self._parts[number] = Part(self._folder / f"part-{number:04d}", self._classes)
            yield self._parts[number], positions

    def computed(self, positions: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Logits ``[n, C]`` of the entries at `positions` (int64 ``[n]``), rounded to the shelf's dtype, on the CPU.

        Raises:
            ValueError: where a number is beyond what the dtype holds.
        """
        exact = compute(positions)
        rounded = exact.to("cpu", self._dtype)
        if bool(exact.isfinite().all()) and not bool(rounded.isfinite().all()):
            raise ValueError(
                f"a teacher's logit of {exact.abs().max():.3g} does not fit into {self._dtype}; teacher_logits: fp32"
                " in the recipe keeps it"
            )
        return rounded

    def describe(self) -> None:
        """Write a file for whoever looks into the folder; nothing reads it."""
        about = self._folder / "about.json"
        if not about.exists():
            write_atomically(about, json.dumps(self._about, indent=2, sort_keys=True).encode() + b"\n")


@dataclass(frozen=True)
class _Filling:
    """What one call of :meth:`Shelf.table` computes and keeps."""

    shelf: Shelf
    wanted: NDArray[np.int64]
    table: Tensor
    compute: Callable[[Tensor], Tensor]
    work: Work
    kept: list[NDArray[np.int64]] = field(default_factory=list)
    """Positions of what was computed and added."""

    def free(self, missing: dict[Part, NDArray[np.int64]]) -> dict[Part, NDArray[np.int64]]:
        """Complete the parts that nobody else holds; the others are returned.

        Parts are held until a call's worth of entries is together. Entries beyond whole passes are left for the next
        call, as long as there is one.
        """
        taken: dict[Part, NDArray[np.int64]] = {}
        waiting = deque(missing.items())
        while waiting:
            with ExitStack() as held:
                mine: dict[Part, NDArray[np.int64]] = {}
                while waiting and sum(map(len, mine.values())) < self.work.entries:
                    part, lacking = waiting.popleft()
                    if held.enter_context(part.claim(wait=False)):
                        mine[part] = self._still(part, lacking)
                    else:
                        taken[part] = lacking
                if waiting:
                    waiting.extendleft(self._beyond(mine))
                self._keep(mine)
        return taken

    def _beyond(self, mine: dict[Part, NDArray[np.int64]]) -> list[tuple[Part, NDArray[np.int64]]]:
        """Take from `mine`, and return, what is beyond whole passes."""
        rest, left = sum(map(len, mine.values())) % self.work.multiple, []
        while rest:
            part, lacking = mine.popitem()
            stays = max(len(lacking) - rest, 0)
            mine |= {part: lacking[:stays]} if stays else {}
            left.append((part, lacking[stays:]))
            rest -= len(lacking) - stays
        return left

    def when_free(self, part: Part, lacking: NDArray[np.int64]) -> None:
        """Complete a part when nobody else holds it any longer."""
        with part.claim(wait=True):
            self._keep({part: self._still(part, lacking)})

    def _still(self, part: Part, lacking: NDArray[np.int64]) -> NDArray[np.int64]:
        """What a part lacks, now that it is ours; what was added before is read."""
        part.open_new()
        missing: NDArray[np.int64] = lacking[~part.read(self.wanted[lacking], self.table, lacking)]
        return missing

    def _keep(self, mine: dict[Part, NDArray[np.int64]]) -> None:
        """Compute entries of parts that are ours, all in one call, and add them to these."""
        mine = {part: lacking for part, lacking in mine.items() if len(lacking)}
        if not mine:
            return
        together = torch.from_numpy(np.concatenate(list(mine.values())))
        self.table[together] = self.shelf.computed(together, self.compute)
        try:
            self.shelf.describe()
            for part, lacking in mine.items():
                part.add(self.wanted[lacking], self.table[torch.from_numpy(lacking)].numpy())
                self.kept.append(lacking)
        except StorageError as error:
            _log.warning("the logit bank does not keep what it computed: %s", error)
