"""A ledger that this process may read and not write: in an archive, on a read-only mount, of another user.

SQLite's WAL mode writes two files beside the ledger even for those who only look. A ledger that was closed needs
neither: it is complete in itself, and is read as a file that does not change.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from trainers.errors import StorageError

_EFFECTIVE = os.access in os.supports_effective_ids


def may_write(path: Path) -> bool:
    """Whether this process may write to a file, or make files in a folder."""
    return os.access(path, os.W_OK, effective_ids=_EFFECTIVE)


def only_readable(path: Path) -> bool:
    """Whether a ledger is there that this process can at most read. Raises StorageError where a folder has its name."""
    if path.is_dir():
        raise StorageError(f"the ledger {path} cannot be used: a folder stands in its place; move it away")
    return path.exists() and not (may_write(path) and may_write(path.parent))


def connect(path: Path, *, patience: float = 30, moves: bool = False) -> sqlite3.Connection:
    """Open a ledger to be read alone; neither it nor its folder is changed.

    Args:
        path: the file.
        patience: seconds to wait for one that is locked.
        moves: whether somebody may be writing to it; else it is read as a file that does not change.

    Raises:
        StorageError: where its last events are still in SQLite's log, which could only be read by writing beside it.
    """
    log = path.with_name(f"{path.name}-wal")
    whole = not moves and (not log.exists() or log.stat().st_size == 0)
    address = f"file:{quote(str(path.absolute()))}?mode=ro" + ("&immutable=1" if whole else "")
    connection = sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master")
    except sqlite3.Error as error:
        connection.close()
        busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if whole or busy or not isinstance(error, sqlite3.OperationalError):
            raise
        raise StorageError(
            f"the ledger {path} was not closed, and what {log.name} holds of it cannot be read in a folder that cannot"
            f" be written ({error}); copy the sweep's whole folder to where you may write, and look at it there"
        ) from error
    return connection
