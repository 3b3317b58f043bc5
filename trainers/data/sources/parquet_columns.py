"""Which column of a Parquet file holds the images, and which the labels, by its name and its type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from trainers.data.sources.checks import shown
from trainers.errors import InputError, unknown_name
from trainers.storage.inputs import readable


@dataclass(frozen=True)
class Wanted:
    """What a column is to hold."""

    option: str
    """Of the data set, which names the column."""
    usual: tuple[str, ...]
    """Names of such columns, the likeliest first."""
    fits: Callable[[pa.DataType], bool]
    forms: str
    """What such a column may hold, for a message."""
    cure: str
    """What to do about one that holds something else."""

    def column(self, schema: pa.Schema, named: str | None, shard: Path) -> str:
        """The column that the option names, else the usual one, else the only one whose type fits.

        Raises:
            InputError: where there is none, or no telling which; it says what would be right.
        """
        fitting = [field.name for field in schema if self.fits(field.type)]
        if named is not None:
            if named not in fitting:
                raise InputError(f"{readable(shard)}: {self._not(schema, named, fitting)}")
            return only(schema, named, shard)
        likely = [name for name in self.usual if name in fitting] or (fitting if len(fitting) == 1 else [])
        if not likely:
            raise InputError(f"{readable(shard)}: {self._which(schema, fitting)}")
        return only(schema, likely[0], shard)

    def _not(self, schema: pa.Schema, named: str, fitting: list[str]) -> str:
        """Why the column of that name is none."""
        if named in schema.names:
            return self._of_another_type(schema, named)
        others = f"columns that hold {self.option}s" if fitting else "columns"
        there = fitting or [f"{field.name} ({field.type})" for field in schema]
        return unknown_name("column", named, fitting).partition("valid: ")[0] + f"{others}: {', '.join(there)}"

    def _which(self, schema: pa.Schema, fitting: list[str]) -> str:
        """What to do where nothing says which column it is: one of several, or none of those that are there."""
        if fitting:
            return (
                f"which column holds the {self.option}? Name it with the option {self.option}: {' or '.join(fitting)}"
            )
        meant = next((name for name in self.usual if name in schema.names), None)
        if meant is not None:
            return self._of_another_type(schema, meant)
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        return f"no column holds {self.option}s, which are {self.forms}; {self.cure}; columns: {columns}"

    def _of_another_type(self, schema: pa.Schema, name: str) -> str:
        kind = schema.field(schema.names.index(name)).type
        return f"column '{name}' holds {shown(str(kind))}; {self.option}s are {self.forms}; {self.cure}"


def only(schema: pa.Schema, name: str, shard: Path) -> str:
    """The name, where one column alone has it. Raises InputError otherwise."""
    if schema.names.count(name) > 1:
        raise InputError(f"{readable(shard)}: two columns are called '{name}'")
    return name


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text, a category of texts included."""
    kind = _plain(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_truth(kind: pa.DataType) -> bool:
    """Whether a type is true or false."""
    return bool(pa.types.is_boolean(_plain(kind)))


def alike(kind: pa.DataType, other: pa.DataType) -> bool:
    """Whether columns of two types are read as one: equal ones, and whole numbers or texts however they are kept."""
    both = (_plain(kind), _plain(other))
    return kind == other or any(all(map(one, both)) for one in (pa.types.is_integer, is_text, is_truth, _is_bytes))


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of a category's values; any other type itself."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_bytes(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        inside, beside = fields.get("bytes", pa.null()), fields.get("path", pa.null())
        return _is_bytes(inside) or (pa.types.is_null(inside) and is_text(beside))
    return _is_bytes(kind) or is_text(kind)


def _holds_labels(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(_plain(kind))) or is_text(kind) or is_truth(kind)


IMAGES = Wanted(
    option="image",
    usual=("image", "img", "images", "picture"),
    fits=_holds_images,
    forms="bytes of image files, structs of 'bytes' and 'path', or paths",
    cure="write the files' bytes",
)
LABELS = Wanted(
    option="label",
    usual=("label", "labels", "fine_label", "class", "target"),
    fits=_holds_labels,
    forms="whole numbers from 0, names, categories, or true and false",
    cure="convert it, in pandas with .astype(int) or .astype(str)",
)
