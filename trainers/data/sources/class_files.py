"""The files below class folders: which are images, which are passed over, and what else lies there."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from trainers.errors import InputError
from trainers.storage.inputs import is_folder, readable

FINDERS_OWN = "__MACOSX"
"""The folder that macOS puts beside what it packs into a zip archive: of each file there what other systems do not
keep, and no image."""
ARCHIVES = (".tar", ".zip", ".tgz", ".gz", ".7z", ".rar")
SHOWN = 5
"""Endings that a message names before it only counts the files of others."""


@dataclass
class Below:
    """What lies below the class folders of a split."""

    images: list[tuple[str, int]] = field(default_factory=list)
    """By their names below the root, with their labels."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Files whose ending no image format has, hidden ones apart: how many of each ending."""


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Folders by class: names that differ only in their Unicode form are one, as macOS and other systems write them."""
    classes: dict[str, list[str]] = {}
    for name in names:
        classes.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    return classes


def entries(folder: Path) -> dict[str, bool]:
    """What lies in a folder, and of each whether it is one; hidden names and :data:`FINDERS_OWN` are left out.

    Raises:
        InputError: where it cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            return {entry.name: _is_folder(entry) for entry in found if not _is_left_out(entry.name)}
    except OSError as error:
        raise _unlisted(error) from error


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in a folder, in order. Raises InputError as :func:`entries` does."""
    return sorted(name for name, is_one in entries(folder).items() if is_one)


def images_below(split: Path, root: Path, classes: Sequence[Sequence[str]]) -> Below:
    """Every image of a split, by its name below `root`.

    Args:
        split: the folder of the class folders.
        root: the data set's.
        classes: the folders of each class.

    Raises:
        InputError: for a folder that cannot be listed, and for a link to a folder that it lies in.
    """
    found = Below()
    for label, folders in enumerate(classes):
        for name in folders:
            for folder, files in _walked(split / name):
                below = os.path.relpath(folder, root)
                seen = sorted(file for file in files if not file.startswith("."))
                found.images += [(f"{below}/{file}", label) for file in seen if is_image(file)]
                found.passed_over.update(_ending(file) for file in seen if not is_image(file))
    return found


def is_image(name: str) -> bool:
    """Whether a file's ending is one that an image format has."""
    return _ending(name) in _endings()


def is_archive(name: str) -> bool:
    """Whether a file's ending is one of :data:`ARCHIVES`."""
    return _ending(name) in ARCHIVES


def left_out(passed_over: Counter[str]) -> str:
    """Files that were passed over, by ending: ``12 .heic, 3 .txt, 1 without ending``; empty where there are none."""
    common = passed_over.most_common()
    parts = [f"{count:,} {readable(ending) or 'without ending'}" for ending, count in common[:SHOWN]]
    more = sum(count for _, count in common[SHOWN:])
    return ", ".join([*parts, *([f"{more:,} of other endings"] if more else [])])


@cache
def _endings() -> frozenset[str]:
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _ending(name: str) -> str:
    return Path(name).suffix.lower()


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name == FINDERS_OWN


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, which is told where it is read
        return False


def _walked(top: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder below `top`, links followed, with the names in it that are no folders'; both in order.

    Raises:
        InputError: for a folder that cannot be listed, and for a link to a folder that it lies in.
    """
    if not is_folder(top):
        return  # a class that the test split lacks
    above: dict[Path, frozenset[tuple[int, int]]] = {top: frozenset()}
    for folder, folders, files in os.walk(top, onerror=_not_listed, followlinks=True):
        folders[:] = sorted(name for name in folders if name != FINDERS_OWN)
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
