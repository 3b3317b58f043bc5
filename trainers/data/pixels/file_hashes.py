"""The content of each of many files as a hash, read once and remembered.

A file's content is hashed in full the first time. The hashes of a folder's files are remembered in the cache with their
sizes, inodes and times of change, so that the next process reads only what is new or has changed: the system sets the
time of change at every write, and no user can set it back.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainers.allotment import cores
from trainers.errors import InputError
from trainers.storage.content import content_key, file_sha256
from trainers.storage.files import write_atomically
from trainers.storage.inputs import check_file, readable

FOLDER = "files"
"""Below the cache."""
RECENT_SECONDS = 0.1
"""A file that changed so short a time ago may change again within one tick of the clock: not remembered."""
Facts = tuple[int, ...]
"""Size, inode, and the times at which content and anything changed, in nanoseconds."""
Look = Callable[[Path], None]
Known = dict[str, str]
"""The hash of each file by its facts and its name below the root, as one text: containers within containers would take
four times as long to read, of a million files."""


def file_hashes(root: Path, files: Iterable[Path], cache: Path, inspect: Look | None = None) -> dict[Path, str]:
    """SHA-256 of each file's content, in hexadecimal.

    Args:
        root: folder of the files.
        files: files below it.
        cache: folder in which the hashes are remembered.
        inspect: called with every file that is read, to look for faults.

    Raises:
        InputError: when one is no regular file or cannot be read, or `inspect` finds a fault.
        StorageError: when the hashes cannot be written down.
    """
    started = time.time()
    facts = {path: facts_of(path) for path in files}
    told = {path: f"{':'.join(map(str, fact))} {path.relative_to(root).as_posix()}" for path, fact in facts.items()}
    place = content_key([json.dumps(str(root.resolve())), inspect is not None])
    record = cache / FOLDER / f"{place}.json"
    known = _remembered(record)
    hashes = _read([path for path, text in told.items() if text not in known], inspect)
    hashes |= {path: known[text] for path, text in told.items() if text in known}
    kept = {text: hashes[path] for path, text in told.items() if settled(facts[path], started)}
    if kept != known:
        _write(record, kept)
    return hashes


def facts_of(path: Path) -> Facts:
    """What tells whether a file has changed. Raises InputError where it is no regular file, or there is none."""
    status = check_file(path)
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def settled(facts: Facts, at: float) -> bool:
    """Whether the last change is long enough before `at`, in seconds since the epoch, for the facts to be trusted."""
    return at - facts[-1] / 1e9 > RECENT_SECONDS


def _read(files: list[Path], inspect: Look | None) -> dict[Path, str]:
    def content_hash(path: Path) -> str:
        if inspect is not None:
            inspect(path)
        try:
            return file_sha256(path)
        except OSError as error:
            raise InputError(f"cannot read {readable(path)}: {error.strerror}") from error

    with ThreadPoolExecutor(cores()) as pool:
        return dict(zip(files, pool.map(content_hash, files), strict=True))


def _remembered(record: Path) -> Known:
    """What is written at `record`; nothing where there is none or it is damaged: all is then read anew."""
    try:
        check, _, content = record.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != check:
            return {}
        known: Known = json.loads(content)
        return known
    except (OSError, ValueError):
        return {}


def _write(record: Path, known: Known) -> None:
    content = json.dumps(known).encode()
    write_atomically(record, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
