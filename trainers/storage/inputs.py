"""Files that somebody else made: what lies at a path is looked at before it is opened.

A path that a user names, or that one of his files names, may lead anywhere: to a pipe into which nobody writes, to a
device that has no end, to more bytes than there is memory. Whoever reads such a file comes here first. Links count as
what they lead to.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from trainers.errors import InputError

FILE, FOLDER = "a file", "a folder"
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
"""What may lie at a path, as messages call it."""
OTHER = "something else"
ABSENT = (errno.ENOENT, errno.ENOTDIR)
"""What the system says where there is nothing."""


def readable(path: Path | str) -> str:
    """A path for people: bytes that are no UTF-8 are written as escapes, and so is what no path can hold."""
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate
        text = str(path).encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\0")


def expanded(path: Path) -> Path:
    """The path with a leading ``~`` replaced by the home folder. Raises InputError for one of nobody."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InputError(f"cannot read {readable(path)}: there is no such home folder") from error


def kind(path: Path) -> str | None:
    """What lies at a path: :data:`FILE`, :data:`FOLDER` or another of :data:`KINDS`; None where nothing does.

    Raises:
        InputError: when the system does not tell, or the path is none that a file could have.
    """
    try:
        return KINDS.get(stat.S_IFMT(path.stat().st_mode), OTHER)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in ABSENT:
            return None
        raise _unreadable(path, error) from error


def is_file(path: Path) -> bool:
    """Whether a regular file lies at `path`. Raises InputError as :func:`kind` does."""
    return kind(path) == FILE


def is_folder(path: Path) -> bool:
    """Whether a folder lies at `path`. Raises InputError as :func:`kind` does."""
    return kind(path) == FOLDER


def check_file(path: Path, largest: int | None = None) -> os.stat_result:
    """Whether `path` is a regular file, of at most `largest` bytes; it is not opened.

    Returns:
        Its size, times and all else that the system tells of it.

    Raises:
        InputError: when it is not, or the system does not tell.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    found = KINDS.get(stat.S_IFMT(status.st_mode), OTHER)
    if found != FILE:
        raise InputError(f"{readable(path)} is {found}, not a file")
    if largest is not None and status.st_size > largest:
        raise InputError(f"{readable(path)} has {status.st_size:,} bytes; such a file has at most {largest:,}")
    return status


def open_file(path: Path, largest: int | None = None) -> BufferedReader:
    """Open a regular file of at most `largest` bytes for reading. Raises InputError as :func:`check_file` does."""
    check_file(path, largest)
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def read_file(path: Path, largest: int) -> bytes:
    """All of a regular file of at most `largest` bytes. Raises InputError as :func:`check_file` does."""
    with open_file(path, largest) as file:
        try:
            return file.read(largest)
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> InputError:
    """What is wrong with a path; Python raises a ValueError for one that holds a NUL or half a character."""
    reason = error.strerror or error if isinstance(error, OSError) else "no file can have such a name"
    return InputError(f"cannot read {readable(path)}: {reason}")
