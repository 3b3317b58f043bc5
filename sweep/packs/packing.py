"""`sweep pack`: a sweep's folder as one archive, whose bytes are equal for equal ledgers and releases."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from sweep.layout import PACK, SweepPaths
from sweep.packs import contents
from sweep.packs.manifest import FORMAT, MANIFEST, MEMBERS, Manifest, Member
from trainers.errors import InputError, StorageError
from trainers.storage.content import file_sha256
from trainers.versions import at_work

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: zip knows no earlier one."""
MODE = stat.S_IFREG | 0o644
LEVEL = 6
"""Of zlib's compression."""
CHUNK = 2**20


def pack(
    paths: SweepPaths, output: Path | None, say: Callable[[str], None], tell: Callable[[str], None] = lambda _: None
) -> Path:
    """Write a sweep as one file, also while it runs.

    Args:
        paths: the sweep's.
        output: the file, which takes the place of an earlier one when it is complete; by default it is named after the
            sweep, in this folder.
        say: is told what is being done, in a few words.
        tell: hears what could not be packed, and why.

    Returns:
        Where it lies.

    Raises:
        InputError: where the sweep has no plan yet, or `output` is no place for a file.
        StorageError: when something cannot be read or written; `output` is then as it was.
    """
    place = output or Path(f"{paths.folder.name}{PACK}")
    if place.exists() and not place.is_file():
        raise InputError(f"{place} is no file; name one with --output")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pack-", dir=place.parent) as work:
            folder = Path(work) / "sweeps" / paths.folder.name
            folder.mkdir(parents=True)
            ledger = contents.lay_out(paths, folder, say, tell)
            say(f"compressing {place}")
            new = Path(work) / place.name
            _archive(folder, ledger, new)
            new.replace(place)
    except OSError as error:
        raise StorageError(f"cannot write {place}: {error.strerror or error}") from error
    return place


def _archive(folder: Path, ledger: str, output: Path) -> None:
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    members = {
        name: Member(size=_size(folder / name), sha256=file_sha256(folder / name)) for name in found if _is(name)
    }
    manifest = Manifest(format=FORMAT, name=folder.name, ledger=ledger, releases=at_work(), members=members)
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr(_info(MANIFEST), manifest.model_dump_json(indent=1) + "\n", compresslevel=LEVEL)
        for name in members:
            with (folder / name).open("rb") as source, archive.open(_info(name, _size(folder / name)), "w") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
    with output.open("rb") as file:
        os.fsync(file.fileno())


def _is(name: str) -> bool:
    """Whether a file is to be packed: the lock, say, is not."""
    return MEMBERS.fullmatch(name) is not None


def _size(path: Path) -> int:
    return path.stat().st_size


def _info(name: str, size: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = MODE << 16
    info.create_system = 3  # as on every system
    info.file_size = size
    return info
