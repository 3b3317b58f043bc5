"""Files that are made once, by one alone of all who ask: a disk that machines share makes a hard link for no second."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from trainers.errors import StorageError
from trainers.storage.files import write_atomically


def made_once(path: Path, content: bytes) -> bool:
    """Make a file that is not there, whole at once; whether it was made, and not by another.

    Raises:
        StorageError: when it cannot be written, or its disk makes no hard links.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    write_atomically(temporary, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return temporary.stat().st_nlink == 2  # it was ours, and a network disk's answer was lost
    except OSError as error:
        raise StorageError(
            f"the disk of {path.parent} makes no hard links ({error.strerror}), by which those who divide a sweep"
            " exclude each other; run it as one job, or choose a --root on another disk"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return True
