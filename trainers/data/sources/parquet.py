"""Images in Parquet files, as Hugging Face's data sets are published.

`path` is a folder of shards (`train-*.parquet`, `test-*.parquet` or `validation-*.parquet`; also in a folder `data`
inside it), or one file, with which the test shards are found beside it. A row has an image (a struct of `bytes` and
`path`, plain bytes, or the path of a file inside the folder) and a label (a whole number, or a class name). Class names
are those in the schema's Hugging Face metadata, else the labels themselves.

Where training and test images lie in the same files, `split_column` or `test_fraction` tells them apart.

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator
from torch import Tensor

from trainers.data.base import DataSource, ImageData, several_classes
from trainers.data.pixels.cache import Contents, decoded
from trainers.data.pixels.decode import Frame, Part, fill
from trainers.data.pixels.remote import Place, local_copy
from trainers.data.sources.checks import check_classes, check_labels, shown
from trainers.data.sources.parquet_rows import Rows, by_column, by_content
from trainers.data.sources.parquet_table import Table
from trainers.errors import InputError
from trainers.storage.inputs import FILE, FOLDER, is_folder, kind, readable

TRAIN_SHARDS = ("train-*.parquet", "train.parquet")
TEST_SHARDS = ("test-*.parquet", "test.parquet", "validation-*.parquet", "valid-*.parquet", "val-*.parquet")
"""The first pattern that some file fits is taken."""
ALL_SHARDS = ("*.parquet",)
"""Where one table holds both splits."""
SUBFOLDER = "data"
"""Where the hub's repositories keep their shards."""


class Parquet(DataSource):
    """Labelled images in Parquet files."""

    summary: ClassVar[str] = "images in Parquet files, the layout of Hugging Face's data sets; decoded once"
    whereabouts: ClassVar[frozenset[str]] = frozenset({"path", "train", "test"})

    path: Place
    """Folder of the shards, or the training file; or its URI."""
    train: str | None = None
    """Pattern of the training shards' names; null: `train-*.parquet`."""
    test: str | None = None
    """Pattern of the test shards' names; null: `test-*.parquet`, else `validation-*.parquet`."""
    image: str | None = None
    """Column of the images; null: `image`, `img`, or the only one of a fitting type."""
    label: str | None = None
    """Column of the labels; null: `label`, `fine_label`, or the only one of whole numbers."""
    image_size: int | None = Field(None, ge=8, le=1024)
    """Side in pixels to which every image is brought (shorter side resized, centre cut out); null: as they are."""
    split_column: str | None = None
    """Column that says `train` or `test` (else `validation`) of each row, where the training shards hold both."""
    test_fraction: float | None = Field(None, gt=0, lt=1)
    """Share of each class of the training shards that is to test on, chosen by the images' content."""

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Parquet:
        given = {name for name in ("test", "split_column", "test_fraction") if getattr(self, name) is not None}
        if len(given) > 1:
            raise ValueError(f"{' and '.join(sorted(given))} each say what is to test on; leave one")
        return self

    def load(self) -> ImageData:
        """Open the shards, decoding them on the first call."""
        tables = self._tables()
        files = sorted({source for table in tables for source in table.sources})
        shards = [[shard.name for shard in table.shards] for table in tables]
        later = {name: None for name in ("split_column", "test_fraction") if getattr(self, name) is None}
        told = {name: value for name, value in self.identity.items() if name not in later}  # an entry's key stays
        return decoded("parquet", tables[0].root, files, told | {"shards": shards}, lambda: self._read(tables))

    def _tables(self) -> list[Table]:
        """The training shards, and the test shards where those are others."""
        folder = local_copy(self.path)
        found = kind(folder)
        if found not in (FILE, FOLDER):
            there = "no such folder or file" if found is None else f"{found}, where a folder or a file is wanted"
            raise InputError(f"no Parquet files at {readable(folder.absolute())}: there is {there} (option path)")
        train = [folder] if found == FILE else None
        root = folder.parent if found == FILE else folder
        if train is None and not list(root.glob("*.parquet")) and is_folder(root / SUBFOLDER):
            root = root / SUBFOLDER
        together = self.split_column is not None or self.test_fraction is not None
        train = train or _shards(root, self.train, (*TRAIN_SHARDS, *(ALL_SHARDS if together else ())), "train")
        splits = [train] if together else [train, _shards(root, self.test, TEST_SHARDS, "test")]
        return [Table(root, tuple(shards), self.image, self.label) for shards in splits]

    def _rows(self, tables: Sequence[Table]) -> tuple[Rows, Rows]:
        """What is to train and what is to test on."""
        if self.split_column is not None:
            return by_column(tables[0], self.split_column)
        if self.test_fraction is not None:
            return by_content(tables[0], self.test_fraction)
        return Rows(tables[0]), Rows(tables[1])

    def _read(self, tables: Sequence[Table]) -> Contents:
        train, test = self._rows(tables)
        classes, train_labels, test_labels = _labels(train, test)
        size = (self.image_size, self.image_size) if self.image_size else tables[0].first_size()
        frame = Frame(size, self.image_size)
        return Contents(
            image_size=size,
            classes=classes,
            train=Part(train_labels, lambda images: _decode(images, train, frame)),
            test=Part(test_labels, lambda images: _decode(images, test, frame)),
        )


def _decode(images: Tensor, rows: Rows, frame: Frame) -> None:
    fill(images, rows.encoded(), frame)


def _shards(root: Path, pattern: str | None, usual: Sequence[str], option: str) -> list[Path]:
    """The files of one split, in the order of their names."""
    for candidate in [pattern] if pattern is not None else usual:
        shards = sorted(path for path in _fitting(root, candidate, option) if path.is_file())
        if shards:
            return shards
    looked = f"'{pattern}'" if pattern is not None else " or ".join(f"'{name}'" for name in usual)
    present = sorted(path.name for path in root.glob("*.parquet"))
    held = f"the folder holds {', '.join(present[:5])}" if present else "the folder holds no Parquet file"
    raise InputError(
        f"no {option} shards in {readable(root.absolute())}: looked for {looked} (option {option}); {held}"
    )


def _fitting(root: Path, pattern: str, option: str) -> list[Path]:
    """What a pattern fits. Raises InputError for what is no pattern, such as one that begins at the root."""
    try:
        return list(root.glob(pattern))
    except (ValueError, NotImplementedError, OSError) as error:
        raise InputError(
            f"'{readable(pattern)}' is no pattern of files below {readable(root)} (option {option})"
        ) from error


def _labels(train: Rows, test: Rows) -> tuple[tuple[str, ...], list[int], list[int]]:
    """Class names, and both splits' labels as whole numbers.

    Raises:
        InputError: for labels that are no class, classes without a training image, and splits without rows.
    """
    written = [rows.labels() for rows in (train, test)]
    for rows, labels in zip((train, test), written, strict=True):
        if not labels:
            raise InputError(f"{readable(rows.table.shards[0])} has no rows")
    if train.table.labels_are_names:
        return _named_labels(train, test, *written)
    classes = train.table.named_classes()
    if classes is None:
        classes = _counted_classes(train, written[0])
    advice = "; a published test split may lack its labels: choose another with the option test"
    train_labels = check_labels(written[0], len(classes), train.where)
    test_labels = check_labels(written[1], len(classes), test.where, advice)
    check_classes(train_labels, classes, readable(train.table.root))
    return classes, train_labels, test_labels


def _counted_classes(train: Rows, labels: list[Any]) -> tuple[str, ...]:
    """The names of classes that are only numbered, from 0 up to the largest label of the training split.

    Raises:
        InputError: for a label beyond the number of images, so that most classes before it have none.
    """
    largest = max((label for label in labels if isinstance(label, int)), default=0)
    if largest >= len(labels):
        raise InputError(
            f"{train.where(labels.index(largest))}: label {largest} would be that of one of {largest + 1} classes, but"
            f" the split has {len(labels)} images; labels without names count the classes from 0"
        )
    return tuple(str(label) for label in range(max(largest, 0) + 1))


def _named_labels(
    train: Rows, test: Rows, train_names: list[Any], test_names: list[Any]
) -> tuple[tuple[str, ...], list[int], list[int]]:
    """The same where labels are class names: their order is that of the sorted names."""
    classes = tuple(sorted({name for name in train_names if name is not None}))
    numbers = {name: number for number, name in enumerate(classes)}
    for rows, names in ((train, train_names), (test, test_names)):
        for position, name in enumerate(names):
            if name not in numbers:
                raise InputError(f"{rows.where(position)}: label '{shown(name)}' is no class of the training split")
    several_classes(classes, readable(train.table.root))
    return classes, [numbers[name] for name in train_names], [numbers[name] for name in test_names]
