"""Which images lie in class folders: ``train/CLASS/*`` and ``val/CLASS/*``, or class folders that nobody has split."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

from PIL import Image

from trainers.data.sources.checks import check_classes, named
from trainers.data.sources.held_out import held_out
from trainers.errors import InputError
from trainers.storage.inputs import is_folder, readable

TRAIN_FOLDERS = ("train",)
TEST_FOLDERS = ("val", "test", "validation")
"""The first that is there is taken."""
LEAST = 2
"""Different images of a class that is to be split."""


@dataclass(frozen=True)
class Listing:
    """Files (names below the root) with their labels."""

    root: Path
    divided_by: tuple[str, str] | float
    """What tells the two splits apart: the names of their folders, or the share of each class that is to test on."""
    classes: tuple[str, ...]
    train: list[tuple[str, int]]
    test: list[tuple[str, int]]

    @property
    def paths(self) -> list[Path]:
        """Every file, those to train on first."""
        return [self.root / file for file, _ in self.train + self.test]


def split_by_folders(root: Path) -> Listing:
    """The images of ``train/CLASS/`` and of ``val/CLASS/`` (or another of :data:`TEST_FOLDERS`).

    Raises:
        InputError: where one of the two folders, an image of a class or a class of the training images is missing.
    """
    folders = (_split_folder(root, TRAIN_FOLDERS), _split_folder(root, TEST_FOLDERS))
    names = _class_folders(root / folders[0])
    unknown = [name for name in _subfolders(root / folders[1]) if name not in names]
    if unknown:
        raise InputError(f"{readable(root / folders[1] / unknown[0])}: training has no class folder of that name")
    train, test = (_files(root / folder, root, names) for folder in folders)
    classes = tuple(readable(name) for name in names)
    check_classes([label for _, label in train], classes, readable(root / folders[0]))
    if not test:
        raise InputError(f"{readable(root / folders[1])} holds no image in a class folder")
    return Listing(root, folders, classes, train, test)


def not_yet_split(path: Path, fraction: float) -> Listing:
    """All images of the class folders in ``train``, or in `path` itself where there is no ``train``, to train on.

    Of these :func:`split_by_content` then takes the share `fraction` away. Names are below the folder of the classes.

    Raises:
        InputError: where there is no class folder, a class without an image, or a test split that somebody has made.
    """
    _refuse_a_test_split(path)
    train = [path / name for name in TRAIN_FOLDERS if is_folder(path / name)]
    root = train[0] if train else path
    names = _class_folders(root, leave_out=() if train else TEST_FOLDERS)
    images, classes = _files(root, root, names), tuple(readable(name) for name in names)
    check_classes([label for _, label in images], classes, readable(root))
    return Listing(root, fraction, classes, images, [])


def split_by_content(listing: Listing, fraction: float, hashes: Mapping[Path, str]) -> Listing:
    """The listing with the share `fraction` of each class to test on, by what the files hold.

    Args:
        listing: of a set that is not yet split.
        fraction: the share of each class, between 0 and 1.
        hashes: of each file's content.

    Raises:
        InputError: where a class has no two images that differ.
    """
    labels = [label for _, label in listing.train]
    contents = [hashes[listing.root / file] for file, _ in listing.train]
    different = Counter(label for label, _ in set(zip(labels, contents, strict=True)))
    small = [name for label, name in enumerate(listing.classes) if different[label] < LEAST]
    if small:
        raise InputError(
            f"{readable(listing.root)}: no two different images of class {named(small)}; test_fraction takes one of"
            " each class to test on, and leaves one to train on"
        )
    is_test = held_out(contents, labels, fraction).tolist()
    test = list(compress(listing.train, is_test))
    train = list(compress(listing.train, [not chosen for chosen in is_test]))
    return replace(listing, train=train, test=test)


def _split_folder(root: Path, names: tuple[str, ...]) -> str:
    for name in names:
        if is_folder(root / name):
            return name
    wanted = " or ".join(f"{name}/" for name in names)
    raise InputError(
        f"no folder {wanted} in {readable(root.absolute())}: expected train/CLASS/ and val/CLASS/ (or test/CLASS/) with"
        " the images of each class (option path), or class folders alone and the option test_fraction"
    )


def _refuse_a_test_split(path: Path) -> None:
    if not is_folder(path):
        raise InputError(
            f"no folder {readable(path.absolute())}: expected a folder of images for each class (option path)"
        )
    for name in TEST_FOLDERS:
        if is_folder(path / name) and _names(path / name):
            raise InputError(
                f"{readable(path / name)} is a test split already: leave test_fraction out, or move that folder away"
            )


def _class_folders(root: Path, leave_out: Sequence[str] = ()) -> list[str]:
    names = [name for name in _subfolders(root) if name not in leave_out]
    if not names:
        raise InputError(f"{readable(root)} holds no class folder")
    return names


def _subfolders(folder: Path) -> list[str]:
    return sorted(name for name, is_folder in _names(folder).items() if is_folder)


def _names(folder: Path) -> dict[str, bool]:
    """What lies in a folder, and of each whether it is one; hidden names are left out."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_dir() for entry in entries if not entry.name.startswith(".")}
    except OSError as error:
        raise _unlisted(error) from error


def _files(split: Path, root: Path, classes: list[str]) -> list[tuple[str, int]]:
    """Every image of a split, by its name below `root`: hidden files, and files whose ending no image format has, are
    left out."""
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    labelled = []
    for label, name in enumerate(classes):
        for folder, files in _walked(split / name):
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
