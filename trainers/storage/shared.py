"""A storage that several machines share: an object store or a folder, named by a URI.

Where there is one, what lies below the local root is this machine's copy of it. Files are named by their content, or
written once. Such a file is there whole or not at all, on either side: it appears by a rename, in an object store by
the end of its upload. The few that change are passed on `anew`; who fetches one from an object store in that very
moment may get a part of the old and a part of the new one, so what matters of them must be checked.

Credentials are each machine's own business (``AWS_ACCESS_KEY_ID`` and its kind, an instance's role). A URI that holds
some is refused, since it goes along with every job.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from trainers.errors import AwayError, InputError, StorageError
from trainers.storage.copying import OBJECT_STORES, fetch, give

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

AT_ONCE = 8
"""Files that are fetched at a time."""
SECRET = re.compile(r"(?i)secret|password|token|key|signature|credential")
"""Names of URI options that hold a credential."""
REFUSED = (
    "refuses this machine's credentials; they come from its own environment (AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY, or its role)"
)
ABSENT = "has no such bucket"
SILENT = "does not answer; is its address right, and is the network up?"
REASONS = {
    "NO_SUCH_BUCKET": ABSENT,
    "NoSuchBucket": ABSENT,
    "ACCESS_DENIED": REFUSED,
    "INVALID_ACCESS_KEY_ID": REFUSED,
    "INVALID_CLIENT_TOKEN_ID": REFUSED,
    "SIGNATURE_DOES_NOT_MATCH": REFUSED,
    "MISSING_AUTHENTICATION_TOKEN": REFUSED,
    "HTTP status 403": REFUSED,
    "NETWORK_CONNECTION": SILENT,
    "curlCode": SILENT,
}
"""What a mark in pyarrow's message means; the first that fits is taken."""
LASTING = (ABSENT, REFUSED)
"""Reasons that only somebody's hand takes away."""


MARK = ".storage"
"""In a folder that is a storage. Where it is missing the folder is another one, such as that on which a disk is mounted
as a rule."""


class Storage:
    """No storage: the local root is all there is, so there is nothing to do."""

    uri = ""

    def check_writable(self) -> None:
        """Raises StorageError when nothing can be written."""

    def sizes(self, folder: Path) -> dict[str, int]:
        """Bytes of each file of a folder in the storage, by its name below the folder."""
        return {}

    def has(self, path: Path) -> bool:
        """Whether the storage has a file."""
        return False

    def read(self, path: Path) -> bytes | None:
        """A file's content in the storage; None where there is none."""
        return None

    def pull(self, path: Path, only: str = "*", *, anew: bool = False) -> None:
        """Fetch a file, or the files of a folder that fit `only`, as far as they are not here in their full size."""

    def push(self, path: Path, *, anew: bool = False) -> None:
        """Pass on a file, unless the storage has one of its size there."""

    def mirror(self, folder: Path) -> None:
        """Make the storage's folder equal to the local one."""

    def remove(self, path: Path) -> None:
        """Remove a file or folder from the storage; the local one stays."""

    def release(self, folder: Path) -> None:
        """Remove the local copy of a folder, which the storage has."""


NOWHERE = Storage()


def storage_at(uri: str | None, local: Path, *, begun: bool = False) -> Storage:
    """The storage at `uri`, of which `local` is this machine's copy; none where no URI is given.

    Args:
        uri: of an object store or a folder, or a folder's path.
        local: the root.
        begun: whether somebody has found it writable already, so that it has to be there.

    Raises:
        InputError: for a URI that holds credentials, is no URI that pyarrow reads, or names the local folder itself.
    """
    if not uri:
        return NOWHERE
    return SharedStorage(uri if "://" in uri else str(Path(uri).expanduser().absolute()), local, begun=begun)


class SharedStorage(Storage):
    """See :func:`storage_at`. All paths are local ones, below the root.

    Raises:
        StorageError: from any method, when the storage does not do what it is asked.
    """

    def __init__(self, uri: str, local: Path, *, begun: bool = False) -> None:
        refuse_credentials(uri)
        self.uri = uri
        self._begun = begun
        self._local = local.absolute()
        scheme = urlsplit(uri).scheme
        if scheme in ("", "file") and Path(urlsplit(uri).path).resolve() == self._local.resolve():
            raise InputError(f"the storage {uri} is the root itself; leave it out, or name another folder as --root")

    @cached_property
    def _remote(self) -> tuple[FileSystem, str]:
        return connected(self.uri)

    @property
    def _there(self) -> FileSystem:
        """Its file system. Raises AwayError where a folder is not the one that was found writable."""
        files, base = self._remote
        if self._begun and files.type_name not in OBJECT_STORES and not files.get_file_info(f"{base}/{MARK}").is_file:
            raise AwayError(f"the storage {self.uri} is not there: {base} lacks its {MARK}; is its disk mounted?")
        return files

    def _place(self, path: Path) -> str:
        """Where the storage has what lies at a local path. Raises StorageError for one that is not below the root, as
        a name may be that somebody else has written into the storage."""
        whole = path.absolute()
        inside = whole.relative_to(self._local) if whole.is_relative_to(self._local) else None
        if inside is None or ".." in inside.parts:
            raise StorageError(f"{path} does not lie below {self._local}: the storage {self.uri} is not asked for it")
        return (PurePosixPath(self._remote[1]) / inside).as_posix()

    def check_writable(self) -> None:
        """Write a file of a few bytes into the storage, and remove it; a folder is marked as a storage."""
        with explained(self.uri):
            files, base = self._remote
            is_folder = files.type_name not in OBJECT_STORES
            if is_folder:
                files.create_dir(base)
            probe = f"{base}/.probe-{uuid4().hex}"
            with files.open_output_stream(probe) as stream:
                stream.write(b"room?")
            if is_folder and not files.get_file_info(f"{base}/{MARK}").is_file:
                files.move(probe, f"{base}/{MARK}")
            else:
                files.delete_file(probe)
        self._begun = True

    def sizes(self, folder: Path) -> dict[str, int]:
        """Bytes of each file of a folder, as the storage lists it now, by its name below the folder.

        Temporary files are left out; a folder that is not there has no files.
        """
        with explained(self.uri):
            return {name: size for name, (size, _) in listed(self._there, self._place(folder)).items()}

    def has(self, path: Path) -> bool:
        """Whether the storage has a file now; a folder does not count."""
        with explained(self.uri):
            return bool(self._there.get_file_info(self._place(path)).is_file)

    def read(self, path: Path) -> bytes | None:
        """A file's content, of which no local copy is made; None where there is none."""
        with explained(self.uri), suppress(FileNotFoundError):
            stream = self._there.open_input_stream(self._place(path))
            with stream:
                return bytes(stream.read())
        return None

    def pull(self, path: Path, only: str = "*", *, anew: bool = False) -> None:
        """Fetch a file, or what fits `only` of a folder, :data:`AT_ONCE` files at a time.

        A local file of the same size counts as the same, unless all is asked for `anew`. What the storage does not have
        is left as it is here.
        """
        with explained(self.uri):
            files, place = self._there, self._place(path)
            info = files.get_file_info(place)
            there = {path: info.size} if info.is_file else {}
            if not info.is_file:
                inside = listed(files, place).items()
                there = {path / name: size for name, (size, _) in inside if fnmatchcase(name, only)}
            wanted = [local for local, size in there.items() if anew or _local_size(local) != size]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda local: fetch(files, self._place(local), local), wanted))

    def push(self, path: Path, *, anew: bool = False) -> None:
        """Pass on a file; one of the same size there counts as the same, unless it is passed on `anew`."""
        with explained(self.uri):
            files, place = self._there, self._place(path)
            if anew or files.get_file_info(place).size != path.stat().st_size:
                give(path, files, place)

    def mirror(self, folder: Path) -> None:
        """Pass on what the storage lacks or has in another size, and remove there what is not here."""
        with explained(self.uri):
            files, place = self._there, self._place(folder)
            there = {name: size for name, (size, _) in listed(files, place).items()}
            here = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            here = {name: path for name, path in here.items() if not _hidden(name)}
            for name, path in here.items():
                if there.get(name) != path.stat().st_size:
                    give(path, files, f"{place}/{name}")
            for name in there.keys() - here.keys():
                with suppress(FileNotFoundError):
                    files.delete_file(f"{place}/{name}")

    def remove(self, path: Path) -> None:
        """Remove a file or folder from the storage, if it is there; the local one stays."""
        with explained(self.uri), suppress(FileNotFoundError):
            files, place = self._there, self._place(path)
            info = files.get_file_info(place)
            if info.is_file:
                files.delete_file(place)
            elif info.type.name == "Directory":
                files.delete_dir(place)

    def release(self, folder: Path) -> None:
        """Remove the local copy of a folder; what cannot be removed stays, without an error."""
        shutil.rmtree(folder, ignore_errors=True)


# -- a file system and what it holds ----------------------------------------------------------------------------


def refuse_credentials(uri: str) -> None:
    """Raises InputError for a URI that holds some; it is not shown."""
    try:
        parts = urlsplit(uri)
        held = parts.password is not None or (parts.scheme == "s3" and parts.username is not None)
        held = held or any(SECRET.search(name) for name, _ in parse_qsl(parts.query))
    except ValueError as error:
        raise InputError(f"a storage's URI cannot be read: {error}") from error
    if held:
        raise InputError(
            f"the {parts.scheme}:// URI holds a password or a key; leave it out, and set it in the environment of each"
            " machine (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for S3)"
        )


@lru_cache(maxsize=8)
def connected(uri: str) -> tuple[FileSystem, str]:
    """The file system that a URI names, and the path in it. For S3 this may ask for the bucket's region.

    Raises:
        InputError: for what is no URI of a file system that pyarrow has.
        StorageError: when it does not answer.
    """
    import pyarrow as pa
    from pyarrow.fs import FileSystem

    with explained(uri):
        try:
            files, base = FileSystem.from_uri(uri)
        except (pa.ArrowInvalid, NotImplementedError) as error:
            raise InputError(
                f"{uri} names no storage ({_first_line(error)}); expected s3://bucket/prefix, gs://bucket/prefix,"
                " hdfs://host/path, file:///path or a folder"
            ) from error
    return files, base.rstrip("/")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """What pyarrow and the network raise, as one sentence that names the storage.

    Raises:
        StorageError: in place of an OSError, or an error of pyarrow's, in the block; AwayError, where it may pass.
    """
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        text = _first_line(error)
        reason = next((reason for mark, reason in REASONS.items() if mark in text), f"failed: {text}")
        lasts = reason in LASTING or isinstance(error, PermissionError)
        raise (StorageError if lasts else AwayError)(f"the storage {uri} {reason}") from error


def listed(files: FileSystem, place: str) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of change in nanoseconds of each file below a folder, by name; hidden ones left out.

    Names are safe to join to a folder. An object store takes any text for a name, and one such as ``../x`` or ``/x``
    is left out.
    """
    from pyarrow.fs import FileSelector

    everything = FileSelector(place, recursive=True, allow_not_found=True)
    try:
        entries = files.get_file_info(everything)
    except FileNotFoundError:  # the folder came into being while it was looked for
        entries = files.get_file_info(everything)
    named = {entry.path.removeprefix(f"{place}/"): entry for entry in entries if entry.is_file}
    return {name: (entry.size, entry.mtime_ns or 0) for name, entry in named.items() if not _hidden(name)}


def _hidden(name: str) -> bool:
    """Whether it is the temporary file of somebody who writes, or no name below a folder."""
    return any(part.startswith((".", "/")) for part in PurePosixPath(name).parts)


def _local_size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
