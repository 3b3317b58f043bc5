"""The rows of Parquet shards: which columns hold images and labels, and what stands in them.

An image is a struct of `bytes` and `path`, plain bytes, or the path of a file inside the folder; a label is a whole
number or the name of a class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainers.data.pixels.decode import Encoded, opened, reason
from trainers.data.pixels.fingerprint import readable
from trainers.errors import InputError

IMAGE_COLUMNS = ("image", "img", "images", "picture")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
"""Usual names, the likeliest first."""
HUB_METADATA = b"huggingface"
"""Key of the schema's metadata under which the hub's library describes the columns."""
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
            InputError: when a shard is no Parquet file, or lacks a column.
        """
        schemas = [_schema(shard) for shard in self.shards]
        first = schemas[0]
        for shard, schema in zip(self.shards, schemas, strict=True):
            for column in (self._image_column(first), self._label_column(first)):
                if column not in schema.names or schema.field(column).type != first.field(column).type:
                    raise InputError(
                        f"{readable(shard)}: column '{column}' is missing, or of another type than in"
                        f" {self.shards[0].name}"
                    )
        return first

    def _image_column(self, schema: pa.Schema) -> str:
        return _column(schema, self.image, IMAGE_COLUMNS, _holds_images, "image", self.shards[0])

    def _label_column(self, schema: pa.Schema) -> str:
        return _column(schema, self.label, LABEL_COLUMNS, _holds_labels, "label", self.shards[0])

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
            return _is_text(kind)
        return any(_has_nulls(shard, f"{self.image_column}.bytes") for shard in self.shards)

    def named_classes(self) -> tuple[str, ...] | None:
        """The class names that the hub's library wrote into the schema."""
        try:
            features = json.loads((self.schema.metadata or {})[HUB_METADATA])["info"]["features"]
            names = features[self.label_column]["names"]
        except (KeyError, TypeError, ValueError):
            return None  # made by another tool, or without names: the labels are then all there is
        return tuple(str(name) for name in names)

    @property
    def labels_are_names(self) -> bool:
        """Whether rows are labelled by the names of their classes, not by whole numbers."""
        return _is_text(self.schema.field(self.label_column).type)

    def labels(self) -> list[Any]:
        """Every row's label, as it stands there."""
        column, labels = self.label_column, []
        for shard in self.shards:
            with _named(shard), pq.ParquetFile(shard) as file:
                labels += file.read(columns=[column])[column].to_pylist()
        return labels

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
                    for value in batch.column(0).to_pylist():
                        yield self._one(value, f"{readable(shard)}, row {row}")
                        row += 1

    def _one(self, value: Any, where: str) -> Encoded:
        content = value
        if isinstance(value, dict):
            content = value.get("bytes") or value.get("path")
        if isinstance(content, bytes):
            return Encoded(where, content)
        if not content:
            raise InputError(f"{where}: column '{self.image_column}' is empty, there is no image")
        path = (self.root / content).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise InputError(f"{where}: the image's path '{content}' leads out of {self.root}")
        if not path.is_file():
            raise InputError(f"{where}: the image {path} does not exist")
        return Encoded(f"{where} ({readable(content)})", self.root / path.relative_to(self.root.resolve()))

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
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{readable(shard)} is not a readable Parquet file: {reason(error)}") from error


def _schema(shard: Path) -> pa.Schema:
    with _named(shard):
        return pq.read_schema(shard)


def _column(
    schema: pa.Schema,
    named: str | None,
    usual: Sequence[str],
    fits: Callable[[pa.DataType], bool],
    what: str,
    shard: Path,
) -> str:
    """The column that the option names, else the usual one, else the only one whose type fits."""
    fitting = [field.name for field in schema if fits(field.type)]
    if named is not None:
        if named not in fitting:
            raise InputError(
                f"{readable(shard)}: no column '{named}' that holds {what}s; columns that do: {', '.join(fitting)}"
            )
        return named
    likely = [name for name in usual if name in fitting] or (fitting if len(fitting) == 1 else [])
    if not likely:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise InputError(
            f"{readable(shard)}: which column holds the {what}? Name it with the option {what}; columns: {columns}"
        )
    return likely[0]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return ("bytes" in fields and _is_bytes(fields["bytes"])) or ("path" in fields and _is_text(fields["path"]))
    return _is_bytes(kind) or _is_text(kind)


def _holds_labels(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind)) or _is_text(kind)


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
