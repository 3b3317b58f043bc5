"""What a ledger's file is made of, and how one of an earlier release becomes one of this."""

from __future__ import annotations

import sqlite3
import time

from trainers.errors import StorageError

VERSION = 2
"""A ledger of a later one is refused. In version 1 each epoch has its names (:mod:`sweep.ledger.shapes`). The column
`sum` came later than that version; earlier releases leave it empty."""
WAL_TRIES, WAL_PAUSE_SECONDS = 100, 0.05
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


class LaterVersionError(StorageError):
    """A ledger is of a later version, and not damaged."""

    def __init__(self, what: object) -> None:
        super().__init__(f"{what} was written by a later version of this program; update it to read the file")


def enter_wal_mode(database: sqlite3.Connection) -> None:
    """SQLite's timeout does not hold for this one statement, which two openers of a new file contend for."""
    for left in reversed(range(WAL_TRIES)):
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if left == 0 or "locked" not in str(error):
                raise
            time.sleep(WAL_PAUSE_SECONDS)


def version(database: sqlite3.Connection) -> int:
    """Of a file; 0 of a new one."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def make(database: sqlite3.Connection) -> None:
    """Make a new file a ledger."""
    database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")


def bring_up(database: sqlite3.Connection) -> None:
    """Make a ledger of an earlier release one of this version; what it holds stays as it is."""
    if version(database) == VERSION:
        return
    with database:
        database.execute("BEGIN IMMEDIATE")
        columns = {name for _, name, *_ in database.execute("PRAGMA table_info(events)")}
        if "sum" not in columns:  # another process may have been here
            database.execute("ALTER TABLE events ADD COLUMN sum INTEGER")
        database.execute(f"PRAGMA user_version={VERSION}")
