"""Images in class folders: ``train/CLASS/*.jpg`` and ``val/CLASS/*.jpg``, in any format that is decoded here.

A set that fits into `memory_gb` is decoded once (shorter side resized, centre cut out) and memory-mapped, as the other
sources are; its weak views are crops after padding. A larger one is streamed (:mod:`trainers.data.pixels.streaming`):
every epoch decodes every file, in worker processes, and the training view is a random part of the file. The two train
differently, and so differ in the data set's content hash.

Where there are class folders alone, `test_fraction` takes some of each class to test on, by the files' content
(:mod:`trainers.data.sources.held_out`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field, model_validator

from trainers.data.base import DataSource, ImageData
from trainers.data.pixels.cache import Contents, Statistics, cache_folder, decoded
from trainers.data.pixels.decode import Frame, files_part, inspect
from trainers.data.pixels.file_hashes import file_hashes
from trainers.data.pixels.fingerprint import fingerprint
from trainers.data.pixels.remote import Place, local_copy
from trainers.data.pixels.streaming import Cropping, StreamedSplit
from trainers.data.sources.class_folders import Listing, not_yet_split, split_by_content, split_by_folders
from trainers.storage.content import content_key

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
    """Folder that holds `train` and `val` (or `test`, `validation`, `valid`), or its URI."""
    image_size: int = Field(224, ge=8, le=1024)
    """Side in pixels of what the network sees."""
    resize: int | None = Field(None, ge=8, le=2048)
    """To what the shorter side is resized before the centre is cut out; null: `image_size`."""
    memory_gb: float = Field(4.0, ge=0)
    """Largest size of the decoded set, in 10^9 bytes; a larger one is streamed."""
    workers: int | None = Field(None, ge=0, le=64)
    """Processes that decode a streamed set, beside the one that trains; the numbers do not depend on it. null: 2, and
    beside a GPU as many as the trial has processors, where these are more."""
    area: tuple[float, float] = (0.08, 1.0)
    """Of a streamed training view: smallest and largest share of the file's area."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Of a streamed training view: smallest and largest width over height in the file."""
    test_fraction: float | None = Field(None, gt=0, lt=1)
    """Share of each class that is to test on, chosen by the images' content, where nobody has split the set."""

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
        path, fraction = local_copy(self.path), self.test_fraction
        listing = split_by_folders(path) if fraction is None else not_yet_split(path, fraction)
        size = (len(listing.train) + len(listing.test)) * CHANNELS * self.image_size**2
        data = self._streamed(listing) if size > self.memory_gb * GIGABYTE else self._decoded(listing)
        return replace(data, remarks=listing.remarks)

    @property
    def _shorter_side(self) -> int:
        return self.resize or self.image_size

    def _decoded(self, listing: Listing) -> ImageData:
        options = {"image_size": self.image_size, "resize": self._shorter_side, "splits": listing.divided_by}
        return decoded(self.name, listing.root, listing.paths, options, partial(self._read, listing), self.statistics)

    def _read(self, listing: Listing) -> Contents:
        listing = self._divided(listing)
        size = (self.image_size, self.image_size)
        frame = Frame(size, self._shorter_side)
        train, test = (
            [(listing.root / file, label) for file, label in split] for split in (listing.train, listing.test)
        )
        return Contents(size, listing.classes, files_part(train, frame), files_part(test, frame))

    def _divided(self, listing: Listing, look: Callable[[Path], None] | None = None) -> Listing:
        """The listing with something to test on; `look` is called with every file whose content is not known."""
        if self.test_fraction is None:
            return listing
        hashes = file_hashes(listing.root, listing.paths, cache_folder(), look)
        return split_by_content(listing, self.test_fraction, hashes)

    def _streamed(self, listing: Listing) -> ImageData:
        look = partial(inspect, resize=self._shorter_side)
        digest = fingerprint(listing.root, listing.paths, cache_folder(), look)
        listing = self._divided(listing, look)
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
        return ImageData(
            name=self.name,
            train=whole.take(everything[: len(listing.train)]),
            test=whole.take(everything[len(listing.train) :]),
            classes=listing.classes,
            mean=mean,
            std=std,
            fingerprint=content_key(["streamed", digest, listing.divided_by]),
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
