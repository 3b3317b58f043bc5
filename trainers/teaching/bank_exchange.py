"""What machines that share no disk tell each other of the logit bank.

A **pack** is an Arrow file of the entries that one process has computed for one epoch, under the hash of its content,
in the shelf's folder in the storage. Packs are added and read, and never changed, so there is nothing to lock. A
machine that lacks entries fetches the packs that it has not seen, adds their entries to its own blocks, and leaves an
empty file of the pack's name, which says that it has.

Shapes: `n` entries, `C` classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import StorageError
from trainers.storage.files import write_atomically
from trainers.storage.shared import NOWHERE, Storage
from trainers.teaching.bank_files import NAME, SUFFIX, Block, DamagedError, block_name, encoded, locked, opened

_log = logging.getLogger(__name__)
AT_ONCE = 8
"""Packs that are fetched at a time."""
MOST_BYTES = 256_000_000
"""Of packs that are read at a time."""


class Packs:
    """The packs of one shelf.

    Args:
        folder: where the local files lie, and in the storage the packs.
        classes: `C`.
    """

    def __init__(self, folder: Path, classes: int) -> None:
        self._folder = folder
        self._classes = classes

    def fetched(self, storage: Storage, room: Callable[[], int]) -> Iterator[Block]:
        """Entries of the packs that this machine has not seen; they count as seen when the next are asked for.

        Args:
            storage: where they are.
            room: bytes that may be kept; where the packs are more, none are fetched.

        Raises:
            StorageError: when the storage does not answer, or nothing can be written here.
        """
        there = {name: size for name, size in storage.sizes(self._folder).items() if NAME.fullmatch(name)}
        if not there.keys() - self._seen():
            return
        with self._alone():  # of several processes one fetches, and the others wait
            new = {name: there[name] for name in sorted(there.keys() - self._seen())}
            if sum(new.values()) > room():
                return
            if not new:
                yield self._together([])  # another process of this machine has added them
            for names in _batches(new):
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    list(pool.map(storage.pull, [self._folder / name for name in names]))
                yield self._together(names)
                for name in names:
                    write_atomically(self._folder / name, b"", durable=False)

    def give(self, storage: Storage, address: NDArray[np.int64], logits: NDArray[Any]) -> None:
        """Pass on entries that were computed here; raises StorageError."""
        if storage is NOWHERE:
            return
        address, first = np.unique(address, return_index=True)
        content = encoded(address, logits[first])
        path = self._folder / block_name(content)
        write_atomically(path, content, durable=False)
        try:
            storage.push(path, anew=True)
        finally:
            write_atomically(path, b"", durable=False)

    def _seen(self) -> set[str]:
        return {path.name for path in self._folder.glob(f"*{SUFFIX}") if _is_empty(path)}

    def _together(self, names: list[str]) -> Block:
        """The entries of several packs, each once; a damaged one counts as empty, with a warning."""
        blocks = []
        for name in names:
            try:
                blocks.append(opened(self._folder / name, self._classes))
            except (DamagedError, OSError) as error:
                _log.warning("the pack %s is damaged, and what it held will be computed: %s", name, error)
        if not blocks:
            return Block(np.empty(0, np.int64), np.empty((0, self._classes), np.float32))
        address, first = np.unique(np.concatenate([block.address for block in blocks]), return_index=True)
        return Block(address, np.concatenate([block.logits for block in blocks])[first])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / ".lock").open("a", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"cannot write {self._folder}: {error.strerror}") from error
        with file:
            locked(file.fileno(), wait=True)
            yield


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:  # the bank was removed a moment ago
        return False


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Names in runs of at most :data:`MOST_BYTES`, or of one."""
    run: list[str] = []
    for name in sizes:
        if run and sum(sizes[other] for other in run) + sizes[name] > MOST_BYTES:
            yield run
            run = []
        run.append(name)
    if run:
        yield run
