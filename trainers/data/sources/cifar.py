"""CIFAR-10 and CIFAR-100 (A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009).

60,000 images of 32 × 32 pixels, 50,000 of them for training. `path` is the folder that holds the published folder or
its archive, or the published folder itself: the Python version (``cifar-100-python``, ``cifar-10-batches-py``), the
binary version (``cifar-100-binary``, ``cifar-10-batches-bin``), or either as ``.tar.gz``, read without unpacking it.
The Python version's pickles are read by :mod:`trainers.data.sources.inert`, which runs nothing in them.

Shapes: `N` images.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar
from urllib.error import HTTPError

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from trainers.data.base import DataSource, ImageData
from trainers.data.pixels.cache import Contents, Statistics, decoded
from trainers.data.pixels.decode import Part, reason
from trainers.data.sources.checks import check_classes, check_labels
from trainers.data.sources.inert import read_pickle, text_list
from trainers.errors import InputError
from trainers.storage.inputs import expanded, is_file, open_file, read_file, readable

SIDE = 32
LARGEST = 500_000_000
"""Bytes of a file, and of an archive when it is unpacked; of the published ones at most 190 million."""
GZIP = b"\x1f\x8b"
"""How a file begins that gzip has written."""
PIXELS = 3 * SIDE * SIDE
Pixels = NDArray[np.uint8]
Records = tuple[Pixels, list[int], str]
"""Images ``[N, 3072]`` with labels, and the file that they are from."""


@dataclass(frozen=True)
class Layout:
    """One published form of a data set."""

    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    """File of the class names."""
    pickled: bool


class Store:
    """The files of one layout, in a folder or an archive."""

    def __init__(self, layout: Layout, place: Path) -> None:
        self.layout, self.place = layout, place
        self._archived: dict[str, bytes] = {}

    @property
    def files(self) -> list[Path]:
        """What must be hashed."""
        if self.place.is_file():
            return [self.place]
        names = (*self.layout.train, *self.layout.test, self.layout.names)
        return [self.place / name for name in names]

    def where(self, name: str) -> str:
        """What a message calls a file: its path, or that of the archive with the file's name behind."""
        return readable(self.place / name)

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises InputError when it is missing or cannot be read."""
        if self.place.is_file():
            return self._from_archive(name)
        return read_file(self.place / name, LARGEST)

    def _from_archive(self, name: str) -> bytes:
        if not self._archived:
            self._archived = _unpacked(self.place, self.layout)
        if name not in self._archived:
            raise InputError(f"{readable(self.place)} has no {self.layout.folder}/{name}: the archive is incomplete")
        return self._archived[name]


def _unpacked(archive: Path, layout: Layout) -> dict[str, bytes]:
    """The layout's files in an archive, read into memory."""
    wanted = {f"{layout.folder}/{name}": name for name in (*layout.train, *layout.test, layout.names)}
    contents: dict[str, bytes] = {}
    try:
        with (
            open_file(archive, LARGEST) as file,
            _unzipped(file) as plain,
            tarfile.open(fileobj=plain, mode="r:") as tar,
        ):
            for member in tar:
                stream = tar.extractfile(member) if member.name in wanted and _fits(member) else None
                if stream is not None:
                    contents[wanted[member.name]] = stream.read()
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"{readable(archive)} is not a readable archive: {reason(error)}") from error
    return contents


def _unzipped(file: BinaryIO) -> BinaryIO:
    """An archive without its compression, in memory; raises TarError for one that unpacks to too much."""
    zipped = file.read(len(GZIP)) == GZIP
    file.seek(0)
    with gzip.open(file) if zipped else nullcontext(file) as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise tarfile.TarError(f"it unpacks to more than {LARGEST:,} bytes")
    return io.BytesIO(content)


def _fits(member: tarfile.TarInfo) -> bool:
    """Whether it is a file; raises TarError for one whose holes are larger than an archive may be."""
    if member.size > LARGEST:
        raise tarfile.TarError(f"{member.name} claims {member.size:,} bytes")
    return member.isfile()


class Cifar(DataSource):
    """What CIFAR-10 and CIFAR-100 share."""

    name: ClassVar[str]
    layouts: ClassVar[tuple[Layout, ...]]
    statistics: ClassVar[Statistics]
    whereabouts: ClassVar[frozenset[str]] = frozenset({"path", "download"})

    path: Path = Field(Path("data"), validate_default=False)  # the default is no string, as JSON has it
    """Folder that holds the published folder or its archive, or that folder itself."""
    download: bool = False
    """Fetch the archive into `path` where nothing is there; nothing is ever fetched otherwise."""

    def load(self) -> ImageData:
        """Open the files, unpacking them on the first call, after fetching them where `download` is set.

        Raises:
            InputError: where the files are missing or damaged, or cannot be fetched.
        """
        store = self._found()
        if store is None and self.download:
            self._fetch()
            store = self._found()
        if store is None:
            raise InputError(self._missing())
        return self._opened(store)

    def _opened(self, store: Store) -> ImageData:
        options = {"layout": store.layout.folder}
        root = store.place.parent
        return decoded(self.name, root, store.files, options, lambda: self._read(store), self.statistics)

    def _found(self) -> Store | None:
        """The first layout that is there."""
        root = expanded(self.path)
        for layout in self.layouts:
            for place in (root / layout.folder, root):
                if all(is_file(place / name) for name in layout.train[:1] + layout.test):
                    return Store(layout, place)
            if is_file(root / layout.archive):
                return Store(layout, root / layout.archive)
        return None

    def _missing(self) -> str:
        layouts = ", ".join(f"{layout.folder}/ or {layout.archive}" for layout in self.layouts)
        return (
            f"no {self.name} in {readable(expanded(self.path).absolute())}: it should hold one of {layouts}"
            " (option path); or set download: true"
        )

    def _fetch(self) -> None:
        """Fetch the archive, by the address and checksum that torchvision knows."""
        from torchvision import datasets
        from torchvision.datasets.utils import download_url

        published, folder = getattr(datasets, self.name.upper()), expanded(self.path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download.") as unfinished:
                download_url(published.url, unfinished, published.filename, published.tgz_md5)
                (Path(unfinished) / published.filename).replace(folder / published.filename)
        except (OSError, RuntimeError) as error:
            if isinstance(error, HTTPError):
                error.close()  # it holds the connection open
            raise InputError(
                f"cannot download {self.name} from {published.url}: {reason(error)}; fetch the archive yourself and put"
                f" it into {folder.absolute()}"
            ) from error

    def _read(self, store: Store) -> Contents:
        """Every record, checked."""
        classes = self._classes(store)
        parse = self._pickled if store.layout.pickled else self._binary
        splits = []
        for names in (store.layout.train, store.layout.test):
            records = [parse(store.read(name), store.where(name)) for name in names]
            for _, labels, where in records:
                check_labels(labels, len(classes), partial(_record, where))
            splits.append(_part(records))
        check_classes(splits[0].labels, classes, readable(store.place))
        return Contents((SIDE, SIDE), classes, splits[0], splits[1])

    def _classes(self, store: Store) -> tuple[str, ...]:
        content, where = store.read(store.layout.names), store.where(store.layout.names)
        if not store.layout.pickled:
            return tuple(line.strip() for line in content.decode("utf-8", "replace").splitlines() if line.strip())
        try:
            return text_list(read_pickle(content, where)[self._key("label_names")])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where} holds no list '{self._key('label_names')}' of class names") from error

    def _pickled(self, content: bytes, where: str) -> Records:
        record = read_pickle(content, where)
        images, labels = record.get("data"), record.get(self._key("labels"))
        if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != PIXELS:
            raise InputError(f"{where}: 'data' is no array of N × {PIXELS} bytes")
        if not isinstance(labels, list) or len(labels) != len(images):
            raise InputError(f"{where}: '{self._key('labels')}' is no list of {len(images)} labels, one for each image")
        return images, labels, where

    def _key(self, what: str) -> str:
        """The published name of a list of labels or names."""
        return what

    def _binary(self, content: bytes, where: str) -> Records:
        """Records of label bytes, then 3,072 pixels."""
        labels, column = self._label_bytes()
        size = labels + PIXELS
        if not content or len(content) % size:
            raise InputError(f"{where}: its {len(content)} bytes are no whole number of records of {size} bytes")
        records = np.frombuffer(content, np.uint8).reshape(-1, size)
        return records[:, labels:], records[:, column].tolist(), where

    def _label_bytes(self) -> tuple[int, int]:
        """How many bytes of labels a binary record begins with, and which is the label."""
        return 1, 0


def _record(where: str, position: int) -> str:
    return f"{where}, record {position}"


def _part(records: list[Records]) -> Part:
    def fill(images: Tensor) -> None:
        pixels = np.concatenate([part for part, *_ in records])
        images.copy_(torch.from_numpy(pixels.reshape(-1, 3, SIDE, SIDE)))

    return Part([label for _, labels, _ in records for label in labels], fill)


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


class Cifar10(Cifar):
    """CIFAR-10: ten classes."""

    summary: ClassVar[str] = "CIFAR-10, 10 classes, 50,000 + 10,000 images, 32 × 32: the published files"
    name: ClassVar[str] = "cifar10"
    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout("cifar-10-batches-py", "cifar-10-python.tar.gz", _BATCHES, ("test_batch",), "batches.meta", True),
        Layout(
            "cifar-10-batches-bin",
            "cifar-10-binary.tar.gz",
            tuple(f"{name}.bin" for name in _BATCHES),
            ("test_batch.bin",),
            "batches.meta.txt",
            False,
        ),
    )
    statistics: ClassVar[Statistics] = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


class Cifar100(Cifar):
    """CIFAR-100: a hundred classes in twenty groups."""

    summary: ClassVar[str] = "CIFAR-100, 100 classes, 50,000 + 10,000 images, 32 × 32: the published files"
    name: ClassVar[str] = "cifar100"
    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout("cifar-100-python", "cifar-100-python.tar.gz", ("train",), ("test",), "meta", True),
        Layout(
            "cifar-100-binary",
            "cifar-100-binary.tar.gz",
            ("train.bin",),
            ("test.bin",),
            "fine_label_names.txt",
            False,
        ),
    )
    statistics: ClassVar[Statistics] = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))

    def _key(self, what: str) -> str:
        return f"fine_{what}"

    def _label_bytes(self) -> tuple[int, int]:
        return 2, 1  # the group, then the class
