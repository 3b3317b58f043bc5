"""Tiny ImageNet (Y. Le, X. Yang, "Tiny ImageNet Visual Recognition Challenge", Stanford CS 231N, 2015).

200 classes of ImageNet at 64 × 64 pixels, 500 training images each. `path` is the published folder or the one that
holds it::

    tiny-imagenet-200/wnids.txt                            the classes, one a line
    tiny-imagenet-200/words.txt                            their names
    tiny-imagenet-200/train/n01443537/images/*.JPEG
    tiny-imagenet-200/val/images/*.JPEG
    tiny-imagenet-200/val/val_annotations.txt              file, class and box of each validation image

The published test split has no labels, so the validation split (10,000 images) is the test set, as the field does.
Classes are numbered in the order of their WordNet ids, as class folders are. Some images are grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from trainers.data.base import DataSource, ImageData
from trainers.data.pixels.cache import Contents, decoded
from trainers.data.pixels.decode import Frame, files_part
from trainers.data.sources.checks import check_classes
from trainers.errors import InputError
from trainers.storage.inputs import expanded, is_file, is_folder, read_file, readable

FOLDER = "tiny-imagenet-200"
WNIDS, WORDS, ANNOTATIONS = "wnids.txt", "words.txt", "val/val_annotations.txt"
LARGEST = 100_000_000
"""Bytes of one of these tables; of the published ones at most three million."""


class TinyImageNet(DataSource):
    """Tiny ImageNet, from its published folder."""

    summary: ClassVar[str] = "Tiny ImageNet, 200 classes, 100,000 + 10,000 images, 64 × 64: the published folder"
    whereabouts: ClassVar[frozenset[str]] = frozenset({"path"})

    path: Path = Field(Path("data"), validate_default=False)  # the default is no string, as JSON has it
    """The published folder, or the one that holds it."""
    image_size: int = Field(64, ge=8, le=64)
    """Side in pixels; smaller ones are resized with antialiasing."""

    def load(self) -> ImageData:
        """Open the folder, decoding it on the first call."""
        listing = _listed(self._root())
        files = [listing.root / name for name in (WNIDS, WORDS, ANNOTATIONS)]
        files += [path for path, _ in listing.train + listing.test]
        return decoded("tiny_imagenet", listing.root, files, self.identity, partial(self._read, listing))

    def _root(self) -> Path:
        path = expanded(self.path)
        for root in (path / FOLDER, path):
            if is_file(root / WNIDS):
                return root
        raise InputError(
            f"no Tiny ImageNet in {readable(path.absolute())}: it should hold the published folder {FOLDER}/, or be it,"
            f" with {WNIDS}, {WORDS}, train/ and val/ (option path)"
        )

    def _read(self, listing: Listing) -> Contents:
        size = (self.image_size, self.image_size)
        frame = Frame(size, self.image_size)
        return Contents(size, listing.classes, files_part(listing.train, frame), files_part(listing.test, frame))


@dataclass(frozen=True)
class Listing:
    """Files with their labels."""

    root: Path
    classes: tuple[str, ...]
    train: list[tuple[Path, int]]
    test: list[tuple[Path, int]]


def _listed(root: Path) -> Listing:
    wnids = sorted(line.strip() for line in _lines(root / WNIDS) if line.strip())
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    train = []
    for wnid, label in labels.items():
        folder = root / "train" / wnid / "images"
        if not is_folder(folder):
            raise InputError(f"{readable(folder)} is missing, though {WNIDS} names the class")
        train += [(path, label) for path in sorted(folder.glob("*.JPEG"))]
    check_classes([label for _, label in train], wnids, readable(root))
    return Listing(root, _names(root, wnids), train, _validation(root, labels))


def _validation(root: Path, labels: dict[str, int]) -> list[tuple[Path, int]]:
    """The images of `val/images`, whose classes stand in a table beside them."""
    images = []
    for number, line in enumerate(_lines(root / ANNOTATIONS), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0].strip()
        if wnid not in labels:
            raise InputError(f"{readable(root / ANNOTATIONS)}, line {number}: '{wnid}' is no class of {WNIDS}")
        if Path(name).name != name:
            raise InputError(f"{readable(root / ANNOTATIONS)}, line {number}: '{name}' is no file name")
        images.append((root / "val" / "images" / name, labels[wnid]))
    if not images:
        raise InputError(f"{readable(root / ANNOTATIONS)} names no image")
    return images


def _names(root: Path, wnids: list[str]) -> tuple[str, ...]:
    """``n01443537 goldfish``: the id, since some words are those of several classes, and the first word."""
    words = dict(line.split("\t", 1) for line in _lines(root / WORDS) if "\t" in line)
    return tuple(f"{wnid} {words.get(wnid, '').partition(',')[0].strip()}".strip() for wnid in wnids)


def _lines(path: Path) -> list[str]:
    return read_file(path, LARGEST).decode("utf-8", "replace").splitlines()
