"""Folders that cannot be written, for an administrator's tests too, whom modes do not hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
"""A user without rights, by number."""


@contextmanager
def archived(folder: Path) -> Iterator[Path]:
    """A copy of a folder that everybody may read and nobody write, below which temporary folders' owners do not stand
    in the way; the files are writable again afterwards, to be removed."""
    place = Path(tempfile.mkdtemp(prefix="archive-"))
    try:
        place.chmod(0o755)
        copy = place / folder.name
        shutil.copytree(folder, copy)
        _allow(copy, folders=0o555, files=0o444)
        yield copy
    finally:
        _allow(place, folders=0o755, files=0o644)
        shutil.rmtree(place)


@contextmanager
def powerless() -> Iterator[None]:
    """This process without an administrator's rights, where it has them."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def _allow(top: Path, *, folders: int, files: int) -> None:
    for path in [*sorted(top.rglob("*"), reverse=True), top]:
        path.chmod(folders if path.is_dir() else files)
