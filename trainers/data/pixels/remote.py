"""Data sets that lie in an object store or on a distributed file system: fetched into the cache once, by every machine.

What is there is listed each time, which is cheap, and a file is fetched again when its size or its time of change is
another. What a data set is called by in a trial's key is its content, so it does not matter from where it was read.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

from trainers.data.pixels.cache import cache_folder, locked
from trainers.errors import InputError, StorageError
from trainers.storage.content import content_key
from trainers.storage.copying import fetch
from trainers.storage.files import write_atomically
from trainers.storage.inputs import expanded
from trainers.storage.shared import connected, explained, listed, refuse_credentials

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

URI = re.compile(r"[a-z][a-z0-9+.-]*://.")


def _place(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, str) and URI.match(value) else handler(value)


if TYPE_CHECKING:
    Place = Path | str
else:
    Place = Annotated[Path, WrapValidator(_place), PlainSerializer(str, when_used="json")]
"""Where data lie: a path, or ``s3://bucket/prefix?region=…``, ``gs://…``, ``hdfs://…``, ``file:///…`` as a string."""
FOLDER = "fetched"
"""Below the cache."""
RECORD = ".fetched.json"
"""In a fetched folder: size and time of change of each of its files in the storage."""
AT_ONCE = 16
"""Files that are fetched at a time."""
Facts = Mapping[str, tuple[int, int]]

logger = logging.getLogger(__name__)


def local_copy(place: Path | str) -> Path:
    """The folder or file at `place`, on this machine; of a file in a storage, all that lie beside it come along.

    Raises:
        InputError: when a URI names nothing, or holds credentials.
        StorageError: when its storage does not answer and nothing was fetched before.
    """
    if isinstance(place, Path):
        return expanded(place)
    if urlsplit(place).scheme == "file":
        return Path(connected(place)[1])
    refuse_credentials(place)
    folder = cache_folder() / FOLDER / content_key(place)
    with locked(folder.with_name(f".{folder.name}.lock")):
        try:
            files, base, there = _listing(place)
        except StorageError as error:
            known = _record(folder)
            if not known:
                raise
            logger.warning("%s; going on with what was fetched before", error)
            return _named(place, folder, known)
        with explained(place):
            _fetch_new(files, base, folder, there)
        return _named(place, folder, there)


def _listing(place: str) -> tuple[FileSystem, str, Facts]:
    """The file system, the folder in it, and its files, by name."""
    files, base = connected(place)
    with explained(place):
        info = files.get_file_info(base)
        if info.is_file:
            base = base.rpartition("/")[0]
        there = listed(files, base)
    if info.is_file:
        there = {name: facts for name, facts in there.items() if "/" not in name}
    if not there:
        raise InputError(f"there is nothing at {place} (option path)")
    return files, base, there


def _named(place: str, folder: Path, there: Facts) -> Path:
    """The folder, or the file in it that `place` names."""
    last = urlsplit(place).path.rstrip("/").rpartition("/")[2]
    return folder / last if last in there else folder


def _fetch_new(files: FileSystem, base: str, folder: Path, there: Facts) -> None:
    """Make the folder equal to the storage's."""
    known = _record(folder)
    for name in known.keys() - there.keys():
        (folder / name).unlink(missing_ok=True)
        _remove_emptied(folder, name)
    wanted = [name for name, facts in there.items() if known.get(name) != facts or not _is_here(folder / name, facts)]
    logger.info("%s files to fetch from %s", len(wanted), base)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: fetch(files, f"{base}/{name}", folder / name), wanted))
    torn = [name for name in wanted if not _is_here(folder / name, there[name])]
    if torn:
        raise StorageError(f"{base}/{torn[0]} has changed while it was fetched; try again")
    if known != there:
        write_atomically(folder / RECORD, json.dumps(there).encode())


def _remove_emptied(folder: Path, name: str) -> None:
    """Remove what `name` was the last file of: an object store has no empty folders, which may be classes here."""
    for above in list(Path(name).parents)[:-1]:
        try:
            (folder / above).rmdir()
        except OSError:  # others lie there
            return


def _is_here(path: Path, facts: tuple[int, int]) -> bool:
    return path.is_file() and path.stat().st_size == facts[0]


def _record(folder: Path) -> Facts:
    """What was fetched, by name; nothing where that was not noted, or the note is damaged."""
    try:
        content: dict[str, Any] = json.loads((folder / RECORD).read_bytes())
        return {name: (int(size), int(changed)) for name, (size, changed) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
