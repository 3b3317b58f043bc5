"""Atomic files: a reader sees the old content or the new, never half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from trainers.errors import StorageError


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` under a temporary name beside `path`, flush it to the disk, and rename it to `path`.

    Args:
        path: the file; its folder is made where there is none.
        content: all of it.
        durable: False spares the flush, for what can be made again: after the machine's sudden end the file may then be
            torn.

    Raises:
        StorageError: when the disk is full or the folder cannot be written; `path` is then as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def flush(path: Path) -> None:
    """Have the disk keep what was written to a file; nothing happens where it was removed meanwhile.

    Raises:
        StorageError: when the disk does not.
    """
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
