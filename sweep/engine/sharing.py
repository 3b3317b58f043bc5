"""Takes over what other sweeps below the root have finished: the events into the ledger, the weights into the folder.

From then on the sweep has the trial as one of its own, with a note of where it was trained, and the other sweep may be
removed. The weights come first and the events in one transaction, so a driver that is killed leaves a whole trial or
none.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.engine.display import Display
from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.layout import SweepPaths
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.neighbours import WEIGHTS, Neighbours, Offer, Whole
from sweep.ledger.origin import counted
from sweep.ledger.store import Entry, Ledger
from trainers.errors import CheckpointError, StorageError
from trainers.storage.files import write_atomically

PLACE = ("slot", "name", "stage", "pair", "method", "label", "row", "recipe", "seed", "config", "devices")
"""Fields of a start's body that are those of the sweep that takes a trial over; all others tell how it was trained. It
has cost this sweep no device."""


class Sharing:
    """What other sweeps have finished, for one that runs.

    Args:
        paths: of the sweep that runs.
        ledger: its own.
        protocol: by which its table is made.
        display: which hears of what was taken over.
        drop: takes a folder that the storage may forget when it knows the ledger.
    """

    def __init__(
        self,
        paths: SweepPaths,
        ledger: Ledger,
        protocol: str,
        display: Display,
        drop: Callable[[Path], None] = lambda folder: None,
    ) -> None:
        self._paths, self._ledger, self._protocol = paths, ledger, protocol
        self._display, self._drop = display, drop
        self._neighbours = Neighbours(paths.root, paths.folder.name)
        self._again = {event.trial for event in ledger.events("again")}
        self._told: set[str] = set()
        self.taken: Counter[str] = Counter()
        """How many trials were taken over in this run, by the sweep that has trained them."""

    def begin(self, queue: TrialQueue) -> None:
        """Take over what other sweeps have finished of all that waits, and say so; from now on of all that comes."""
        queue.take = self.take
        queue.take_over()
        total = self.taken.total()
        if total:
            told = f"{total} trial{'s' if total > 1 else ''} taken over, not trained again"
            self._display.note(f"{told}: {counted(self.taken)}")

    def take(self, job: Job) -> Whole | None:
        """Take a student's trial over; what the ledger has of it by then, or None where nobody has finished it.

        One that somebody has asked for again is trained here.

        Raises:
            StorageError: when it cannot be written here.
        """
        if job.key in self._again:
            return None
        taken = next(filter(None, (self._taken(job, offer) for offer in self._offers(job.key))), None)
        for name, remark in self._neighbours.remarks.items():
            if name not in self._told:
                self._told.add(name)
                self._display.note(remark)
        return taken

    def _offers(self, key: str) -> list[Offer]:
        return self._neighbours.offers([key]).get(key, [])

    def _taken(self, job: Job, offer: Offer) -> Whole | None:
        """What was taken over; None, with a remark, where it is not what it should be."""
        whole = self._neighbours.read(offer)
        if whole is None or not self._bring(job, offer, whole):
            return None
        noted = offer.origin.noted()
        ours = start_body(job.slot, job.trial, devices=0.0)
        start = whole.start | {name: ours[name] for name in PLACE} | noted
        epochs = self._epochs(job.key, whole)
        final = whole.final | final_body("finished", epochs, self._protocol) | noted
        entries: list[Entry] = [("start", job.key, None, start)]
        entries += [("epoch", job.key, epoch["epoch"], epoch) for epoch in epochs]
        if not self._ledger.append_all([*entries, ("final", job.key, None, final)]):
            return None
        self._drop_checkpoints(self._paths.trial(job.key) / "checkpoints")
        self.taken[offer.origin.sweep] += 1
        self._display.taken(job, offer.origin.sweep, final)
        return Whole(start, epochs, final, self._weights(job.key))

    def _epochs(self, key: str, whole: Whole) -> list[dict[str, Any]]:
        """The trial's epochs as the ledger is about to have them: its own, as far as it was trained here, stay."""
        own = {event.epoch: event.body for event in self._ledger.events("epoch", trial=key)}
        return [own.get(epoch["epoch"], epoch) for epoch in whole.epochs]

    def _weights(self, key: str) -> Path:
        return self._paths.trial(key) / WEIGHTS

    def _bring(self, job: Job, offer: Offer, whole: Whole) -> bool:
        """Copy the weights; whether they are there and whole."""
        from trainers.storage.checkpoint import from_bytes

        storage = self._paths.storage
        try:
            with suppress(StorageError):  # they may be here already
                storage.pull(whole.weights)
            content = whole.weights.read_bytes()
            from_bytes(content, f"weights {whole.weights}")
        except (OSError, CheckpointError) as error:
            self._neighbours.refuse(offer, str(error))
            return False
        write_atomically(self._weights(job.key), content)
        storage.push(self._weights(job.key), anew=True)
        return True

    def _drop_checkpoints(self, checkpoints: Path) -> None:
        """Of a trial that had begun here."""
        if checkpoints.exists():
            shutil.rmtree(checkpoints, ignore_errors=True)
            self._drop(checkpoints)
