"""The folder of a session's temporary files: closed to other users, and known to be in use while its process lives.

Ray opens its own folder to all users of the machine, whatever it was before: who may write there can put a socket of
his in the place of Ray's, or a pickle in the place of Ray Tune's. So it lies below a folder that only we may enter.

A process number does not tell whether a folder is in use: another container, or another host that shares the folder,
counts its processes by itself. A lock does, which the system lets go of when its holder dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trainers.errors import InputError

PREFIX = "sweep-ray-"
"""How such folders begin."""
FOR_RAY = "r"
"""Below ours, Ray's own."""
LOCK = "lock"
"""Below ours: held while the session lives, with the name of its machine in it."""
SHORT = Path("/tmp")
"""Where Ray's folder lies if the system's temporary folder has too long a path."""
SOCKET_BYTES = 107
"""Of the path of a socket, at most."""
RAY_BYTES = len("/session_2026-01-31_18-05-00_123456_/sockets/plasma_store") + len(str(2**22))
"""Of the longest path of a socket below Ray's folder: with the driver's number, which is below 2²²."""
DRAWN_BYTES = 8
"""Of the letters that :func:`tempfile.mkdtemp` draws."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""What Linux drew when it started: containers of one machine have it in common, two machines never."""


@contextmanager
def held(for_ray: bool) -> Iterator[Path]:
    """A new folder, which is removed at the end; what others left, and nobody uses any more, is removed first.

    Args:
        for_ray: whether a Ray's sockets will lie in it, whose paths must be short.

    Raises:
        InputError: where no temporary folder has a path that is short enough.
    """
    parent = _short() if for_ray else Path(tempfile.gettempdir())
    remove_leftovers({parent, Path(tempfile.gettempdir())})
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (folder / LOCK).open("x", encoding="utf-8") as lock:
            if _taken(lock):  # where there are no locks the file stays empty, and nobody removes what is left
                lock.write(json.dumps(_machine()))
                lock.flush()
            (folder / FOR_RAY).mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _short() -> Path:
    """The system's temporary folder, or another one if sockets below that would have too long a path."""
    system = Path(tempfile.gettempdir())
    below = len(f"/{PREFIX}/{FOR_RAY}") + DRAWN_BYTES + RAY_BYTES
    for parent in (system, SHORT):
        if len(os.fsencode(parent)) + below <= SOCKET_BYTES and os.access(parent, os.W_OK | os.X_OK):
            return parent
    raise InputError(
        f"the temporary folder {system} has too long a path: Ray's sockets lie in it, and the path of a socket has at"
        f" most {SOCKET_BYTES} characters, of which that folder may take {SOCKET_BYTES - below}. Set TMPDIR to a"
        f" shorter one ({SHORT} cannot be written to)"
    )


def remove_leftovers(parents: set[Path]) -> None:
    """Remove the folders of sessions that were killed before they could; one whose state is not known stays.

    Args:
        parents: where to look.
    """
    for folder in [found for parent in parents for found in parent.glob(f"{PREFIX}*")]:
        if _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Whether a folder is of a session of ours, on this machine, that has ended."""
    try:
        if folder.lstat().st_uid != os.getuid():  # what lies in it is not ours to open
            return False
        with (folder / LOCK).open("r+", encoding="utf-8") as lock:
            return _is_of_this_machine(lock.read()) and _taken(lock)
    except OSError:
        return False


def _taken(lock: IO[str]) -> bool:
    """Take a lock; False where it is held, or the file system has none."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _machine() -> dict[str, str]:
    return {"host": socket.gethostname(), "boot": BOOT.read_text("utf-8").strip() if BOOT.exists() else ""}


def _is_of_this_machine(written: str) -> bool:
    """Whether a lock's text was written here: some file systems keep locks from other machines, which would then seem
    to be free. A container has its host's start, and a machine that was started anew has its name."""
    here = _machine()
    try:
        there = json.loads(written)
        return bool(there["host"] == here["host"] or (there["boot"] == here["boot"] != ""))
    except (ValueError, LookupError, TypeError):  # of a session that has only begun
        return False
