"""Images in class folders: ``train/CLASS/*.jpg`` and ``val/CLASS/*.jpg``, in any format that is decoded here.

A set that fits into `memory_gb` is decoded once (shorter side resized, centre cut out) and memory-mapped, as the other
sources are; its weak views are crops after padding. A larger one is streamed (:mod:`trainers.data.pixels.streaming`):
every epoch decodes every file, in worker processes, and the training view is a random part of the file. The two train
differently, and so differ in the data set's content hash.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from pydantic import Field, model_validator

from trainers.data.base import DataSource, ImageData
from trainers.data.pixels.cache import Contents, Statistics, cache_folder, decoded
from trainers.data.pixels.decode import Frame, files_part, inspect
from trainers.data.pixels.fingerprint import fingerprint
from trainers.data.pixels.remote import Place, local_copy
from trainers.data.pixels.streaming import Cropping, StreamedSplit
from trainers.data.sources.checks import check_classes
from trainers.errors import InputError
from trainers.storage.content import content_key
from trainers.storage.inputs import is_folder, readable

TRAIN_FOLDERS = ("train",)
TEST_FOLDERS = ("val", "test", "validation")
"""The first that is there is taken."""
CHANNELS = 3
GIGABYTE = 10**9
IMAGENET_STATISTICS: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation that the field uses for ImageNet."""


class Folder(DataSource):
    """Images in class folders."""

    summary: ClassVar[str] = "images in class folders, train/CLASS/ and val/CLASS/; decoded once, or streamed if large"
    whereabouts: ClassVar[frozenset[str]] = frozenset({"path", "workers", "memory_gb"})
    name: ClassVar[str] = "folder"
    statistics: ClassVar[Statistics | None] = None
    """Mean and standard deviation; None measures them where the set is decoded, and takes ImageNet's where streamed."""

    path: Place
    """Folder that holds `train` and `val` (or `test`), or its URI."""
    image_size: int = Field(224, ge=8, le=1024)
    """Side in pixels of what the network sees."""
    resize: int | None = Field(None, ge=8, le=2048)
    """To what the shorter side is resized before the centre is cut out; null: `image_size`."""
    memory_gb: float = Field(4.0, ge=0)
    """Largest size of the decoded set, in 10^9 bytes; a larger one is streamed."""
    workers: int = Field(2, ge=0, le=64)
    """Processes that decode a streamed set, beside the one that trains; the numbers do not depend on it."""
    area: tuple[float, float] = (0.08, 1.0)
    """Of a streamed training view: smallest and largest share of the file's area."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Of a streamed training view: smallest and largest width over height in the file."""

    @model_validator(mode="after")
    def _ranges(self) -> Folder:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area must be two rising shares in (0, 1], found {list(self.area)}")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"aspect must be two rising positive ratios, found {list(self.aspect)}")
        if self.resize is not None and self.resize < self.image_size:
            raise ValueError(f"resize ({self.resize}) must be at least image_size ({self.image_size})")
        return self

    def load(self) -> ImageData:
        """Open the folders: decode them on the first call, or, where they are large, only read them through once."""
        listing = _listed(local_copy(self.path))
        size = (len(listing.train) + len(listing.test)) * CHANNELS * self.image_size**2
        return self._streamed(listing) if size > self.memory_gb * GIGABYTE else self._decoded(listing)

    @property
    def _shorter_side(self) -> int:
        return self.resize or self.image_size

    def _decoded(self, listing: Listing) -> ImageData:
        options = {"image_size": self.image_size, "resize": self._shorter_side, "splits": listing.folders}
        files = [listing.root / file for file, _ in listing.train + listing.test]
        return decoded(self.name, listing.root, files, options, partial(self._read, listing), self.statistics)

    def _read(self, listing: Listing) -> Contents:
        size = (self.image_size, self.image_size)
        frame = Frame(size, self._shorter_side)
        train, test = (
            [(listing.root / file, label) for file, label in split] for split in (listing.train, listing.test)
        )
        return Contents(size, listing.classes, files_part(train, frame), files_part(test, frame))

    def _streamed(self, listing: Listing) -> ImageData:
        files = [file for file, _ in listing.train + listing.test]
        labels = torch.tensor([label for _, label in listing.train + listing.test])
        everything = torch.arange(len(files))
        whole = StreamedSplit(
            root=listing.root,
            files=tuple(files),
            rows=everything,
            labels=labels,
            index=everything,
            cropping=Cropping(self.image_size, self._shorter_side, self.area, self.aspect),
            workers=self.workers,
        )
        mean, std = self.statistics or IMAGENET_STATISTICS
        paths = [listing.root / file for file in files]
        digest = fingerprint(listing.root, paths, cache_folder(), partial(inspect, resize=self._shorter_side))
        return ImageData(
            name=self.name,
            train=whole.take(everything[: len(listing.train)]),
            test=whole.take(everything[len(listing.train) :]),
            classes=listing.classes,
            mean=mean,
            std=std,
            fingerprint=content_key(["streamed", digest, listing.folders]),
        )


class ImageNet(Folder):
    """ImageNet (ILSVRC 2012) in class folders, as its validation script and torchvision lay it out."""

    summary: ClassVar[str] = "ImageNet (ILSVRC 2012) in class folders, train/ and val/, 224 × 224; streamed"
    name: ClassVar[str] = "imagenet"
    statistics: ClassVar[Statistics | None] = IMAGENET_STATISTICS

    path: Place = Field(Path("data/imagenet"), validate_default=False)  # the default is no string, as JSON has it
    """Folder that holds `train` and `val`, each with a folder for every class (n01440764 ...)."""
    resize: int | None = Field(256, ge=8, le=2048)
    """To what the shorter side is resized before the centre is cut out."""


@dataclass(frozen=True)
class Listing:
    """Files (names below the root) with their labels."""

    root: Path
    folders: tuple[str, str]
    """Names of the training and the test folder."""
    classes: tuple[str, ...]
    train: list[tuple[str, int]]
    test: list[tuple[str, int]]


def _listed(root: Path) -> Listing:
    folders = (_split_folder(root, TRAIN_FOLDERS), _split_folder(root, TEST_FOLDERS))
    names = _subfolders(root / folders[0])
    if not names:
        raise InputError(f"{readable(root / folders[0])} holds no class folder")
    unknown = [name for name in _subfolders(root / folders[1]) if name not in names]
    if unknown:
        raise InputError(f"{readable(root / folders[1] / unknown[0])}: training has no class folder of that name")
    train, test = (_files(root, folder, names) for folder in folders)
    classes = tuple(readable(name) for name in names)
    check_classes([label for _, label in train], classes, readable(root / folders[0]))
    if not test:
        raise InputError(f"{readable(root / folders[1])} holds no image in a class folder")
    return Listing(root, folders, classes, train, test)


def _split_folder(root: Path, names: tuple[str, ...]) -> str:
    for name in names:
        if is_folder(root / name):
            return name
    wanted = " or ".join(f"{name}/" for name in names)
    raise InputError(
        f"no folder {wanted} in {readable(root.absolute())}: expected train/CLASS/ and val/CLASS/ (or test/CLASS/) with"
        " the images of each class (option path)"
    )


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise _unlisted(error) from error


def _files(root: Path, split: str, classes: list[str]) -> list[tuple[str, int]]:
    """Every image of a split: hidden files, and files whose ending no image format has, are left out."""
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    labelled = []
    for label, name in enumerate(classes):
        for folder, files in _walked(root / split / name):
            below = os.path.relpath(folder, root)
            images = sorted(file for file in files if not file.startswith(".") and _ending(file) in endings)
            labelled += [(f"{below}/{file}", label) for file in images]
    return labelled


def _walked(top: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder below `top`, links followed, with the names in it that are no folders'; both in order.

    Raises:
        InputError: for a folder that cannot be listed, and for a link to a folder that it lies in.
    """
    if not is_folder(top):
        return  # a class that the test split lacks
    above: dict[Path, frozenset[tuple[int, int]]] = {top: frozenset()}
    for folder, folders, files in os.walk(top, onerror=_not_listed, followlinks=True):
        folders.sort()
        here = Path(folder)
        status, around = here.stat(), above.pop(here)
        if (status.st_dev, status.st_ino) in around:
            raise InputError(f"{readable(here)} is a link to a folder that it lies in: its images have no end")
        above |= {here / below: around | {(status.st_dev, status.st_ino)} for below in folders}
        yield folder, files


def _not_listed(error: OSError) -> None:
    raise _unlisted(error) from error


def _unlisted(error: OSError) -> InputError:
    return InputError(f"cannot list {readable(error.filename)}: {error.strerror}")


def _ending(name: str) -> str:
    return Path(name).suffix.lower()
