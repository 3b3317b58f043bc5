"""The ledger: every event of a sweep, on the driver's local disk, before anything else hears of it.

One SQLite file in WAL mode, append-only; where a trial is asked for again, the kinds of its events change. A trial's
epoch and its final state can be written once only, so replaying what a resumed trial reports again changes nothing.
MLflow is a projection of this file (:mod:`sweep.tracking.projector`), and so are the tables
(:mod:`sweep.results.board`).

Each event has a checksum (:mod:`sweep.ledger.checks`), which is compared whenever the event is read, and so has each
fact (:mod:`sweep.ledger.facts`). An epoch's body is written without its names (:mod:`sweep.ledger.shapes`). A ledger
of an earlier release becomes one of this version when it is next written to (:mod:`sweep.ledger.schema`), not when it
is read.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sweep.ledger import checks, facts, names, reading, schema
from sweep.ledger.columns import Chunk, Wanted, columns
from sweep.ledger.kinds import FORMER, KINDS, OF_TRIALS, Kind
from sweep.ledger.shapes import Shapes, dumped
from trainers.errors import StorageError

_APPEND = """
INSERT OR IGNORE INTO events (seq, time, kind, trial, epoch, body, sum)
SELECT next.seq, :time, :kind, :trial, :epoch, :body, event_sum(next.seq, :time, :kind, :trial, :epoch, :body)
FROM (SELECT COALESCE(MAX(seq), 0) + 1 AS seq FROM events) AS next
"""
_SET_ASIDE = f"""
UPDATE events
SET kind = '{FORMER}' || kind, sum = event_sum(seq, time, '{FORMER}' || kind, trial, epoch, body)
WHERE trial = ? AND kind IN ({",".join("?" * len(OF_TRIALS))})
"""
AT_ONCE = 4096
"""Events of a :class:`Chunk`."""
Entry = tuple[Kind, str | None, int | None, dict[str, Any]]
"""An event to be written: its kind, trial, epoch and body."""


class Event(NamedTuple):
    """One row."""

    seq: int
    time: float
    """Seconds since 1970, by the driver's clock."""
    kind: Kind
    trial: str | None
    epoch: int | None
    body: dict[str, Any]


class Ledger:
    """One sweep's ledger. Each thread opens its own. One that cannot be written can still be read.

    Args:
        path: the file; it is made where there is none.
        make: False refuses a file that is not there: a sweep that runs has one, and a new one would hide that it is
            gone.

    Raises:
        StorageError: from any method, when the file cannot be read or written, is damaged, or was removed or replaced
            since it was opened.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self.path = path
        self._file: tuple[int, int] | None = None
        self._is_current = False
        if not make and not path.exists():
            raise StorageError(checks.gone(path))
        with self._explained():
            alone = reading.only_readable(path)
            if not alone:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = reading.connect(path) if alone else sqlite3.connect(path, timeout=30, isolation_level=None)
            try:
                self._open(writes=not alone)
            except BaseException:
                self._db.close()
                raise

    def _open(self, *, writes: bool) -> None:
        self._shapes = Shapes(self._db, self.path)
        self._db.create_function("event_sum", 6, checks.event_sum, deterministic=True)
        self._db.create_function("value_of", 2, self._shapes.value, deterministic=True)
        self._db.execute("PRAGMA trusted_schema=OFF")
        if writes:
            schema.enter_wal_mode(self._db)
            self._db.execute("PRAGMA synchronous=NORMAL")
        version = schema.version(self._db)
        if version > schema.VERSION:
            raise schema.LaterVersionError(self.path)
        if version == 0:
            schema.make(self._db)
        self._file = checks.identity(self.path)
        if version == 0:
            facts.write(self._db, "id", uuid.uuid4().hex, "IGNORE")  # another may have been here

    def close(self) -> None:
        """Close the file; a ledger that is closed can be neither read nor written."""
        self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def id(self) -> str:
        """Names the sweep for ever, also on a tracking server; drawn when the ledger was made."""
        return self.fact("id") or ""

    def append(
        self, kind: Kind, trial: str | None = None, epoch: int | None = None, body: dict[str, Any] | None = None
    ) -> bool:
        """Write one event; False where that epoch or final state is written already (nothing changes then)."""
        with self._explained():
            self._bring_up()
            return self._insert(self._row(kind, trial, epoch, body or {}))

    def append_all(self, entries: Iterable[Entry]) -> bool:
        """Write several events at once: all of them or, where the process is killed in between, none.

        Epochs that are written already stay as they are. False, and nothing changes, where one of the events ends a
        trial that has ended.
        """
        with self._explained():
            self._bring_up()
            rows = [self._row(*entry) for entry in entries]
        with self._changing():
            for row in rows:
                if not self._insert(row) and row["kind"] == "final":
                    self._db.rollback()
                    return False
        return True

    def set_aside(self, trials: Iterable[str]) -> None:
        """Let what is known of some trials count no longer, and note that they are asked for again: all of them or,
        where the process is killed in between, none."""
        with self._changing():
            for trial in trials:
                self._db.execute(_SET_ASIDE, (trial, *OF_TRIALS))
                self._insert(self._row("again", trial, None, {}))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One transaction."""
        with self._explained():
            self._bring_up()
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield

    def _row(self, kind: Kind, trial: str | None, epoch: int | None, body: dict[str, Any]) -> dict[str, Any]:
        """An event as it is written, by column; to be made outside of a transaction."""
        text = self._shapes.packed(body) if kind == "epoch" else dumped(body)
        return {"kind": kind, "trial": trial, "epoch": epoch, "body": text}

    def _insert(self, row: dict[str, Any]) -> bool:
        return self._db.execute(_APPEND, row | {"time": time.time()}).rowcount == 1

    def _bring_up(self) -> None:
        if not self._is_current:
            schema.bring_up(self._db)
            self._is_current = True

    def _event(self, row: Sequence[Any]) -> Event:
        """A row of `events`. Raises StorageError for one that is not what was written."""
        body = self._body(row)
        return Event(row[0], row[1], row[2], row[3], row[4], body)

    def _body(self, row: Sequence[Any]) -> dict[str, Any]:
        body = self._shapes.body(row[5]) if checks.is_whole(row, KINDS) else None
        if not isinstance(body, dict):
            raise StorageError(self._not_as_written(row))
        return body

    def _check(self, row: Sequence[Any]) -> None:
        if not checks.is_whole(row, KINDS):
            raise StorageError(self._not_as_written(row))

    def _not_as_written(self, row: Sequence[Any]) -> str:
        return checks.sentence(self.path, f"its event {row[0]} is not what was written")

    def events(self, *kinds: Kind, after: int = 0, trial: str | None = None, limit: int = -1) -> Iterator[Event]:
        """Events in the order written: of some kinds (default all), after a `seq`, of one trial (default all)."""
        where, values = ["seq > ?"], [after]
        if kinds:
            most = trial is None and "epoch" in kinds and len(kinds) > 1  # then in the file's order, without sorting
            where.append(f"{'+' if most else ''}kind IN ({','.join('?' * len(kinds))})")
        if trial is not None:
            where.append("trial = ?")
        query = f"SELECT * FROM events WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"
        with self._explained():
            rows = self._db.execute(query, [*values, *kinds, *([trial] if trial is not None else []), limit])
            yield from map(self._event, rows)

    def chunks(self, wanted: Wanted, *kinds: Kind) -> Iterator[Chunk]:
        """Events of some kinds in the order written, many at a time, and of their epochs the `wanted` numbers: the
        quickest way through millions."""
        query = f"SELECT * FROM events WHERE +kind IN ({','.join('?' * len(kinds))}) ORDER BY seq"
        with self._explained():
            cursor = self._db.execute(query, kinds)
            while rows := cursor.fetchmany(AT_ONCE):
                yield self._chunk(rows, wanted)

    def _chunk(self, rows: list[Sequence[Any]], wanted: Wanted) -> Chunk:
        for row in rows:
            self._check(row)
        epochs = {place: row[5] for place, row in enumerate(rows) if row[2] == "epoch"}
        others = {place: self._body(row) for place, row in enumerate(rows) if row[2] != "epoch"}
        return Chunk(rows, others, columns(self._shapes, epochs, wanted))

    def starts(self) -> Iterator[tuple[int, str, str]]:
        """`seq`, trial and slot of every `start`, in the order written; a quick way past their configs."""
        query = "SELECT *, json_extract(body, '$.slot') FROM events WHERE kind = 'start' ORDER BY seq"
        with self._explained():
            for *row, slot in self._db.execute(query):
                self._check(row)
                yield row[0], row[3], slot

    def latest(self, kind: Kind) -> Event | None:
        """The last event of a kind."""
        with self._explained():
            row = self._db.execute("SELECT * FROM events WHERE kind = ? ORDER BY seq DESC LIMIT 1", (kind,)).fetchone()
            return self._event(row) if row else None

    def last_of_trials(self, seq: int) -> dict[str, int]:
        """`seq` of the last event of each trial up to one, by trial key."""
        query = "SELECT trial, MAX(seq) FROM events WHERE trial IS NOT NULL AND seq <= ? GROUP BY trial"
        return self._by_trial(query, seq)

    def finals(self) -> dict[str, dict[str, Any]]:
        """The body of every final event, by trial key; of a teacher that was trained again, the latest."""
        return {event.trial or "": event.body for event in self.events("final", "retrained")}

    def is_final(self, trial: str) -> bool:
        """Whether a trial ended for good."""
        return next(self.events("final", trial=trial, limit=1), None) is not None

    def epochs_done(self) -> dict[str, int]:
        """How many epochs of each trial are recorded, by trial key."""
        counted = "SELECT trial, COUNT(*) FROM events WHERE +kind = 'epoch' GROUP BY trial"  # of an index alone
        return self._by_trial(counted)

    def epoch_names(self, part: str) -> list[str]:
        """Names that occur in one part of the epochs' bodies (their `terms`, say), in alphabetical order."""
        with self._explained():
            return names.of_epochs(self._db, self._shapes, part)

    def seconds_per_epoch(self) -> dict[str, float]:
        """Mean seconds of an epoch of each trial, by trial key."""
        mean = "AVG(value_of(body, 'seconds'))"
        return self._by_trial(f"SELECT trial, {mean} FROM events WHERE kind = 'epoch' GROUP BY trial")

    def _by_trial(self, query: str, *values: object) -> dict[str, Any]:
        """The answers of a query that gives a trial's key and one thing of it."""
        with self._explained(), self._shapes.outspoken():
            return dict(self._db.execute(query, values).fetchall())

    def priced(self) -> Iterator[tuple[Kind, str | None, Any]]:
        """What decides the cost of training, in the order written: kind and trial of every plan, start and epoch (that
        of a trial which was asked for again too), and of it `compute` (as JSON), `devices` (None where none were noted)
        and `seconds`; a quick way past the rest."""
        paths = "json_extract(body, CASE WHEN kind = 'plan' THEN '$.compute' ELSE '$.devices' END)"
        told = f"CASE WHEN kind LIKE '%epoch' THEN value_of(body, 'seconds') ELSE {paths} END"
        query = f"SELECT *, {told} FROM events WHERE kind IN (?, ?, ?, ?, ?) ORDER BY seq"
        with self._explained(), self._shapes.outspoken():
            for *row, told in self._db.execute(query, ("plan", "start", "epoch", "former-start", "former-epoch")):
                self._check(row)
                yield row[2].removeprefix(FORMER), row[3], told

    def count(self, after: int = 0) -> int:
        """How many events have a later `seq` (which may have gaps: earlier releases left one for what was written
        twice)."""
        with self._explained():
            return int(self._db.execute("SELECT COUNT(*) FROM events WHERE seq > ?", (after,)).fetchone()[0])

    def last_seq(self) -> int:
        """`seq` of the last event; 0 when there is none."""
        with self._explained():
            return int(self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()[0])

    def copy(self, path: Path) -> None:
        """Write all that it holds at this moment to another file, while others append."""
        with self._explained():
            path.unlink(missing_ok=True)
            with closing(sqlite3.connect(path)) as copy:
                self._db.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, complete when it is closed

    def fact(self, name: str) -> str | None:
        """A remembered value (not an event), such as how far an MLflow server has been told."""
        with self._explained():
            return facts.read(self._db, self.path, name)

    def set_fact(self, name: str, value: str) -> None:
        """Remember a value (see :meth:`fact`), in place of the one before."""
        with self._explained():
            facts.write(self._db, name, value)

    def verify(self) -> None:
        """Read all of it: each row and each fact against its checksum, and that the indices lead to every row.

        Raises:
            StorageError: when anything is not what was written.
        """
        with self._explained():
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            foreign = set(self._db.execute("SELECT type, name FROM sqlite_master")) - checks.OURS
            if found == "ok" and foreign:
                found = f"it holds what no ledger has ({', '.join(sorted(name for _, name in foreign))})"
            if found != "ok":
                raise StorageError(checks.sentence(self.path, " ".join(found.split())))
            for row in self._db.execute("SELECT * FROM events"):
                self._check(row)
                self._shapes.flat(row[5])
            facts.verify(self._db, self.path)
        if not self.id:
            raise StorageError(checks.sentence(self.path, "it has no id"))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's and the disk's errors as one sentence."""
        if self._file is not None and checks.identity(self.path) != self._file:
            raise StorageError(checks.gone(self.path))
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            if checks.is_damage(error):
                raise StorageError(checks.sentence(self.path, str(error))) from error
            raise StorageError(f"the ledger {self.path} cannot be used: {error}") from error
