"""Trials that have ended, as files: what those who divide a plan tell each other, and the sweep's ledger in the end.

A ledger is SQLite, which no two machines may write, and none may read that another writes. So a member notes what it
trains in a ledger of its own, and puts the whole of a trial that has ended into a file, which appears at once and never
changes. The ledger of the sweep takes them in when all have ended, by one process alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.layout import SweepPaths
from sweep.ledger.store import Entry, Event, Ledger
from trainers.config import TrialConfig
from trainers.errors import StorageError
from trainers.storage.files import write_atomically

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Told:
    """All that is known of a trial that has ended."""

    start: dict[str, Any]
    epochs: list[dict[str, Any]]
    final: dict[str, Any]
    time: float
    """When it was told; seconds since 1970."""

    def entries(self, key: str) -> list[Entry]:
        """As events of a ledger."""
        epochs: list[Entry] = [("epoch", key, epoch["epoch"], epoch) for epoch in self.epochs]
        return [("start", key, None, self.start), *epochs, ("final", key, None, self.final)]


class Ended:
    """The files of a sweep's trials that have ended.

    Raises:
        StorageError: from any method, where they cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "ended"
        self._keys: frozenset[str] = frozenset()
        self._looked = 0.0

    def trials(self, *, anew: bool = False) -> frozenset[str]:
        """Of the trials that have ended, as they were a moment ago."""
        if anew or not self._looked or time.monotonic() - self._looked > LOOK_SECONDS:
            try:
                names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
            except OSError as error:
                raise StorageError(f"cannot read {self._folder}: {error.strerror}") from error
            self._keys = frozenset(name.removesuffix(".json") for name in names if not name.startswith("."))
            self._looked = time.monotonic()
        return self._keys

    def read(self, key: str) -> Told | None:
        """What is told of a trial; None where it has not ended. Raises StorageError for what is another trial's."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        try:
            told = Told(**json.loads(content))
            whole = TrialConfig.model_validate(told.start["config"]).key == key and bool(told.final["state"])
        except (ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            raise StorageError(f"{path} is not what was written; remove it, and the trial is trained again")
        return told

    def tell(self, key: str, ledger: Ledger) -> None:
        """Let everybody know of a trial that has ended in a ledger."""
        events = list(ledger.events("start", "epoch", "final", "retrained", trial=key))
        bodies = {event.kind: event.body for event in events}
        epochs = [event.body for event in events if event.kind == "epoch"]
        final = bodies.get("retrained", bodies["final"])
        said = {"start": bodies["start"], "epochs": epochs, "final": final, "time": _ended(events)}
        write_atomically(self._path(key), json.dumps(said).encode())

    def forget(self, key: str) -> None:
        """Of one that somebody has asked for again."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def _ended(events: list[Event]) -> float:
    return max(event.time for event in events)


def take_in(paths: SweepPaths, ledger: Ledger, planned: AbstractSet[str]) -> int:
    """Write into the sweep's ledger what those who divided it have trained, each trial at once; how many trials.

    Args:
        paths: of the sweep.
        ledger: its own.
        planned: the slots that it wants filled, by id.
    """
    ended = Ended(paths.divided)
    known, again = ledger.finals().keys(), asked_again(ledger)
    taken = 0
    for key in sorted(ended.trials() - known):
        told = ended.read(key)
        if told is not None and told.start["slot"] in planned and told.time > again.get(key, 0.0):
            taken += ledger.append_all(told.entries(key))
    return taken


def give_out(paths: SweepPaths, ledger: Ledger) -> None:
    """Tell those who divide a sweep what its ledger has, and what is to be trained again."""
    ended = Ended(paths.divided)
    for key, when in asked_again(ledger).items():
        told = ended.read(key)
        if told is not None and told.time <= when:
            ended.forget(key)
    for key in ledger.finals().keys() - ended.trials(anew=True):
        ended.tell(key, ledger)


def forget(paths: SweepPaths, keys: Iterable[str]) -> None:
    """Of trials that somebody asks for again, whatever the clocks of those say who trained them."""
    ended = Ended(paths.divided)
    for key in keys:
        ended.forget(key)


def asked_again(ledger: Ledger) -> Mapping[str, float]:
    """When each trial was last asked for again, by key."""
    return {event.trial or "": event.time for event in ledger.events("again")}
