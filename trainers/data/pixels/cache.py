"""Decoded once, memory-mapped by every process: a data set's pixels as files that all workers of a machine share.

An **entry** is one data set, decoded: a folder named by its source and by a key of the source files' content and of how
they are decoded. It appears by one rename, complete or not at all. Whoever opens it hashes the pixels and labels, which
is the data set's content hash as well, so a torn or damaged entry is noticed, and decoded anew.

The cache lies in the folder that `SWEEP_CACHE` names, else in `./runs/cache`. It can be removed at any time: open
mappings live on, and the next to open the data set decodes it again.

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from PIL import __version__ as pillow_version
from torch import Tensor

from trainers.data.base import ImageData, Images, Split, pixels_key, several_classes
from trainers.data.pixels.decode import Part
from trainers.data.pixels.fingerprint import fingerprint
from trainers.data.pixels.mapped import MappedSplit
from trainers.errors import StorageError
from trainers.storage.content import content_key
from trainers.storage.files import write_atomically
from trainers.storage.inputs import expanded, readable

logger = logging.getLogger(__name__)

VARIABLE = "SWEEP_CACHE"
"""Environment variable that names the cache's folder."""
DEFAULT_FOLDER = "runs/cache"
"""Where the cache lies otherwise, below the working directory."""
FORMAT = 2
"""Of an entry; another number is another key. In the first one, grey images of 16 bits in PGM files were white."""
ABOUT = "about.json"
"""An entry's file of everything but pixels and labels."""
SPLITS = ("train", "test")
ZEROS = 1 << 20
"""Bytes that are written at a time, where the system cannot reserve a file's place."""
Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of each channel, of pixels in [0, 1]."""
STATISTICS_CHUNK = 1024
"""Images that are counted at a time, for the mean and standard deviation."""


@dataclass(frozen=True)
class Contents:
    """A data set that waits to be decoded."""

    image_size: tuple[int, int]
    """Height and width in pixels."""
    classes: tuple[str, ...]
    train: Part
    test: Part


def cache_folder() -> Path:
    """Where the cache lies."""
    return expanded(Path(os.environ.get(VARIABLE) or DEFAULT_FOLDER))


def decoded(
    source: str,
    root: Path,
    files: Iterable[Path],
    options: Mapping[str, Any],
    read: Callable[[], Contents],
    statistics: Statistics | None = None,
) -> ImageData:
    """The data set that `read` decodes, from the cache if it holds it, else decoded into it now.

    Args:
        source: the source's name.
        root: folder of the files; their names below it are part of the entry's key, its own name is not.
        files: every file whose content decides the data set's.
        options: how it is decoded, as JSON.
        read: finds labels and classes, and knows how to decode the pixels.
        statistics: mean and standard deviation per channel; None measures them on the training images.

    Raises:
        InputError: when `read` finds a fault in the files, or an entry of an older release has one class alone.
        StorageError: when the cache cannot be written or its disk is full.
    """
    folder = cache_folder()
    key = content_key([fingerprint(root, files, folder), dict(options), pillow_version, FORMAT, statistics])
    entry = folder / f"{source}-{key}"
    data = _opened(entry, source)
    if data is None:
        with locked(folder / f".{entry.name}.lock"):
            data = _opened(entry, source)  # another process may have decoded it while this one waited
            if data is None:
                _write(entry, read(), statistics)
                data = _opened(entry, source)
    if data is None:
        raise StorageError(f"{entry} does not read back as it was written: the disk or its memory is at fault")
    several_classes(data.classes, readable(root))
    return data


def _opened(entry: Path, source: str) -> ImageData | None:
    """The entry's data set, or None where there is none or it is not whole."""
    if not entry.exists():
        return None
    try:
        about = json.loads((entry / ABOUT).read_text("utf-8"))
        if content_key(about["data"]) == about["check"]:
            data = _mapped(entry, source, about["data"])
            if pixels_key(_plain(data.train), _plain(data.test)) == data.fingerprint:
                return data
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.warning("%s is damaged and will be decoded again: %s", entry, error)
    else:
        logger.warning("%s is damaged and will be decoded again: its content is not what was written", entry)
    return None


def _mapped(entry: Path, source: str, about: Mapping[str, Any]) -> ImageData:
    """The data set that an entry's `about` describes, its files mapped.

    Raises:
        OSError, ValueError: when a file is missing or has another size.
    """
    splits, start = [], 0
    for name in SPLITS:
        count = about[name]
        shape = (count, 3, *about["image_size"])
        labels = _map(entry / f"{name}-labels", (count,), torch.int64).clone()
        index = torch.arange(start, start + count)
        splits.append(
            MappedSplit(_map(entry / f"{name}-images", shape, torch.uint8), torch.arange(count), labels, index)
        )
        start += count
    return ImageData(
        name=source,
        train=splits[0],
        test=splits[1],
        classes=tuple(about["classes"]),
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
        fingerprint=about["content"],
    )


def _map(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A file as a tensor; pages are shared by all processes until one writes, which changes its own copy alone."""
    numbers = torch.Size(shape).numel()
    expected = numbers * dtype.itemsize
    if path.stat().st_size != expected:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, not {expected}")
    return torch.from_file(str(path), shared=False, size=numbers, dtype=dtype).view(shape)


def _plain(split: Images) -> Split:
    """A whole mapped split as tensors, without a copy."""
    if not isinstance(split, MappedSplit):
        raise TypeError(f"expected a mapped split, found {type(split).__name__}")
    return Split(split.store, split.labels, split.index)


def _write(entry: Path, contents: Contents, statistics: Statistics | None) -> None:
    """Decode into a temporary folder, and rename it. Under the entry's lock: older temporary folders are left-overs."""
    for left_over in entry.parent.glob(f".{entry.name}.*.partial"):
        shutil.rmtree(left_over)
    started = time.perf_counter()
    try:
        partial = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f".{entry.name}.", suffix=".partial"))
        try:
            _fill(partial, contents, statistics)
            _replace(partial, entry)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # nothing is there when all went well
    except OSError as error:
        raise StorageError(f"cannot write {entry}: {error.strerror or error}") from error
    logger.info("decoded %s in %.1f seconds", entry, time.perf_counter() - started)


def _fill(partial: Path, contents: Contents, statistics: Statistics | None) -> None:
    """Every file of an entry, on the disk."""
    splits = {}
    for name, part in zip(SPLITS, (contents.train, contents.test), strict=True):
        labels = torch.tensor(part.labels, dtype=torch.int64)
        images = _new(partial / f"{name}-images", (len(labels), 3, *contents.image_size), torch.uint8)
        part.fill(images)
        _new(partial / f"{name}-labels", (len(labels),), torch.int64).copy_(labels)
        splits[name] = Split(images, labels, labels)
    mean, std = statistics or channel_statistics(splits["train"].images)
    about = {
        "image_size": contents.image_size,
        "classes": contents.classes,
        **{name: len(split) for name, split in splits.items()},
        "mean": mean,
        "std": std,
        "content": pixels_key(splits["train"], splits["test"]),
    }
    for path in partial.iterdir():
        _flush(path)
    write_atomically(partial / ABOUT, json.dumps({"data": about, "check": content_key(about)}).encode())


def _new(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A new file as a tensor that is written through. Its place is taken first: a full disk would kill the process."""
    numbers = torch.Size(shape).numel()
    with path.open("wb") as file:
        _reserve(file, numbers * dtype.itemsize)
    return torch.from_file(str(path), shared=True, size=numbers, dtype=dtype).view(shape)


def _reserve(file: IO[bytes], size: int) -> None:
    """Take a file's place on the disk. Raises OSError when there is none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, ZEROS):  # macOS
        file.write(bytes(min(ZEROS, size - start)))


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _replace(partial: Path, entry: Path) -> None:
    """Rename the finished folder; a damaged one in its place goes first."""
    partial.chmod(0o755)
    if entry.exists():
        shutil.rmtree(entry)
    partial.rename(entry)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for whoever has it; the system lets go of it when its holder dies.

    Raises:
        StorageError: when the cache cannot be written, or its disk has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write the cache at {path.parent} ({VARIABLE}): {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise StorageError(
                f"the disk of the cache at {path.parent} has no file locks ({error.strerror}); choose a --root on a"
                f" disk of this machine, or name a folder there in {VARIABLE} where no sweep does"
            ) from error
        yield


def channel_statistics(images: Tensor) -> Statistics:
    """Mean and standard deviation of each channel, of pixels in [0, 1], exactly: by counting values.

    Args:
        images: uint8 ``[N, 3, H, W]``.
    """
    counts = torch.zeros(3, 256, dtype=torch.int64)
    for chunk in images.split(STATISTICS_CHUNK):  # type: ignore[no-untyped-call]
        for channel in range(3):
            counts[channel] += torch.bincount(chunk[:, channel].flatten(), minlength=256)
    share = counts.double() / counts.sum(dim=1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ values  # [3]
    variance = (share * (values - mean[:, None]) ** 2).sum(dim=1)
    return _three(mean), _three(variance.sqrt())


def _three(tensor: Tensor) -> tuple[float, float, float]:
    first, second, third = tensor.tolist()
    return first, second, third
