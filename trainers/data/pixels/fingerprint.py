"""The content of many files as one hash, read once and remembered.

The result is remembered in the cache under the files' names, sizes, inodes and times of change, so that the next
process needs only look at those. Names are those below the root, so a folder may be moved. Where one file has changed,
:mod:`trainers.data.pixels.file_hashes` spares the others.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from trainers.data.pixels.file_hashes import facts_of, file_hashes, settled
from trainers.storage.content import KEY_LENGTH, content_key
from trainers.storage.files import write_atomically


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
    facts = {name: facts_of(names[name]) for name in sorted(names)}
    place = content_key([[_ascii(name), *fact] for name, fact in facts.items()] + [inspect is not None])
    record = cache / "hashes" / f"{place}.json"
    known = _remembered(record)
    if known is not None:
        return known
    hashes = file_hashes(root, names.values(), cache, inspect)
    digest = _digest((name, size, hashes[names[name]]) for name, (size, *_) in facts.items())
    if all(settled(fact, started) for fact in facts.values()):
        write_atomically(record, json.dumps({"digest": digest, "check": content_key([place, digest])}).encode())
    return digest


def _ascii(name: str) -> str:
    """A name as text that every encoding takes, whatever its bytes, without loss."""
    return json.dumps(name)


def _remembered(record: Path) -> str | None:
    """The digest written at `record`, or None where there is none or it is damaged: it is then found out anew."""
    try:
        content = json.loads(record.read_bytes())
        digest = str(content["digest"])
        return digest if content["check"] == content_key([record.stem, digest]) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _digest(files: Iterable[tuple[str, int, str]]) -> str:
    digest = hashlib.sha256()
    for name, size, content in files:
        digest.update(f"{_ascii(name)}:{size}:{content};".encode())
    return digest.hexdigest()[:KEY_LENGTH]
