"""A plan's own code: kept below the root by its content, and loaded by every process that trains."""

from __future__ import annotations

import shutil
from pathlib import Path

from sweep.layout import Root, SweepPaths
from trainers.code import Code, load, load_installed
from trainers.errors import InputError
from trainers.storage.files import write_atomically
from trainers.storage.inputs import is_file, read_file
from trainers.storage.shared import Storage

LARGEST = 2**23
"""Bytes of a kept file: what :data:`trainers.code.MOST_BYTES` may take as JSON."""


def keep(code: Code, root: Root) -> None:
    """Lay the files down for the workers, and give them to the storage.

    Raises:
        StorageError: when they cannot be written.
    """
    if code:
        path = root.code(code.key)
        write_atomically(path, code.to_json().encode("utf-8", "surrogatepass"))
        root.storage.push(path)


def lay_out(code: Code, paths: SweepPaths) -> None:
    """Put a copy into the sweep's folder, for people to read, in place of an earlier one.

    Raises:
        StorageError: when it cannot be written.
    """
    shutil.rmtree(paths.code, ignore_errors=True)
    for path, text in code.files:
        write_atomically(paths.code / path, text.encode())


def at_hand(key: str, root: Root) -> None:
    """Load what is installed here and a plan's own code, where it has any; its networks may need either.

    Raises:
        InputError: as :func:`load_kept`.
    """
    load_installed()
    if key:
        load_kept(root.code(key), root.storage)


def load_kept(path: Path, storage: Storage) -> None:
    """Load what :func:`keep` has kept at `path`, as on the machine where the sweep was begun.

    Raises:
        InputError: when it is missing, damaged, or cannot be imported here.
    """
    load_installed()
    load(kept(path, storage))


def kept(path: Path, storage: Storage) -> Code:
    """What :func:`keep` has kept at `path`. Raises InputError where it is missing or damaged."""
    if not is_file(path):
        storage.pull(path)
    if not is_file(path):
        raise InputError(f"the sweep's own code is missing here: {path}; this machine must see the sweep's root")
    code = Code.from_json(read_file(path, LARGEST).decode("utf-8", "surrogatepass"))
    if code.key != path.stem:
        raise InputError(f"the sweep's own code in {path} is damaged; remove it, and run the sweep again")
    return code
