"""A data set as a function that gives images and labels; its keyword arguments are the spec's options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from trainers.code import THEIRS, current, theirs, told
from trainers.data import DATASETS
from trainers.data.base import DataSource, ImageData
from trainers.data.pixels.cache import channel_statistics
from trainers.data.sources.checks import check_classes, check_labels
from trainers.errors import InputError, KDError
from trainers.own.images import cut_off, is_array, split_of
from trainers.own.registration import Origin, register
from trainers.own.signature import WITHOUT_SOURCE, config, positional

D = TypeVar("D", bound=Callable[..., Any])


def dataset(name: str, *, test_fraction: float | None = None, summary: str = "") -> Callable[[D], D]:
    """Register a function that reads a data set.

    It returns training and test images, each a pair of arrays (images, labels) or anything with ``__len__`` and
    ``__getitem__`` whose items are an image and a label (see :func:`trainers.own.images.split_of`); and, where it
    likes, the classes' names as a third. Or an :class:`~trainers.data.base.ImageData` of its own making. Its keyword
    arguments are options of the spec; those of type ``Path`` say where the data lie, and are no part of a trial's key.

    Args:
        name: what specs call it.
        test_fraction: where the function returns one set, the share of each class that is to test on, chosen by what
            the images show.
        summary: one line for ``sweep list datasets``; by default the docstring's first.

    Raises:
        InputError: for a name that is none or taken, and an argument without a type.
    """

    def registered(given: D) -> D:
        origin = Origin.of(given)
        if positional(given):
            raise origin.refuse("a data set's options are keyword arguments: put a `*` before them")
        if test_fraction is not None and not 0 < test_fraction < 1:
            raise origin.refuse(f"test_fraction is a share between 0 and 1, found {test_fraction}")
        source = config(given, OwnSource, must_default=False)
        source.name, source.reader, source.origin = name, staticmethod(given), origin
        source.test_fraction = test_fraction
        source.summary = summary or (given.__doc__ or "").strip().partition("\n")[0] or f"{name}, of your own"
        paths = {field for field, info in source.model_fields.items() if info.annotation in (Path, Path | None)}
        source.whereabouts = frozenset(paths)
        register(DATASETS, name, source, origin)
        return given

    return registered


class OwnSource(DataSource):
    """What a user's function reads."""

    model_config = WITHOUT_SOURCE
    summary: ClassVar[str] = ""
    name: ClassVar[str]
    reader: ClassVar[Callable[..., Any]]
    origin: ClassVar[Origin]
    test_fraction: ClassVar[float | None]

    def load(self) -> ImageData:
        """Call the function and bring what it returns into memory. Raises InputError, with the user's file and line,
        where it fails or returns anything else than images and labels."""
        kind = type(self)
        try:
            with theirs(f"data set '{kind.name}'"):
                found = kind.reader(**dict(self))
                return found if isinstance(found, ImageData) else self._data(found)
        except KDError:
            raise
        except THEIRS as error:
            raise InputError(f"data set '{kind.name}' cannot be read: {told(error)}{_remark(error)}") from error

    def _data(self, found: Any) -> ImageData:
        what = f"data set '{self.name}'"
        fraction = type(self).test_fraction
        whole = fraction is not None or (isinstance(found, tuple) and len(found) == 2 and is_array(found[0]))
        if fraction is not None:
            train, test = cut_off(split_of(found, what), fraction)
            classes = tuple(getattr(found, "classes", ()))
        elif isinstance(found, tuple) and len(found) in (2, 3) and not whole:
            train, test = split_of(found[0], f"{what}, train"), split_of(found[1], f"{what}, test")
            classes = tuple(map(str, found[2])) if len(found) == 3 else tuple(getattr(found[0], "classes", ()))
        else:
            returned = "one set of images" if whole else type(found).__name__
            raise self.origin.refuse(
                f"'{self.name}' returned {returned}; return (train, test), or one set, with a test_fraction"
            )
        if train.image_size != test.image_size:
            sizes = f"{train.image_size} to train on and {test.image_size} to test on"
            raise self.origin.refuse(f"'{self.name}' returned images of {sizes}; make them equal")
        names = classes or tuple(map(str, range(int(train.labels.max()) + 1)))
        for part, split in (("train", train), ("test", test)):
            check_labels(split.labels.tolist(), len(names), f"{what}, {part}, item {{}}".format)
        check_classes(train.labels.tolist(), names, what)
        mean, std = channel_statistics(train.images)
        return ImageData(self.name, train, test, names, mean, std)


def _remark(error: BaseException) -> str:
    """On a file that was looked for where the code has no folder, beside which it lies where the plan is made."""
    if not isinstance(error, FileNotFoundError) or not current() or current().folders:
        return ""
    return "; a worker has the code's text and no folder of it: let an option of type Path say where the data lie"
