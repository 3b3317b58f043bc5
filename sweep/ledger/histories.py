"""What the searches of a divided sweep have done, as files: who goes on with one needs what it has asked for, in order,
and what came of that.

A search's history is a row of parts, ``CELL.0000.json``, ``CELL.0001.json`` and so on, each made once and never changed
by who has claimed the search at that time. Who takes it over makes the next part before all else, one without events:
from then on the one that had it before, if it only stood still, can add no more. The sweep's ledger takes all of it in
when nobody trains any more, and closes it; what that ledger knows then is given out as one part when others divide the
sweep again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweep.layout import SweepPaths
from sweep.ledger.kinds import Kind
from sweep.ledger.once import made_once
from sweep.ledger.store import Entry, Event, Ledger
from trainers.errors import StorageError

OF_CELLS: tuple[Kind, ...] = ("ask", "race", "chosen")
"""Events of a search itself."""
OF_TRIALS: tuple[Kind, ...] = ("start", "epoch", "final", "pruned", "failed")
"""Events of the trials that it has asked for."""


@dataclass(frozen=True)
class Part:
    """One step of a history."""

    events: list[Entry] = field(default_factory=list)
    anew: bool = False
    """Whether the history begins with it, whatever parts there were before."""
    won: list[dict[str, Any]] | None = None
    """The slots that confirm what the search has won, where it has come to its end."""
    spec: str = ""
    """By which it has (:attr:`sweep.ledger.claims.Claims.spec`)."""


@dataclass(frozen=True)
class History:
    """What is told of a search."""

    events: list[Entry]
    parts: int
    """How many there are, and so the number of the next."""


class Histories:
    """The histories of a sweep's searches, by cell.

    Raises:
        StorageError: from any method, where they cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "searches"

    def last(self) -> dict[str, int]:
        """The number of the last part of each search that has any."""
        try:
            names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        except OSError as error:
            raise StorageError(f"cannot read {self._folder}: {error.strerror}") from error
        found: dict[str, int] = {}
        for name in names:
            cell, _, number = name.removesuffix(".json").rpartition(".")
            if cell and number.isdecimal():
                found[cell] = max(found.get(cell, 0), int(number))
        return found

    def read(self, cell: str) -> History:
        """All that is told of a search."""
        parts: list[Part] = []
        for number in range(self.last().get(cell, -1), -1, -1):
            parts.insert(0, self.part(cell, number))
            if parts[0].anew:
                break
        return History([event for part in parts for event in part.events], self.last().get(cell, -1) + 1)

    def part(self, cell: str, number: int) -> Part:
        """One part of a search's history."""
        path = self._path(cell, number)
        try:
            part = Part(**json.loads(path.read_bytes()))
            events: list[Entry] = [(kind, trial, epoch, body) for kind, trial, epoch, body in part.events]
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise StorageError(
                f"{path} is not what was written; remove {cell}.*.json there, and the search begins anew"
            ) from error
        return Part(events, part.anew, part.won, part.spec)

    def tell(self, cell: str, number: int, part: Part) -> bool:
        """Add the next part; False where there is one of that number already, and the search is another's."""
        return made_once(self._path(cell, number), json.dumps(asdict(part)).encode())

    def taken_over(self, cell: str) -> History:
        """All that is told of a search that was claimed just now, to which nobody else can add from then on."""
        history = self.read(cell)
        while not self.tell(cell, history.parts, Part()):
            history = self.read(cell)
        return History(history.events, history.parts + 1)

    def _path(self, cell: str, number: int) -> Path:
        return self._folder / f"{cell}.{number:04d}.json"


def asked_by(ledger: Ledger, cell: str) -> set[str]:
    """Keys of the trials that a search has asked for."""
    return {event.trial or "" for event in ledger.events("ask") if event.body["cell"] == cell}


def news(ledger: Ledger, cell: str, *, after: int = 0, told: AbstractSet[str] = frozenset()) -> list[Entry]:
    """What a ledger has of a search, in its order.

    Args:
        ledger: of who has run it.
        cell: whose search.
        after: the `seq` of the last event that was told.
        told: keys of the trials that were asked for until then. Of one that was asked for since, it may have been known
            before, all is new.
    """
    asked = asked_by(ledger, cell)
    before = [
        event for key in sorted(asked - told) for event in ledger.events(*OF_TRIALS, trial=key) if event.seq <= after
    ]
    since = ledger.events(*OF_CELLS, *OF_TRIALS, after=after)
    return [event[2:] for event in [*before, *(event for event in since if _is_of(event, cell, asked))]]


def _is_of(event: Event, cell: str, asked: AbstractSet[str]) -> bool:
    return event.body["cell"] == cell if event.kind in OF_CELLS else event.trial in asked


def bring(ledger: Ledger, histories: Iterable[History]) -> None:
    """Write searches' events into a ledger, as far as it has not got them: of each search all or none."""
    known = {_name(event[2:]) for event in ledger.events(*OF_CELLS, *OF_TRIALS)}
    over = set(ledger.finals())
    for history in histories:
        ledger.append_all(_unknown(history.events, known, over))


def _unknown(events: Iterable[Entry], known: set[str], over: set[str]) -> Iterator[Entry]:
    """What is new, by what is known and which trials have ended for good, whoever else has begun them, too."""
    for event in events:
        kind, trial, *_ = event
        if _name(event) not in known and not (trial in over and kind in OF_TRIALS):
            known.add(_name(event))
            over |= {trial} if kind == "final" and trial else set()
            yield event


def _name(event: Entry) -> str:
    """What tells an event from others: of an epoch, and of an end for good, there is one."""
    kind, trial, epoch, body = event
    return json.dumps([kind, trial, epoch, None if kind in ("epoch", "final") else body], sort_keys=True)


def take_in(paths: SweepPaths, ledger: Ledger, cells: Collection[str]) -> set[str]:
    """Write into the sweep's ledger what those who divided it have searched, each search at once, and close that.

    Args:
        paths: of the sweep.
        ledger: its own.
        cells: that it searches.

    Returns:
        The ids of the slots that its searches have asked for, races and what was won included.
    """
    histories = Histories(paths.divided)
    told = {cell: histories.read(cell) for cell in sorted(histories.last().keys() & set(cells))}
    told = {cell: history for cell, history in told.items() if history.events}
    bring(ledger, told.values())
    for cell, history in told.items():
        histories.tell(cell, history.parts, Part(anew=True))
    return set(_slots(ledger)) if paths.divided.is_dir() else set()


def _slots(ledger: Ledger) -> Iterator[str]:
    for event in ledger.events(*OF_CELLS):
        slots = [event.body["slot"]] if event.kind == "ask" else event.body["slots"]
        yield from (slot["id"] for slot in slots)


def give_out(paths: SweepPaths, ledger: Ledger, cells: Iterable[str]) -> None:
    """Tell those who divide a sweep what its ledger has of its searches, where they know nothing of them."""
    histories = Histories(paths.divided)
    for cell in cells:
        known = histories.read(cell)
        events = [] if known.events else news(ledger, cell)
        if events:
            histories.tell(cell, known.parts, Part(events, anew=True))
