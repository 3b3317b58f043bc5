"""Numbers of many epochs at once, as columns: taken one by one, millions would take a minute."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from sweep.ledger.shapes import Shapes, flattened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Wanted = Callable[[str], bool]
"""Whether a number is asked for, by its name (as in :class:`sweep.ledger.shapes.Flat`)."""


class Columns(NamedTuple):
    """Numbers of some epochs."""

    places: list[int]
    """Of the epochs."""
    numbers: dict[str, NDArray[np.float64]]
    """By name, in the order of `places`; NaN where an epoch has none."""


class Chunk(NamedTuple):
    """Some events of a ledger, in the order written."""

    rows: list[Sequence[Any]]
    """Of each its `seq`, time, kind, trial and epoch, and more."""
    bodies: dict[int, dict[str, Any]]
    """By place in `rows`, of those that are no epochs."""
    columns: list[Columns]
    """Of those that are, by their places in `rows`."""


def columns(shapes: Shapes, texts: Mapping[int, str], wanted: Wanted) -> list[Columns]:
    """The numbers of some epochs.

    Args:
        shapes: of their ledger.
        texts: their bodies, by place.
        wanted: which of their numbers.

    Raises:
        ValueError: where a text is no body, or has another number of values than its shape.
        StorageError: where a shape is damaged.
    """
    alike: dict[str, list[int]] = {}
    for place, text in texts.items():
        alike.setdefault(text[: text.find(",")] if text[:1] == "[" else "", []).append(place)
    plain = alike.pop("", [])
    found = [Columns(places, _packed(shapes, [texts[place] for place in places], wanted)) for places in alike.values()]
    return found + _plain({place: texts[place] for place in plain}, wanted)


def _packed(shapes: Shapes, texts: list[str], wanted: Wanted) -> dict[str, NDArray[np.float64]]:
    """Of epochs of one shape. Where all values are numbers the texts are the lines of a table."""
    import pyarrow as pa

    names = shapes.flat(texts[0]).names
    lines = "\n".join(texts)[1:-1].replace("]\n[", "\n")
    if '"' not in lines:
        with contextlib.suppress(pa.ArrowException):  # of a list, or a truth value: not this way
            return _parsed(lines, names, wanted)
    return _table(names, [shapes.flat(text).values for text in texts], wanted)


def _parsed(lines: str, names: Sequence[str], wanted: Wanted) -> dict[str, NDArray[np.float64]]:
    import pyarrow as pa
    from pyarrow import csv

    chosen = {str(place): name for place, name in enumerate(names) if wanted(name)}  # two may have one name
    content, columns = lines.encode(), ["shape", *map(str, range(len(names)))]
    table = csv.read_csv(
        io.BytesIO(content),
        csv.ReadOptions(use_threads=False, block_size=len(content) + 1, column_names=columns),
        convert_options=csv.ConvertOptions(
            include_columns=["shape", *chosen],
            column_types=dict.fromkeys(["shape", *chosen], pa.float64()),
            null_values=["null"],
        ),
    )
    return {name: table[place].to_numpy() for place, name in chosen.items()}


def _plain(texts: Mapping[int, str], wanted: Wanted) -> list[Columns]:
    """Of epochs that were written with their names."""
    import pyarrow as pa

    with contextlib.suppress(pa.ArrowException):  # of what Arrow takes for no JSON, such as infinity, and of lists
        return [Columns(list(texts), _read(list(texts.values()), wanted))] if texts else []
    bodies = {place: flattened(from_json(text)) for place, text in texts.items()}
    return [Columns([place], _table(names, [values], wanted)) for place, (names, values) in bodies.items()]


def _read(texts: list[str], wanted: Wanted) -> dict[str, NDArray[np.float64]]:
    import pyarrow as pa
    from pyarrow import json

    content = "\n".join(texts).encode()
    table = json.read_json(io.BytesIO(content), json.ReadOptions(use_threads=False, block_size=len(content) + 1))
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    if len(table) != len(texts) or any(text[:1] != "{" for text in texts):
        raise pa.ArrowInvalid("not a body in each line")
    named = zip(table.column_names, table.columns, strict=True)
    return {name: column.cast(pa.float64()).to_numpy() for name, column in named if wanted(name)}


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]], wanted: Wanted) -> dict[str, NDArray[np.float64]]:
    import numpy as np

    chosen = [(place, name) for place, name in enumerate(names) if wanted(name)]
    return {name: np.array([_number(row[place]) for row in rows]) for place, name in chosen}


def _number(value: Any) -> float:
    """NaN for None. Raises ValueError for what is no number."""
    if isinstance(value, list):
        raise ValueError("an epoch has a list where a number belongs")
    return math.nan if value is None else float(value)
