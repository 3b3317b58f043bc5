"""What tells a damaged ledger from a whole one: a checksum in each row, and one sentence that says the way out.

Rows that an earlier release has written have no checksum; they count as whole where they can be read at all.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

CRC_OFFSET = 2**31
"""Taken off a CRC-32, so that SQLite keeps it in four bytes; with the row's header that is five bytes an event."""
_NUMBERS = struct.Struct("<qd")
NO_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""Errors of SQLite's that the disk or another process is the reason of, not what the file holds."""
WAY_OUT = (
    "put back a copy of the file, or move it aside with its -wal and -shm: the same command with --storage then goes on"
    " from the storage's copy, and without one it trains anew what the file held"
)
OURS = {
    ("table", "events"),
    ("table", "facts"),
    ("table", "sqlite_sequence"),
    ("index", "sqlite_autoindex_facts_1"),
    ("index", "one_result_per_epoch"),
    ("index", "one_final_per_trial"),
    ("index", "by_kind"),
    ("index", "by_trial"),
}
"""Types and names of what a ledger is made of. A trigger or a view in a file from elsewhere would act by itself."""


def event_sum(seq: int, time: float, kind: str, trial: str | None, epoch: int | None, body: str) -> int:
    """Checksum of an event, from its columns as SQLite has them. Raises struct.error for those of other types."""
    return zlib.crc32(_NUMBERS.pack(seq, time) + f"{kind}\n{trial}\n{epoch}\n{body}".encode()) - CRC_OFFSET


def fact_sum(name: str, value: str) -> str:
    """Checksum of a fact, as the text of another."""
    return str(zlib.crc32(f"{name}\n{value}".encode()))


def is_whole(row: Sequence[Any], kinds: frozenset[str]) -> bool:
    """Whether an event is what was written.

    Args:
        row: its columns, the last of them the checksum; None or no such column where an earlier release has written it.
        kinds: all that there are; a row without a checksum must have one of them.
    """
    seq, time, kind, trial, epoch, body = row[:6]
    if len(row) == 6 or row[6] is None:
        return kind in kinds and isinstance(time, float) and isinstance(body, str)
    try:
        return bool(event_sum(seq, time, kind, trial, epoch, body) == row[6])
    except struct.error:
        return False


def kinds_of(literal: Any) -> frozenset[str]:
    """The values of a Literal."""
    return frozenset(get_args(literal))


def is_damage(error: Exception) -> bool:
    """Whether an error tells of what a ledger's file holds, not of a disk that is full or a file that is busy."""
    code = getattr(error, "sqlite_errorcode", None)  # none where a text is no UTF-8, which is damage too
    ours = isinstance(error, OSError | sqlite3.ProgrammingError)
    return not ours and (code is None or code & 0xFF not in NO_DAMAGE)


def sentence(path: Path, what: str) -> str:
    """The message for a ledger that is damaged."""
    return f"the ledger {path} cannot be used: {what}; {WAY_OUT}"


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path: its device and inode; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def gone(path: Path) -> str:
    """The message for a ledger that was removed."""
    return (
        f"the ledger {path} was removed, or replaced by another, while it was in use: what happens from now on cannot"
        " be noted. Put the folder back, or begin anew with the same command"
    )
