"""Room for sockets: processes that hand each other tensors do so through sockets in the temporary folder, whose paths
are short (https://github.com/python/cpython/issues/93852)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.errors import InputError

SOCKET_BYTES = 107
"""Of the path of a socket, at most."""
BELOW = len("/pymp-12345678/listener-4194304-1000-12345678")
"""Of the longest one that Python's multiprocessing makes below the temporary folder."""
SHORT = Path("/tmp")
"""Taken where the system's temporary folder has too long a path."""
VARIABLE = "TMPDIR"


@contextmanager
def room_for_sockets() -> Iterator[None]:
    """Processes that are started meanwhile have a temporary folder in whose paths a socket has room.

    Raises:
        InputError: where there is none.
    """
    system = tempfile.gettempdir()
    if _fits(system):
        yield
        return
    if not os.access(SHORT, os.W_OK | os.X_OK):
        raise InputError(
            f"the temporary folder {system} has too long a path for the sockets of the processes that decode images: it"
            f" may have {SOCKET_BYTES - BELOW} characters. Set {VARIABLE} to a shorter one ({SHORT} cannot be written"
            " to)"
        )
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = tempfile.tempdir = str(SHORT)  # of processes that are spawned, and of forks
    try:
        yield
    finally:
        tempfile.tempdir = system
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + BELOW <= SOCKET_BYTES
