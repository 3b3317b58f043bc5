"""Which images lie in class folders: ``train/CLASS/*`` and ``val/CLASS/*``, or class folders that nobody has split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

from trainers.data.sources.checks import check_classes, named
from trainers.data.sources.class_files import (
    Below,
    entries,
    grouped,
    images_below,
    is_archive,
    is_image,
    left_out,
    subfolders,
)
from trainers.data.sources.held_out import held_out
from trainers.errors import InputError
from trainers.storage.inputs import is_folder, readable

ALIAS = "training"
"""Of ``train``; no message asks for it."""
TRAIN_FOLDERS = ("train", ALIAS)
TEST_FOLDERS = ("val", "test", "validation", "valid", "testing")
"""In any case. The first that is there, and holds class folders, is taken."""
USUAL_TEST_FOLDERS = ("val", "test")
"""Of which nobody wonders whether they were taken, where nothing else is there."""
SPLIT_ALREADY = ("val", "test", "validation")
"""In any case; beside class folders, none of them: `valid` may be the class beside `invalid`."""
IMAGENET = re.compile(r"ILSVRC2012_val_\d+")
"""What the validation images are called in ImageNet's own archive, which has no classes."""
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
    remarks: tuple[str, ...] = ()
    """Which folder was taken, and what was left out."""

    @property
    def paths(self) -> list[Path]:
        """Every file, those to train on first."""
        return [self.root / file for file, _ in self.train + self.test]


def split_by_folders(root: Path) -> Listing:
    """The images of ``train/CLASS/`` and of ``val/CLASS/`` (or another of :data:`TEST_FOLDERS`).

    Raises:
        InputError: where one of the two folders, an image of a class or a class of the training images is missing.
    """
    train_folder, _ = _split_folder(root, TRAIN_FOLDERS)
    test_folder, others = _split_folder(root, TEST_FOLDERS)
    folders, names = (train_folder, test_folder), _class_folders(root / train_folder)
    there = grouped(subfolders(root / test_folder))
    unknown = [folders_of[0] for name, folders_of in there.items() if name not in names]
    if unknown:
        raise InputError(f"{readable(root / test_folder / unknown[0])}: training has no class folder of that name")
    train = images_below(root / train_folder, root, list(names.values()))
    test = images_below(root / test_folder, root, [there.get(name, []) for name in names])
    classes = _shown(names)
    _check_classes(train, classes, root / train_folder)
    if not test.images:
        raise InputError(_no_class_folder(root / test_folder, "image in a class folder"))
    remarks = _which_was_taken(root, test_folder, others) + _remarks(root, folders, (train, test))
    return Listing(root, folders, classes, train.images, test.images, tuple(remarks))


def not_yet_split(path: Path, fraction: float) -> Listing:
    """All images of the class folders in ``train``, or in `path` itself where there is no ``train``, to train on. Which
    spelling of ``train`` that is, :func:`_training_folder` says.

    Of these :func:`split_by_content` then takes the share `fraction` away. Names are below the folder of the classes.

    Raises:
        InputError: where there is no class folder, a class without an image, or a test split that somebody has made.
    """
    _refuse_a_test_split(path)
    train = _training_folder(path)
    root = path if train is None else path / train
    names = _class_folders(root, leave_out=_present(path, SPLIT_ALREADY) if train is None else ())
    below, classes = images_below(root, root, list(names.values())), _shown(names)
    _check_classes(below, classes, root)
    remarks = _beside(path, train, names) + _remarks(root, ["."], [below])
    return Listing(root, fraction, classes, below.images, [], tuple(remarks))


def _training_folder(path: Path) -> str | None:
    """The folder of `path` in which the class folders lie; None where `path` itself holds them.

    ``train`` is one. Another spelling (``Train``, ``training``) may be the class beside ``Bus``: it is one where it
    holds class folders, and nothing but folders of splits, or empty ones, lie beside it.
    """
    there = _present(path, TRAIN_FOLDERS)
    if TRAIN_FOLDERS[0] in there:
        return TRAIN_FOLDERS[0]
    splits = {*there, *_present(path, TEST_FOLDERS)}
    alone = all(name in splits or not entries(path / name) for name in subfolders(path))
    return next((name for name in there if alone and subfolders(path / name)), None)


def _beside(path: Path, train: str | None, classes: Mapping[str, Sequence[str]]) -> list[str]:
    """What one may wonder about beside a training folder: who is not used, or that it is a class itself."""
    if train is None:
        holding = [name for name in _present(path, TRAIN_FOLDERS) if name in classes and subfolders(path / name)]
        return [f"{readable(path / name)} is a class, as class folders lie beside it" for name in holding]
    unused = ", ".join(f"{readable(name)}/" for name in subfolders(path) if name != train)
    return [f"the images are those of {readable(path / train)}/; not used: {unused}"] if unused else []


def _shown(names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What classes are called: as the first of their folders is."""
    return tuple(readable(folders[0]) for folders in names.values())


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


def _split_folder(root: Path, names: Sequence[str]) -> tuple[str, list[str]]:
    """The folder of a split, as it is written there, and the others that might be it. Of several the first that holds
    class folders is taken. Raises InputError where there is none."""
    there = _present(root, names)
    if not there:
        wanted = " or ".join(f"{name}/" for name in names if name != ALIAS)
        raise InputError(
            f"no folder {wanted} in {readable(root.absolute())}: expected train/CLASS/ and val/CLASS/ (or test/CLASS/)"
            " with the images of each class (option path), or class folders alone and the option test_fraction"
        )
    taken = next((name for name in there if subfolders(root / name)), there[0])
    return taken, [name for name in there if name != taken]


def _present(root: Path, names: Sequence[str]) -> list[str]:
    """The folders of these names, in any case; of one name in several cases the usual one."""
    folders = subfolders(root) if is_folder(root) else []
    found = []
    for name in names:
        alike = [folder for folder in folders if folder.lower() == name]
        found += [name] if name in alike else alike[:1]
    return found


def _refuse_a_test_split(path: Path) -> None:
    if not is_folder(path):
        raise InputError(
            f"no folder {readable(path.absolute())}: expected a folder of images for each class (option path)"
        )
    for name in _present(path, SPLIT_ALREADY):
        if entries(path / name):
            raise InputError(
                f"{readable(path / name)} is a test split already: leave test_fraction out, or move that folder away"
            )


def _class_folders(root: Path, leave_out: Sequence[str] = ()) -> dict[str, list[str]]:
    classes = grouped(name for name in subfolders(root) if name not in leave_out)
    if not classes:
        raise InputError(_no_class_folder(root, "class folder"))
    return classes


def _no_class_folder(folder: Path, what: str) -> str:
    """That a folder holds none of what is wanted, or what lies there instead and what to do about it."""
    there, files = readable(folder), [name for name, is_one in sorted(entries(folder).items()) if not is_one]
    images, archives = (list(filter(one, files)) for one in (is_image, is_archive))
    if images:
        own = " (docs/datasets.md#folder-imagenet has the lines that do it)" if IMAGENET.match(images[0]) else ""
        lie = f"the {len(images):,} images in {there} lie" if len(images) > 1 else f"the image in {there} lies"
        return f"{lie} in no class folder: move each into {there}/CLASS/{own}"
    if archives:
        packed = f"{len(archives):,} archives ({readable(archives[0])} …)" if len(archives) > 1 else archives[0]
        return f"{there} holds no {what} but {packed}: unpack each into a folder of its class's name"
    return f"{there} holds no {what}"


def _check_classes(below: Below, classes: Sequence[str], folder: Path) -> None:
    """Raises InputError where there is nothing to tell apart, or a class has no image to train on."""
    passed = left_out(below.passed_over)
    more = f"; files that are no images by their endings: {passed}" if passed else ""
    check_classes([label for _, label in below.images], classes, readable(folder), more)


def _remarks(root: Path, folders: Sequence[str], belows: Sequence[Below]) -> list[str]:
    """What was passed over in the folders of the splits."""
    remarks = []
    for name, below in zip(folders, belows, strict=True):
        flat = sum(is_image(file) for file, is_one in entries(root / name).items() if not is_one)
        if flat:
            remarks.append(f"{readable(root / name)}: {flat:,} images that lie in no class folder are left out")
        if below.passed_over:
            passed = left_out(below.passed_over)
            remarks.append(f"{readable(root / name)}: files that are no images by their endings are left out: {passed}")
    return remarks


def _which_was_taken(root: Path, taken: str, others: Sequence[str]) -> list[str]:
    """Which folder is the test set, where one may wonder."""
    if not others and taken in USUAL_TEST_FOLDERS:
        return []
    unused = "; not used: " + ", ".join(f"{readable(name)}/" for name in others) if others else ""
    return [f"the test set is {readable(root / taken)}/{unused}"]
