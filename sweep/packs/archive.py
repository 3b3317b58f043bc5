"""A pack's file, read with suspicion: anybody may have made it.

All that could put a file elsewhere, or more of it than was said, is refused before anything is written: paths that
leave the folder, links and devices, names that are one to some file systems, and sizes out of all proportion.
"""

from __future__ import annotations

import hashlib
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.packs.manifest import LARGEST_MANIFEST, MANIFEST, MOST_MEMBERS, Manifest, Member, read_manifest
from trainers.errors import InputError
from trainers.storage.inputs import open_file, readable

CHUNK = 2**20
ALWAYS_ALLOWED = 2**28
"""Bytes that a pack may unfold to, however small it is."""
MOST_RATIO = 200
"""Times its own size that a larger one may; a ledger or a table shrinks to a twentieth."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 1
TORN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError, RuntimeError)
"""What Python's zip module raises of a file that is damaged."""


class Pack:
    """An open pack whose outline was checked; see :func:`opened`."""

    def __init__(self, archive: zipfile.ZipFile, what: str, size: int) -> None:
        self._archive, self._what = archive, what
        infos = archive.infolist()
        if len(infos) > MOST_MEMBERS + 1:
            raise InputError(f"{what} holds {len(infos):,} members; a pack has at most {MOST_MEMBERS:,}")
        self._infos = self._checked(infos)
        self.manifest: Manifest = self._read_manifest()
        self._check_whole(size)

    def _checked(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        """The members by name. Raises InputError for one that is no plain file, and names that some disk takes for
        one."""
        seen: dict[str, str] = {}
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or kind not in (0, stat.S_IFREG):
                raise self._refusal(f"it holds {info.orig_filename!r}, which is no plain file")
            if info.flag_bits & ENCRYPTED or info.compress_type not in METHODS:
                raise self._refusal(
                    f"its member {info.orig_filename!r} is encrypted, or compressed in a way of its own"
                )
            folded = unicodedata.normalize("NFKC", info.orig_filename).casefold()
            if folded in seen:
                raise self._refusal(f"it holds {info.orig_filename!r} and {seen[folded]!r}, which may be one file")
            seen[folded] = info.orig_filename
        for folded, name in seen.items():
            above = [folded.rsplit("/", depth)[0] for depth in range(1, folded.count("/") + 1)]
            if any(folder in seen for folder in above):
                raise self._refusal(f"it holds {name!r} below a file")
        return {info.orig_filename: info for info in infos}

    def _read_manifest(self) -> Manifest:
        info = self._infos.get(MANIFEST)
        if info is None:
            raise self._refusal(f"it has no {MANIFEST}")
        if info.file_size > LARGEST_MANIFEST:
            raise self._refusal(f"its {MANIFEST} has {info.file_size:,} bytes, at most {LARGEST_MANIFEST:,} are read")
        with self._unharmed(), self._archive.open(info) as file:
            text = file.read(LARGEST_MANIFEST + 1)
        return read_manifest(text[: LARGEST_MANIFEST + 1], self._what)

    def _check_whole(self, size: int) -> None:
        """Raises InputError where other members are there than those told, or all of them are too large."""
        told, there = set(self.manifest.members), self._infos.keys() - {MANIFEST}
        if told != there:
            name = min(told ^ there)
            raise self._refusal(f"its {MANIFEST} and its members disagree on {name!r}")
        most = max(ALWAYS_ALLOWED, MOST_RATIO * size)
        if self.size > most:
            raise self._refusal(f"it would unfold to {self.size:,} bytes from {size:,}; at most {most:,} are unfolded")

    @property
    def size(self) -> int:
        """Bytes of all members, as the manifest has them; no more are written."""
        return sum(member.size for member in self.manifest.members.values())

    def extract(self, folder: Path) -> None:
        """Write all members below a folder.

        Raises:
            InputError: where one is not what the manifest says.
            OSError: when the disk is full.
        """
        for name, member in self.manifest.members.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            self._write(name, member, place)

    def _write(self, name: str, member: Member, place: Path) -> None:
        digest, left = hashlib.sha256(), member.size
        with place.open("xb") as target:
            for chunk in self._chunks(name):
                left -= len(chunk)
                if left < 0:
                    raise self._refusal(f"{name} has more than the {member.size:,} bytes that its {MANIFEST} tells")
                digest.update(chunk)
                target.write(chunk)
        if left or digest.hexdigest() != member.sha256:
            raise self._refusal(f"{name} is not what was packed: another checksum")

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self._unharmed():
            file = self._archive.open(self._infos[name])
        with file:
            while True:
                with self._unharmed():
                    chunk = file.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        try:
            yield
        except TORN as error:
            raise self._refusal(f"it is cut short or damaged ({error})") from error

    def _refusal(self, why: str) -> InputError:
        return refusal(self._what, why)


def refusal(what: str, why: str) -> InputError:
    """The message for a file that is no pack, or none any more."""
    return InputError(f"{what} is no whole pack of a sweep: {why}; fetch or make it once more (sweep pack NAME)")


@contextmanager
def opened(path: Path) -> Iterator[Pack]:
    """A pack's file, its outline checked.

    Raises:
        InputError: where there is no file, it is no pack or a torn one, of a later format, or one that would put files
            elsewhere.
    """
    what = readable(path)
    with open_file(path) as file:
        size = path.stat().st_size
        try:
            archive = zipfile.ZipFile(file)
        except TORN as error:
            raise refusal(what, f"it is no zip archive, or one that is cut short ({error})") from error
        with archive:
            yield Pack(archive, what, size)
