"""The ledger: every event of a sweep, on the driver's local disk, before anything else hears of it.

One SQLite file in WAL mode, append-only; where a trial is asked for again, the kinds of its events change. A trial's
epoch and its final state can be written once only, so replaying what a resumed trial reports again changes nothing.
MLflow is a projection of this file (:mod:`sweep.tracking.projector`), and so are the tables
(:mod:`sweep.results.board`).

Each event has a checksum (:mod:`sweep.ledger.checks`), which is compared whenever the event is read, and so has each
fact (:mod:`sweep.ledger.facts`). A ledger of an earlier release gets the column for it when it is next written to, not
when it is read.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json

from sweep.ledger import checks, facts, reading
from sweep.ledger.kinds import FORMER, KINDS, OF_TRIALS, Kind
from trainers.errors import StorageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    trial TEXT,
    epoch INTEGER,
    body TEXT NOT NULL,
    sum INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS one_result_per_epoch ON events (trial, epoch) WHERE kind = 'epoch';
CREATE UNIQUE INDEX IF NOT EXISTS one_final_per_trial ON events (trial) WHERE kind = 'final';
CREATE INDEX IF NOT EXISTS by_kind ON events (kind, seq);
CREATE INDEX IF NOT EXISTS by_trial ON events (trial, kind, seq);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
VERSION = 1
"""Of the schema; a ledger of a later version is refused. The column `sum` came later; earlier releases leave it
empty."""
WAL_TRIES, WAL_PAUSE_SECONDS = 100, 0.05
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
        self._has_sums = False
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
        self._db.create_function("event_sum", 6, checks.event_sum, deterministic=True)
        self._db.execute("PRAGMA trusted_schema=OFF")
        if writes:
            self._enter_wal_mode()
            self._db.execute("PRAGMA synchronous=NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StorageError(
                f"{self.path} was written by a later version of this program; update it to read the file"
            )
        if version < VERSION:
            self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
        self._file = checks.identity(self.path)
        if version < VERSION:
            facts.write(self._db, "id", uuid.uuid4().hex, "IGNORE")  # another may have been here

    def _enter_wal_mode(self) -> None:
        """SQLite's timeout does not hold for this one statement, which two openers of a new file contend for."""
        for left in reversed(range(WAL_TRIES)):
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if left == 0 or "locked" not in str(error):
                    raise
                time.sleep(WAL_PAUSE_SECONDS)

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
            self._add_sums()
            return self._insert(kind, trial, epoch, body or {})

    def append_all(self, entries: Iterable[Entry]) -> bool:
        """Write several events at once: all of them or, where the process is killed in between, none.

        Epochs that are written already stay as they are. False, and nothing changes, where one of the events ends a
        trial that has ended.
        """
        with self._changing():
            for entry in entries:
                if not self._insert(*entry) and entry[0] == "final":
                    self._db.rollback()
                    return False
        return True

    def set_aside(self, trials: Iterable[str]) -> None:
        """Let what is known of some trials count no longer, and note that they are asked for again: all of them or,
        where the process is killed in between, none."""
        with self._changing():
            for trial in trials:
                self._db.execute(_SET_ASIDE, (trial, *OF_TRIALS))
                self._insert("again", trial, None, {})

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One transaction."""
        with self._explained():
            self._add_sums()
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield

    def _insert(self, kind: Kind, trial: str | None, epoch: int | None, body: dict[str, Any]) -> bool:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        text = text.encode(errors="replace").decode()  # half a character is "?"
        row = {"time": time.time(), "kind": kind, "trial": trial, "epoch": epoch, "body": text}
        return self._db.execute(_APPEND, row).rowcount == 1

    def _add_sums(self) -> None:
        """Give a ledger of an earlier release the column for checksums."""
        if self._has_sums:
            return
        if "sum" not in self._columns():
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                if "sum" not in self._columns():  # another process may have been here
                    self._db.execute("ALTER TABLE events ADD COLUMN sum INTEGER")
        self._has_sums = True

    def _columns(self) -> set[str]:
        return {name for _, name, *_ in self._db.execute("PRAGMA table_info(events)")}

    def _event(self, row: Sequence[Any]) -> Event:
        """A row of `events`. Raises StorageError for one that is not what was written."""
        body = self._body(row)
        return Event(row[0], row[1], row[2], row[3], row[4], body)

    def _body(self, row: Sequence[Any]) -> dict[str, Any]:
        body = from_json(row[5]) if checks.is_whole(row, KINDS) else None
        if not isinstance(body, dict):
            raise StorageError(self._not_as_written(row))
        return body

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

    def starts(self) -> Iterator[tuple[int, str, str]]:
        """`seq`, trial and slot of every `start`, in the order written; a quick way past their configs."""
        query = "SELECT *, json_extract(body, '$.slot') FROM events WHERE kind = 'start' ORDER BY seq"
        with self._explained():
            for *row, slot in self._db.execute(query):
                if not checks.is_whole(row, KINDS):
                    raise StorageError(self._not_as_written(row))
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
        query = "SELECT DISTINCT part.key FROM events, json_each(body, ?) AS part WHERE kind = 'epoch' ORDER BY 1"
        with self._explained():
            return [row[0] for row in self._db.execute(query, (f"$.{part}",))]

    def seconds_per_epoch(self) -> dict[str, float]:
        """Mean seconds of an epoch of each trial, by trial key."""
        mean = "AVG(json_extract(body, '$.seconds'))"
        return self._by_trial(f"SELECT trial, {mean} FROM events WHERE kind = 'epoch' GROUP BY trial")

    def _by_trial(self, query: str, *values: object) -> dict[str, Any]:
        """The answers of a query that gives a trial's key and one thing of it."""
        with self._explained():
            return dict(self._db.execute(query, values).fetchall())

    def priced(self) -> Iterator[tuple[Kind, str | None, Any]]:
        """What decides the cost of training, in the order written: kind and trial of every plan, start and epoch (that
        of a trial which was asked for again too), and of it `compute` (as JSON), `devices` (None where none were noted)
        and `seconds`; a quick way past the rest."""
        paths = "CASE WHEN kind = 'plan' THEN '$.compute' WHEN kind LIKE '%start' THEN '$.devices' ELSE '$.seconds' END"
        query = f"SELECT *, json_extract(body, {paths}) FROM events WHERE kind IN (?, ?, ?, ?, ?) ORDER BY seq"
        with self._explained():
            for *row, told in self._db.execute(query, ("plan", "start", "epoch", "former-start", "former-epoch")):
                if not checks.is_whole(row, KINDS):
                    raise StorageError(self._not_as_written(row))
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
                self._body(row)
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
