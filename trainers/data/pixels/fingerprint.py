"""The content of many files as one hash, read once and remembered.

A file's content is hashed in full the first time. The result is remembered in the cache under the files' names, sizes,
inodes and times of change, so that the next process needs only look at those: the system sets the time of change at
every write, and no user can set it back. Names are those below the root, so a folder may be moved.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainers.errors import InputError
from trainers.process import cores
from trainers.storage.content import KEY_LENGTH, content_key, file_sha256
from trainers.storage.files import write_atomically
from trainers.storage.inputs import check_file, readable

RECENT_SECONDS = 0.1
"""A file that changed so short a time ago may change again within one tick of the clock: not remembered."""


def fingerprint(root: Path, files: Iterable[Path], cache: Path, inspect: Callable[[Path], None] | None = None) -> str:
    """Hash of the files' names below `root`, sizes and contents.

    Args:
        root: folder that the names are relative to.
        files: files below it.
        cache: folder in which the result is remembered.
        inspect: called with every file that is read, to look for faults.

    Raises:
        InputError: when one is no regular file or cannot be read, or `inspect` finds a fault.
        StorageError: when the result cannot be written down.
    """
    started = time.time()
    names = {path.relative_to(root).as_posix(): path for path in files}
    facts = {name: _facts(names[name]) for name in sorted(names)}
    place = content_key([[_ascii(name), *fact] for name, fact in facts.items()] + [inspect is not None])
    record = cache / "hashes" / f"{place}.json"
    known = _remembered(record)
    if known is not None:
        return known
    digest = _hashed([(name, facts[name][0], names[name]) for name in facts], inspect)
    if all(started - changed / 1e9 > RECENT_SECONDS for _, _, _, changed in facts.values()):
        write_atomically(record, json.dumps({"digest": digest, "check": content_key([place, digest])}).encode())
    return digest


def _ascii(name: str) -> str:
    """A name as text that every encoding takes, whatever its bytes, without loss."""
    return json.dumps(name)


def _facts(path: Path) -> tuple[int, int, int, int]:
    """Size, inode, and the times at which content and anything changed, in nanoseconds."""
    status = check_file(path)
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _remembered(record: Path) -> str | None:
    """The digest written at `record`, or None where there is none or it is damaged: it is then found out anew."""
    try:
        content = json.loads(record.read_bytes())
        digest = str(content["digest"])
        return digest if content["check"] == content_key([record.stem, digest]) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _hashed(files: list[tuple[str, int, Path]], inspect: Callable[[Path], None] | None) -> str:
    def content_hash(path: Path) -> str:
        if inspect is not None:
            inspect(path)
        try:
            return file_sha256(path)
        except OSError as error:
            raise InputError(f"cannot read {readable(path)}: {error.strerror}") from error

    digest = hashlib.sha256()
    with ThreadPoolExecutor(cores()) as pool:
        for (name, size, _), content in zip(files, pool.map(content_hash, [path for *_, path in files]), strict=True):
            digest.update(f"{_ascii(name)}:{size}:{content};".encode())
    return digest.hexdigest()[:KEY_LENGTH]
