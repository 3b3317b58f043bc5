"""The ledger in the storage, from which a sweep goes on on another machine when its driver's is lost.

The ledger itself is SQLite, which no object store and few network disks can hold; it lies on the driver's disk. While a
sweep runs, a thread gives the storage a snapshot of it every :data:`PAUSE_SECONDS`, and at the end, with a **label**
beside it: how far it goes and whose driver made it. What ends up in the storage is therefore at most one pause behind
what the driver knew; a trial that ended in between goes on from its last checkpoint, which is not removed before a
snapshot knows of its end.

An object store has no lock that a dead driver would let go of. So drivers claim a sweep (:mod:`sweep.ledger.lease`),
and one that finds another's claim or label listens first whether it still changes: see :func:`take_over`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from search_spaces.schema import NAME_PATTERN
from sweep.layout import Root, SweepPaths
from sweep.ledger.checks import WAY_OUT
from sweep.ledger.label import LONGEST_PATIENCE, Label, read_label
from sweep.ledger.lease import Lease
from sweep.ledger.schema import LaterVersionError
from sweep.ledger.store import Ledger
from trainers.errors import InputError, StorageError
from trainers.storage.files import write_atomically

_log = logging.getLogger(__name__)
PAUSE_SECONDS = 30.0
SHARE_OF_TIME = 0.1
"""Most of the time that is spent on snapshots; where one takes long, the pauses are longer."""

READS, READ_PAUSE_SECONDS = 3, 0.2
"""Of a label that is no label: it may have changed while it was read."""


@contextmanager
def take_over(root: Root, name: str, note: Callable[[str], None]) -> Iterator[Lease]:
    """Make this machine the one that runs a sweep: no other driver does, and the ledger here is the storage's.

    Takes a moment, or the other driver's patience where it was on another machine and has not said that it ended.

    Raises:
        BusyError: when another driver is at work, or begins at the same moment.
        InputError: when the storage holds another sweep of that name.
        StorageError: when the storage does not answer.
    """
    lease = Lease(root, name)
    lease.take(note, lambda: label_of(root, name))
    try:
        restore(root, name)
        yield lease
    finally:
        lease.close()


def restore(root: Root, name: str | None) -> None:
    """Bring the ledger here up to the storage's, where that knows more or there is none here.

    A ledger that knows what the snapshot does not, because it and another driver went on apart, is set aside.

    Args:
        root: whose storage it is; without one nothing happens.
        name: the sweep; None takes the one that the storage heard of last.

    Raises:
        InputError: when the storage holds another sweep of that name.
        StorageError: when the storage does not answer, or its snapshot is damaged.
    """
    chosen = name or _latest(root)
    label = label_of(root, chosen) if chosen else None
    if chosen is None or label is None:
        return
    paths = root.sweep(chosen)
    end: tuple[int, float] | None = None
    if paths.ledger.exists():
        with Ledger(paths.ledger) as here:
            if here.id != label.id:
                raise InputError(
                    f"the storage {root.storage.uri} holds another sweep '{chosen}' (last run on {label.host}) than"
                    f" {paths.folder}: give the spec another name, or choose another --root or --storage"
                )
            if holds(here, label.seq, label.time):
                return
            end = end_of(here)
    fetched = fetched_of(root, chosen, label)
    with Ledger(fetched) as there:
        known = end is None or holds(there, *end)
        last = end_of(there)
    put_in_place(paths, fetched, last[1], keep=not known)
    root.storage.pull(root.teachers, "*/passport.json")  # whose accuracies stand in its table


def fetched_of(root: Root, name: str, label: Label) -> Path:
    """The snapshot that a label names, fetched, and found to be a whole ledger and the label's.

    Raises:
        LaterVersionError: when it is of a later version than can be read.
        StorageError: when it is not; nothing of it is left here.
    """
    fetched, store = root.sweep(name).snapshots / label.file, f"the storage {root.storage.uri}"
    root.storage.pull(fetched, anew=True)
    if not fetched.is_file():
        raise StorageError(f"{store} lacks {label.file} of sweep '{name}', which its label names")
    try:
        with Ledger(fetched) as there:
            there.verify()
            if there.id != label.id or not holds(there, label.seq, label.time):
                raise StorageError("it is not the one of its label")
            if any("/" in name or name in (".", "..") for name in _names(there)):
                raise StorageError("it names files that do not lie below the sweep")
    except StorageError as error:
        for end in ("", "-wal", "-shm"):
            fetched.with_name(fetched.name + end).unlink(missing_ok=True)
        if isinstance(error, LaterVersionError):  # it is whole: nobody is to remove it
            raise LaterVersionError(f"{store}: {label.file} of sweep '{name}'") from error
        why = str(error).removesuffix(f"; {WAY_OUT}")  # which is that of a ledger of this machine's
        raise StorageError(
            f"{store} has a damaged {label.file} of sweep '{name}' ({why}); {_way_out(root, name)}"
        ) from error
    return fetched


def _names(ledger: Ledger) -> Iterator[str]:
    """What paths are made of: the trials' folders, their teachers' hashes, the reports' files."""
    for event in ledger.events():
        if event.kind == "sweep":  # whose file is the spec's, wherever that lies
            continue
        parts = [event.body, *(event.body.get(part) for part in ("teacher", "page"))]
        named = [part.get(field) for part in parts if isinstance(part, dict) for field in ("figure", "hash", "file")]
        yield from (name for name in (event.trial, *named) if isinstance(name, str))


def put_in_place(paths: SweepPaths, fetched: Path, changed: float, keep: bool) -> None:
    """Put the fetched snapshot in the ledger's place, dated like its last event."""
    if keep:
        aside = paths.folder / f"ledger-aside-{time.time():.0f}.db"
        paths.ledger.replace(aside)
        _log.warning("%s has gone on elsewhere; what only this machine knew of it is kept in %s", paths.folder, aside)
    for left_over in ("-wal", "-shm"):
        paths.ledger.with_name(paths.ledger.name + left_over).unlink(missing_ok=True)
    os.utime(fetched, (changed, changed))
    fetched.replace(paths.ledger)


def label_of(root: Root, name: str) -> Label | None:
    """The label in the storage. Raises StorageError where it is none."""
    place = root.sweep(name).snapshot_label
    for left in reversed(range(READS)):
        content = root.storage.read(place)
        if content is None:
            return None
        try:
            return read_label(content)
        except ValidationError as error:
            if left == 0:
                raise StorageError(
                    f"the storage {root.storage.uri} has a damaged label of sweep '{name}'; {_way_out(root, name)}"
                ) from error
        time.sleep(READ_PAUSE_SECONDS)
    return None


def _way_out(root: Root, name: str) -> str:
    """What helps where the storage's snapshot cannot be used."""
    snapshots = root.sweep(name).snapshots.relative_to(root.path)
    return f"remove {snapshots} there: the next run, on the machine that has the ledger, gives it anew"


def stored(root: Root) -> set[str]:
    """The sweeps that have a snapshot in the storage."""
    pattern = root.sweep("*").snapshot_label.relative_to(root.sweeps).as_posix()
    found = {Path(name).parts[0] for name in root.storage.sizes(root.sweeps) if Path(name).match(pattern)}
    return {name for name in found if re.fullmatch(NAME_PATTERN, name)}


def _latest(root: Root) -> str | None:
    """The sweep whose driver wrote to the storage last."""
    labels = {name: label for name in stored(root) if (label := label_of(root, name)) is not None}
    return max(labels, key=lambda name: labels[name].time, default=None)


def end_of(ledger: Ledger) -> tuple[int, float]:
    """`seq` and time of the last event."""
    seq = ledger.last_seq()
    return seq, next((event.time for event in ledger.events(after=seq - 1, limit=1)), 0.0)


def holds(ledger: Ledger, seq: int, when: float) -> bool:
    """Whether an event of that `seq` and time is in the ledger; the beginning is in every one."""
    event = next(ledger.events(after=seq - 1, limit=1), None)
    return seq == 0 or (event is not None and (event.seq, event.time) == (seq, when))


# -- while a sweep runs ------------------------------------------------------------------------------------------------


@contextmanager
def kept(
    root: Root, name: str, note: Callable[[str], None], lost: Callable[[], object] = lambda: None
) -> Iterator[Callable[[Path], None]]:
    """Keep the storage's snapshot up to date, and give it the reports at the end; nothing once the sweep is `lost` to
    another driver.

    Yields a function that takes a folder, which the storage may forget when the ledger's next snapshot is there.

    Raises:
        StorageError: when the first snapshot cannot be given.
    """
    if not root.storage.uri:
        yield lambda folder: None
        return
    keeper = Keeper(root, name, note, lost)
    keeper.keep()
    keeper.start()
    try:
        yield keeper.drop
    finally:
        keeper.close()


class Keeper(threading.Thread):
    """Gives the storage snapshots of a ledger, in the background."""

    def __init__(
        self, root: Root, name: str, note: Callable[[str], None], lost: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(name="ledger-keeper", daemon=True)
        self._root, self._paths, self._note, self._lost = root, root.sweep(name), note, lost
        self._closing = threading.Event()
        self._dropped: list[Path] = []
        self._files: list[str] = []
        self._seq, self._took, self._told, self._tidied = -1, 0.0, False, 0

    def drop(self, folder: Path) -> None:
        """Remove a folder from the storage after the next snapshot."""
        self._dropped.append(folder)

    def run(self) -> None:
        """Give a snapshot after every pause, until the keeper is closed."""
        while not self._closing.wait(self._pause):
            self._try(self.keep)

    def close(self) -> None:
        """Give the last snapshot and the reports."""
        self._closing.set()
        self.join()
        self._try(self._give_reports)
        if not self._try(lambda: self.keep(over=True)):
            self._note("the storage lacks the end of this sweep; the same command delivers it")

    def keep(self, *, over: bool = False) -> None:
        """Give a snapshot, if there is something new, and a sign of life; then forget what is dropped."""
        dropped = list(self._dropped)
        started = time.monotonic()
        with Ledger(self._paths.ledger, make=False) as ledger:
            seq, when = end_of(ledger)
            if seq != self._seq:
                self._give(ledger, f"{seq:09d}-{uuid.uuid4().hex[:8]}.db")
                self._seq, self._took = seq, time.monotonic() - started
            patience = min(1.5 * self._pause + 2 * self._took, LONGEST_PATIENCE)
            here, now = socket.gethostname(), time.time()
            label = Label(ledger.id, self._files[-1], seq, when, here, os.getpid(), now, patience, over)
        write_atomically(self._paths.snapshot_label, json.dumps(asdict(label)).encode())
        self._root.storage.push(self._paths.snapshot_label, anew=True)
        self._tidy()
        for folder in dropped:
            self._root.storage.remove(folder)
            self._dropped.remove(folder)

    def _give(self, ledger: Ledger, name: str) -> None:
        path = self._paths.snapshots / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ledger.copy(path)
        try:
            self._root.storage.push(path)
        finally:
            path.unlink()
        self._files.append(name)

    def _tidy(self) -> None:
        """Remove snapshots but the last two: somebody may be about to fetch the one before."""
        if len(self._files) == self._tidied:
            return
        for name in self._root.storage.sizes(self._paths.snapshots):
            if name not in (*self._files[-2:], self._paths.snapshot_label.name):
                self._root.storage.remove(self._paths.snapshots / name)
        self._tidied = len(self._files)

    @property
    def _pause(self) -> float:
        return max(PAUSE_SECONDS, self._took / SHARE_OF_TIME)

    def _give_reports(self) -> None:
        for path in (self._paths.spec, self._paths.leaderboard, self._paths.figure, self._paths.report):
            if path.is_file():
                self._root.storage.push(path, anew=True)

    def _try(self, do: Callable[[], None]) -> bool:
        """Whether it could be done; the first failure is told, and the next turn tries again. Nothing is done to a
        sweep that is another driver's."""
        try:
            if not self._lost():
                do()
        except StorageError as error:
            if not self._told:
                self._told = True
                self._note(f"{error}; going on")
            return False
        return True
