"""A file to and from an Arrow file system, whole or not at all.

In an object store a file appears by the end of its upload, elsewhere by a rename.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

P = TypeVar("P", Path, PurePosixPath)

CHUNK = 1 << 20
"""Bytes that are copied at a time."""
OBJECT_STORES = ("s3", "gcs", "abfs")
"""Kinds of file systems, by pyarrow's names, where a file appears at the end of its upload."""


def fetch(files: FileSystem, place: str, path: Path) -> None:
    """Copy a file here; nothing happens where it was removed a moment ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with files.open_input_stream(place) as source, temporary.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)
        temporary.replace(path)
    except FileNotFoundError:
        return
    finally:
        temporary.unlink(missing_ok=True)


def give(path: Path, files: FileSystem, place: str) -> None:
    """Copy a local file there.

    Arrow's own ``copy_files`` says nothing where the last bytes, or the end of an upload, are refused: to close the
    stream does.
    """
    whole_by_itself = files.type_name in OBJECT_STORES
    target = place if whole_by_itself else str(_temporary(PurePosixPath(place)))
    if not whole_by_itself:
        files.create_dir(str(PurePosixPath(place).parent))
    with path.open("rb") as source:
        stream = files.open_output_stream(target)
        try:
            shutil.copyfileobj(source, stream, CHUNK)
        except BaseException:
            with suppress(Exception):  # a stream is closed whatever happens; a part of the file may stand there then
                stream.close()
                files.delete_file(target)
            raise
        stream.close()
    if not whole_by_itself:
        files.move(target, place)


def _temporary(path: P) -> P:
    return path.with_name(f".{path.name}.{uuid4().hex}")
