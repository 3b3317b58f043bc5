"""One driver per sweep: a lock that the operating system lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from trainers.errors import BusyError, StorageError

TRIES, PAUSE_SECONDS = 5, 0.05


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file at `path`; `what` names the sweep in the message.

    Raises:
        BusyError: when another process holds it, saying which and since when.
        StorageError: when the file cannot be written, or its disk has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {error.filename}: {error.strerror}") from error
    with file:
        if not _taken(file):
            raise BusyError(f"{what} is already running: {_holder(path)}. Wait for it, or stop it first")
        file.truncate(0)
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))
        file.flush()
        yield


def _taken(file: IO[str]) -> bool:
    """Take the lock; several tries, since :func:`holder` holds it for an instant when it looks."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        except OSError as error:  # such as Lustre without its option `flock`
            raise StorageError(
                f"the disk of {file.name} has no file locks ({error.strerror}), without which two drivers would write"
                " to one sweep; choose a --root on a disk of this machine, and a --storage for what machines share"
            ) from error
        else:
            return True
    return False


def holder(path: Path) -> str | None:
    """Who holds the lock now, as a sentence; None when nobody does, which nobody can where the disk has no locks."""
    try:
        with path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    except OSError:  # no such file, or no locks
        return None
    return None


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text("utf-8"))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError):
        return "by a process that is just starting"


def alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
