"""What other sweeps below the root have finished: equal keys are equal results, whichever sweep has trained them.

Those that lie in its storage have their ledgers fetched first, once, as far as they are not here.

Their ledgers are only read, and never waited for long: one that is damaged, locked, of a later release or no ledger at
all is left out with a remark, and no sweep fails because of another one's. What a ledger says is checked before it
counts here: each event against its checksum, the config against the key, and that no epoch is missing.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.layout import Root, SweepPaths
from sweep.ledger import checks, facts, lock, others, reading
from sweep.ledger.kinds import KINDS
from sweep.ledger.origin import Origin, origin_of
from sweep.ledger.schema import VERSION, LaterVersionError
from sweep.ledger.shapes import Shapes
from trainers.config import TrialConfig
from trainers.errors import StorageError

PATIENCE_SECONDS = 0.5
"""For a ledger that somebody else has locked."""
PAUSE_SECONDS = 1.0
"""Between two looks at what has changed."""
WEIGHTS = "weights.pt"
_ENDED = """
SELECT (SELECT COUNT(*) FROM events AS epochs WHERE epochs.trial = events.trial AND epochs.kind = 'epoch'), events.*
FROM json_each(?) AS wanted JOIN events ON events.trial = wanted.value
WHERE events.kind = 'final'
"""
_BROKEN = (sqlite3.Error, OSError, StorageError, ValueError, TypeError, KeyError)
"""What reading somebody else's file may end in; pydantic's errors are among them."""


@dataclass(frozen=True)
class Offer:
    """A trial that a sweep below the root has finished."""

    key: str
    lies_in: str
    """The sweep that has it."""
    origin: Origin
    """The one that has trained it, which is mostly the same."""


@dataclass(frozen=True)
class Whole:
    """All that a ledger says of a finished trial."""

    start: dict[str, Any]
    epochs: list[dict[str, Any]]
    """Their bodies, in order, none missing."""
    final: dict[str, Any]
    weights: Path
    """Of the trained network; they may still be in the storage."""


@dataclass
class _Neighbour:
    """A ledger as it was when it was last looked at."""

    paths: SweepPaths
    stamp: tuple[int, ...] = ()
    id: str = ""
    finals: frozenset[str] = frozenset()
    """Keys of the trials that ended for good."""
    again: dict[str, float] = field(default_factory=dict)
    """When a trial was last asked for again, by key: what was known of it before counts no longer."""

    @property
    def name(self) -> str:
        return self.paths.folder.name


class Neighbours:
    """The other sweeps below a root.

    Args:
        root: below which they lie.
        name: of the sweep that looks at them.
    """

    def __init__(self, root: Root, name: str) -> None:
        self._root, self._name = root, name
        self._known: dict[str, _Neighbour] = {}
        self._looked = 0.0
        self._refused: set[tuple[str, str]] = set()
        """Sweeps, and keys of theirs, that were not what they should be."""
        self.remarks: dict[str, str] = {}
        """Of the sweeps that could not be read, why, by name; of the storage, by an empty one."""

    def offers(self, keys: Collection[str]) -> dict[str, list[Offer]]:
        """Which of some trials other sweeps have finished, by key: what was trained last, first."""
        self._look()
        wanted = frozenset(keys)
        offers: dict[str, list[Offer]] = {}
        for one in list(self._known.values()):
            for offer in self._offered(one, wanted & one.finals):
                offers.setdefault(offer.key, []).append(offer)
        return {key: sorted(some, key=_preferred) for key, some in offers.items()}

    def read(self, offer: Offer) -> Whole | None:
        """All that is known of an offered trial; None, with a remark, where that cannot be used."""
        one = self._known[offer.lies_in]
        try:
            with closing(_opened(one.paths)) as database:
                rows = database.execute("SELECT * FROM events WHERE trial = ? ORDER BY seq", (offer.key,)).fetchall()
                return _whole(offer.key, rows, one.paths, Shapes(database, one.paths.ledger))
        except _BROKEN as error:
            self.refuse(offer, _first_line(error))
            return None

    def refuse(self, offer: Offer, why: str) -> None:
        """Let an offered trial be, as it is not what it should be."""
        self._refused.add((offer.lies_in, offer.key))
        self._remark(offer.lies_in, f"not all of sweep '{offer.lies_in}' is taken over: {why}")

    def _remark(self, name: str, remark: str) -> None:
        """The first of each sweep is enough."""
        self.remarks.setdefault(name, remark)

    # -- looking --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Learn what is there, and what has changed since the last time."""
        if self._looked and time.monotonic() - self._looked < PAUSE_SECONDS:
            return
        if not self._looked:
            self._fetch()
        names = [name for name in self._root.names() if name != self._name]
        self._known = {name: self._known.get(name) or _Neighbour(self._root.sweep(name)) for name in names}
        for one in self._known.values():
            stamp = _stamp(one.paths.ledger)
            if stamp != one.stamp:
                one.stamp = stamp
                self._learn(one)
        self._looked = time.monotonic()

    def _fetch(self) -> None:
        """Bring here what lies in the storage."""
        try:
            left_out = others.restore_others(self._root, self._name)
        except StorageError as error:
            self._remark("", f"nothing is taken over from the sweeps of the storage: {_first_line(error)}")
            return
        for name, why in left_out.items():
            self._remark(name, f"nothing is taken over from sweep '{name}' of the storage: {why}")

    def _learn(self, one: _Neighbour) -> None:
        try:
            with closing(_opened(one.paths)) as database:
                one.id = facts.read(database, one.paths.ledger, "id") or ""
                one.finals = frozenset(key for (key,) in database.execute(_keys("trial", "final")))
                one.again = dict(database.execute(f"{_keys('trial, MAX(time)', 'again')} GROUP BY trial"))
        except _BROKEN as error:
            self._leave_out(one, error)

    def _leave_out(self, one: _Neighbour, error: Exception) -> None:
        """Take nothing from a sweep until its ledger changes."""
        self._remark(one.name, f"nothing is taken over from sweep '{one.name}': {_first_line(error)}")
        one.finals = frozenset()

    def _offered(self, one: _Neighbour, keys: Collection[str]) -> list[Offer]:
        """Those of some trials that are there whole, and count."""
        if not keys:
            return []
        try:
            with closing(_opened(one.paths)) as database:
                rows = database.execute(_ENDED, (json.dumps(sorted(keys)),)).fetchall()
                shapes = Shapes(database, one.paths.ledger)
                offers = [offer for count, *row in rows if (offer := _offer(one, row, count, shapes)) is not None]
        except _BROKEN as error:
            self._leave_out(one, error)
            return []
        return [offer for offer in offers if not self._is_void(offer)]

    def _is_void(self, offer: Offer) -> bool:
        """Whether it was refused, or somebody has asked for it again where it was trained."""
        if (offer.lies_in, offer.key) in self._refused:
            return True
        there = (one.again.get(offer.key, 0.0) for one in self._known.values() if one.id == offer.origin.id)
        return any(when > offer.origin.ended for when in there)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].partition(f"; {checks.WAY_OUT}")[0]


def _keys(columns: str, kind: str) -> str:
    return f"SELECT {columns} FROM events WHERE kind = '{kind}'"


def _preferred(offer: Offer) -> tuple[float, bool, str]:
    return -offer.origin.ended, offer.lies_in != offer.origin.sweep, offer.lies_in


def _stamp(ledger: Path) -> tuple[int, ...]:
    """What changes with a ledger's content."""
    found: list[int] = []
    for path in (ledger, ledger.with_name(f"{ledger.name}-wal")):
        try:
            status = path.stat()
        except OSError:
            found += [0]
        else:
            found += [status.st_ino, status.st_size, status.st_mtime_ns]
    return tuple(found)


def _opened(paths: SweepPaths) -> sqlite3.Connection:
    """A ledger, to be read. Raises StorageError where it is none, or of a later release."""
    driven = lock.holder(paths.lock) is not None
    database = reading.connect(paths.ledger, patience=PATIENCE_SECONDS, moves=driven)
    try:
        database.execute("PRAGMA trusted_schema=OFF")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise LaterVersionError(paths.ledger)
        there = set(database.execute("SELECT type, name FROM sqlite_master"))
        if ("table", "events") not in there or there - checks.OURS:
            raise StorageError(f"{paths.ledger} is no ledger")
    except BaseException:
        database.close()
        raise
    return database


# -- what a ledger says -----------------------------------------------------------------------------------------------


def _offer(one: _Neighbour, row: Sequence[Any], count: int, shapes: Shapes) -> Offer | None:
    """A trial by its end and how many epochs are noted; None of one that has not finished, or is not there whole."""
    body = _body(row, one.paths, shapes)
    whole = body["state"] == "finished" and count == body["epochs"] > 0
    has_weights = bool(one.paths.storage.uri) or (one.paths.trial(row[3]) / WEIGHTS).is_file()
    origin = origin_of(body) or Origin(one.name, one.id, row[1])
    return Offer(row[3], one.name, origin) if whole and has_weights else None


def _body(row: Sequence[Any], paths: SweepPaths, shapes: Shapes) -> dict[str, Any]:
    body = shapes.body(row[5]) if checks.is_whole(row, KINDS) else None
    if not isinstance(body, dict):
        raise StorageError(f"event {row[0]} of {paths.ledger} is not what was written")
    return body


def _whole(key: str, rows: Iterable[Sequence[Any]], paths: SweepPaths, shapes: Shapes) -> Whole:
    """A trial by its events. Raises StorageError where they are not those of a whole trial of that key."""
    bodies = [(row[2], _body(row, paths, shapes)) for row in rows]
    start = dict(bodies)["start"]
    epochs, final = list(_of("epoch", bodies)), dict(bodies)["final"]
    config = TrialConfig.model_validate(start["config"])
    if config.key != key or [epoch["epoch"] for epoch in epochs] != list(range(1, config.recipe.epochs + 1)):
        raise StorageError(f"{paths.ledger} does not hold the trial {key} as it is named")
    return Whole(start, epochs, final, paths.trial(key) / WEIGHTS)


def _of(kind: str, bodies: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    return (body for its, body in bodies if its == kind)
