"""Images in Parquet files, as Hugging Face's data sets are published.

`path` is a folder of shards (:mod:`trainers.data.sources.parquet_shards`), or one file, with which the test shards are
found beside it. A row has an image (a struct of `bytes` and `path`, plain bytes, or the path of a file inside the
folder) and a label (a whole number, a class name, or true or false). Class names are those in the schema's Hugging Face
metadata, else the labels themselves.

Where training and test images lie in the same files, `split_column` or `test_fraction` tells them apart.

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator
from torch import Tensor

from trainers.data.base import DataSource, ImageData, several_classes
from trainers.data.pixels.cache import Contents, decoded
from trainers.data.pixels.decode import Frame, Part, fill
from trainers.data.pixels.remote import Place, local_copy
from trainers.data.sources.checks import check_classes, check_labels, shown
from trainers.data.sources.class_files import grouped
from trainers.data.sources.parquet_rows import Rows, by_column, by_content
from trainers.data.sources.parquet_shards import ALL_SHARDS, TEST_SHARDS, TRAIN_SHARDS, root_of, shards_of
from trainers.data.sources.parquet_table import Table
from trainers.errors import InputError
from trainers.storage.inputs import FILE, FOLDER, kind, readable


class Parquet(DataSource):
    """Labelled images in Parquet files."""

    summary: ClassVar[str] = "images in Parquet files, the layout of Hugging Face's data sets; decoded once"
    whereabouts: ClassVar[frozenset[str]] = frozenset({"path", "train", "test"})

    path: Place
    """Folder of the shards, or the training file; or its URI."""
    train: str | None = None
    """Pattern of the training shards' names; null: `train-*.parquet`, or what lies in a folder `train`."""
    test: str | None = None
    """Pattern of the test shards' names; null: `test-*.parquet`, else `validation-*.parquet`, or such a folder."""
    image: str | None = None
    """Column of the images; null: `image`, `img`, or the only one of a fitting type."""
    label: str | None = None
    """Column of the labels; null: `label`, `fine_label`, or the only one of a fitting type."""
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
        shards = [[shard.relative_to(table.root).as_posix() for shard in table.shards] for table in tables]
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
        together = self.split_column is not None or self.test_fraction is not None
        usual = (*TRAIN_SHARDS, *(ALL_SHARDS if together else ()))
        root = folder.parent if found == FILE else root_of(folder, self.train, usual)
        train = [folder] if found == FILE else shards_of(root, self.train, usual, "train")
        splits = [train] if together else [train, shards_of(root, self.test, TEST_SHARDS, "test")]
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
    """The same where labels are class names: their order is that of the sorted names, of which those that differ only
    in their Unicode form are one."""
    forms = grouped(sorted({name for name in train_names if name is not None}))
    classes = tuple(names[0] for names in forms.values())
    numbers = {name: number for number, names in enumerate(forms.values()) for name in names}
    others = {name for name in test_names if isinstance(name, str)} - numbers.keys()  # its column may hold numbers
    for form, names in grouped(sorted(others)).items():
        numbers |= {name: list(forms).index(form) for name in names if form in forms}
    for rows, written in ((train, train_names), (test, test_names)):
        for position, name in enumerate(written):
            if name not in numbers:
                raise InputError(f"{rows.where(position)}: label '{shown(name)}' is no class of the training split")
    several_classes(classes, readable(train.table.root))
    return classes, [numbers[name] for name in train_names], [numbers[name] for name in test_names]
