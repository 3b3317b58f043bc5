"""The rows of Parquet shards: which columns hold images and labels, and what stands in them.

An image is a struct of `bytes` and `path`, plain bytes, or the path of a file inside the folder; a label is a whole
number, the name of a class (plain, or a category), or true or false.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainers.data.pixels.decode import Encoded, opened, reason
from trainers.data.sources.checks import shown
from trainers.data.sources.parquet_columns import IMAGES, LABELS, alike, is_text, is_truth, only
from trainers.errors import InputError
from trainers.storage.inputs import check_file, kind, readable

HUB_METADATA = b"huggingface"
"""Key of the schema's metadata under which the hub's library describes the columns."""
TRUTHS = ("false", "true")
"""The classes of a column of truth values."""
MOST_ROWS = 20_000_000
"""Of a split: more than any labelled set of images has (ImageNet-21k: 14 million)."""
LONGEST_PATH = 4096
"""Characters of a path that a row may name; no system takes more."""
ROWS_AT_A_TIME = 4096
"""Whose images' bytes are in memory at a time."""


@dataclass(frozen=True)
class Table:
    """The shards of one split."""

    root: Path
    shards: tuple[Path, ...]
    image: str | None
    label: str | None

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the first shard, which the others must share in the columns that are read.

        Raises:
            InputError: when a shard is no Parquet file, or lacks a column; or when all have more than
                :data:`MOST_ROWS` rows.
        """
        schemas, rows = zip(*(_outline(shard) for shard in self.shards), strict=True)
        if sum(rows) > MOST_ROWS:
            raise InputError(
                f"{readable(self.shards[0])}{' and the others of its split' * (len(rows) > 1)}: {sum(rows):,} rows; a"
                f" split has at most {MOST_ROWS:,}"
            )
        first: pa.Schema = schemas[0]
        for shard, schema in zip(self.shards, schemas, strict=True):
            for column in (self._image_column(first), self._label_column(first)):
                if schema.names.count(column) != 1 or not alike(schema.field(column).type, first.field(column).type):
                    raise InputError(
                        f"{readable(shard)}: column '{column}' is missing, or of another type than in"
                        f" {self.shards[0].name}"
                    )
        return first

    def _image_column(self, schema: pa.Schema) -> str:
        return IMAGES.column(schema, self.image, self.shards[0])

    def _label_column(self, schema: pa.Schema) -> str:
        return LABELS.column(schema, self.label, self.shards[0])

    @property
    def image_column(self) -> str:
        """The column of the images: the one that the option names, else a usual one, else the only one that fits.

        Raises:
            InputError: where there is no such column, or no telling which.
        """
        return self._image_column(self.schema)

    @property
    def label_column(self) -> str:
        """The column of the labels, found as that of the images is.

        Raises:
            InputError: where there is no such column, or no telling which.
        """
        return self._label_column(self.schema)

    @property
    def sources(self) -> list[Path]:
        """Every file whose content matters: the shards, and the images that they only name."""
        named = [content.content for content in self.encoded()] if self._names_files() else []
        return [*self.shards, *(path for path in named if isinstance(path, Path))]

    def _names_files(self) -> bool:
        """Whether an image may be a path rather than bytes, by the column's type and its count of nulls."""
        kind = self.schema.field(self.image_column).type
        if not pa.types.is_struct(kind):
            return is_text(kind)
        return any(_has_nulls(shard, f"{self.image_column}.bytes") for shard in self.shards)

    def named_classes(self) -> tuple[str, ...] | None:
        """The class names that the hub's library wrote into the schema, or those of two truth values; None where there
        are none.

        Raises:
            InputError: where they are no list of names.
        """
        if is_truth(self.schema.field(self.label_column).type):
            return TRUTHS
        try:
            features = json.loads((self.schema.metadata or {})[HUB_METADATA])["info"]["features"]
            names = features[self.label_column]["names"]
        except (KeyError, TypeError, ValueError, RecursionError):
            return None  # made by another tool, or without names: the labels are then all there is
        if names is None:
            return None
        if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
            raise InputError(
                f"{readable(self.shards[0])}: in its Hugging Face metadata the 'names' of the classes of column"
                f" '{self.label_column}' are no list of names"
            )
        return tuple(str(name) for name in names)

    @property
    def labels_are_names(self) -> bool:
        """Whether rows are labelled by the names of their classes, not by whole numbers."""
        return is_text(self.schema.field(self.label_column).type)

    def labels(self) -> list[Any]:
        """Every row's label, as it stands there."""
        column, labels = self.label_column, []
        for shard in self.shards:
            with _named(shard), pq.ParquetFile(shard) as file:
                labels += _values(file.read(columns=[column])[column], shard)
        return labels

    def text(self, column: str) -> list[str | None]:
        """Every row's value in a column of text. Raises InputError where there is none of that name in a shard."""
        values: list[str | None] = []
        for shard in self.shards:
            with _named(shard), pq.ParquetFile(shard) as file:
                schema = file.schema.to_arrow_schema()
                texts = [field.name for field in schema if is_text(field.type)]
                if column in texts:
                    values += _values(file.read(columns=[only(schema, column, shard)])[column], shard)
            if column not in texts:
                there = ", ".join(texts) or "none"
                raise InputError(f"{readable(shard)}: no column '{column}' of text; columns of text: {there}")
        return values

    def where(self, position: int) -> str:
        """Shard and row (counted from 0) of the image at a position of the split.

        Raises:
            IndexError: beyond the last row.
        """
        for shard in self.shards:
            rows = pq.read_metadata(shard).num_rows
            if position < rows:
                return f"{readable(shard)}, row {position}"
            position -= rows
        raise IndexError(position)

    def encoded(self) -> Iterator[Encoded]:
        """Every row's image, a few thousand in memory at a time."""
        column = self.image_column
        for shard in self.shards:
            row = 0
            with _named(shard), pq.ParquetFile(shard) as file:
                for batch in file.iter_batches(ROWS_AT_A_TIME, columns=[column]):
                    for value in _values(batch.column(0), shard, row):
                        yield self._one(value, f"{readable(shard)}, row {row}")
                        row += 1

    def _one(self, value: Any, where: str) -> Encoded:
        content = value
        if isinstance(value, dict):
            content = value.get("bytes") or value.get("path")
        if isinstance(content, bytes):
            return Encoded(where, content)
        if not content or not isinstance(content, str):
            raise InputError(f"{where}: column '{self.image_column}' is empty, there is no image")
        return Encoded(f"{where} ({readable(content)})", self._inside(content, where))

    def _inside(self, name: str, where: str) -> Path:
        """The file that a row names, below the root. Raises InputError where there is none, or it lies elsewhere."""
        root, image = self.root.resolve(), f"{where}: the image's path '{readable(shown(name))}'"
        if "\0" in name or len(name) > LONGEST_PATH:
            raise InputError(f"{image} is none that a file could have")
        try:
            path = (root / name).resolve()
        except (OSError, RuntimeError) as error:
            raise InputError(f"{image} is a link to itself") from error
        if not path.is_relative_to(root):
            raise InputError(f"{image} leads out of {readable(self.root)}")
        try:
            if kind(path) is None:
                raise InputError(f"the image {readable(path)} does not exist")
            check_file(path)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        return self.root / path.relative_to(root)

    def first_size(self) -> tuple[int, int]:
        """Height and width of the first image, in pixels.

        Raises:
            InputError: where there is no row, or its image cannot be decoded.
        """
        for encoded in self.encoded():
            image = opened(encoded)
            return image.height, image.width
        raise InputError(f"{readable(self.shards[0])} has no rows")


@contextmanager
def _named(shard: Path) -> Iterator[None]:
    """What pyarrow raises on a damaged file, as an error that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise InputError(f"{readable(shard)} is not a readable Parquet file: {reason(error)}") from error


def _outline(shard: Path) -> tuple[pa.Schema, int]:
    """A shard's columns and its number of rows; no row is read."""
    check_file(shard)
    with _named(shard), pq.ParquetFile(shard) as file:
        about = file.metadata
        in_groups = sum(about.row_group(number).num_rows for number in range(about.num_row_groups))
        return file.schema.to_arrow_schema(), max(about.num_rows, in_groups)


def _values(column: Any, shard: Path, first: int = 0) -> list[Any]:
    """A column's values, from row `first` of the shard on. Raises InputError for text that is no UTF-8."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError as error:
        row = next(number for number, value in enumerate(column, first) if not _is_utf8(value))
        raise InputError(f"{readable(shard)}, row {row}: its text is not UTF-8") from error
    return values


def _is_utf8(value: Any) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _has_nulls(shard: Path, column: str) -> bool:
    """Whether a column holds nulls, by the shard's statistics; where it keeps none, it may."""
    metadata = pq.read_metadata(shard)
    for group in range(metadata.num_row_groups):
        chunks = [metadata.row_group(group).column(number) for number in range(metadata.num_columns)]
        counts = [_nulls(chunk) for chunk in chunks if chunk.path_in_schema == column]
        if counts != [0]:
            return True
    return False


def _nulls(chunk: pq.ColumnChunkMetaData) -> int | None:
    """How many, or None where nobody counted."""
    counted = chunk.is_stats_set and chunk.statistics.has_null_count
    return chunk.statistics.null_count if counted else None
