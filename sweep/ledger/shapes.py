"""Results of epochs without their names: a ledger holds the names once, for all epochs that have the same ones.

The body ``{"epoch": 7, "terms": {"ce": 0.5}}`` is written as ``[1,7,0.5]``: the number of its shape, and its values one
after the other. The shape is a fact of the ledger (:mod:`sweep.ledger.facts`), with a checksum like any: `shape 1` is
``{"epoch":null,"terms":{"ce":null}}``. It is never changed, and is there before the first epoch that needs it.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json

from sweep.ledger import facts
from trainers.errors import StorageError

MOST = 1000
"""Shapes of a ledger; an epoch of another one is written with its names."""
Shape = dict[str, Any]
"""Names in their order; None for each that has a value, and another shape for each that has names of its own."""


class Flat(NamedTuple):
    """An epoch's body as names and values."""

    names: tuple[str, ...]
    """Joined by dots where they stand in one another: ``terms.ce``."""
    values: list[Any]
    """As many."""


class Shapes:
    """The shapes of one ledger.

    Args:
        database: that holds it.
        path: of the file.
    """

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database, self._path = database, path
        self._numbers: dict[str, int | None] = {}
        """By a shape's text; None of those that are beyond :data:`MOST`."""
        self._shapes: dict[Any, tuple[Shape, tuple[str, ...]]] = {}
        """By number, with the names in them."""
        self._unread: Exception | None = None

    def packed(self, body: dict[str, Any]) -> str:
        """The text of an epoch's body. Its shape is noted at once: this is not to be undone by a transaction."""
        shape = _shape(body)
        text = dumped(shape)
        if text not in self._numbers:
            lasts = from_json(text) == shape  # not of names that JSON has no room for, and may write alike
            self._numbers[text] = self._noted(text) if lasts else None
        number = self._numbers[text]
        return dumped(body if number is None else [number, *flattened(body).values])

    def _noted(self, text: str) -> int | None:
        """The number of a shape, which another process may have noted as well, or another one under that number."""
        for number in range(1, MOST + 1):
            known = facts.read(self._database, self._path, _name(number))
            if known is None:
                facts.write(self._database, _name(number), text, "IGNORE")
                known = facts.read(self._database, self._path, _name(number))
            if known == text:
                return number
        return None

    def body(self, text: str) -> Any:
        """The body of an event by its text, of whatever kind.

        Raises:
            ValueError: where the text is none, or has another number of values than its shape.
            StorageError: where the shape is damaged.
        """
        read = from_json(text)
        if not isinstance(read, list):
            return read
        shape, _ = self._of(read)
        return _filled(shape, itertools.islice(read, 1, None))

    def flat(self, text: str) -> Flat:
        """The body of an epoch by its text. Raises as :meth:`body`."""
        read = from_json(text)
        if not isinstance(read, list):
            return flattened(read)
        return Flat(self._of(read)[1], read[1:])

    def value(self, text: str, name: str) -> Any:
        """One value of an epoch by its body's text; None where it has none of that name. Raises as :meth:`body`."""
        try:
            names, values = self.flat(text)
        except (ValueError, StorageError) as error:
            self._unread = error
            raise
        return values[names.index(name)] if name in names else None

    @contextmanager
    def outspoken(self) -> Iterator[None]:
        """What :meth:`value` raises in a query, which SQLite would not pass on."""
        self._unread = None
        try:
            yield
        except sqlite3.Error as error:
            if self._unread is not None:
                raise self._unread from error
            raise

    def _of(self, read: list[Any]) -> tuple[Shape, tuple[str, ...]]:
        """The shape of a body, and the names in it."""
        number = read[0] if read else None
        if type(number) is not int:
            raise ValueError("an epoch names no shape")
        known = self._shapes.get(number) or self._read(number)
        if len(known[1]) != len(read) - 1:
            raise ValueError(f"an epoch has {len(read) - 1} values, and its shape {len(known[1])}")
        return known

    def _read(self, number: Any) -> tuple[Shape, tuple[str, ...]]:
        text = facts.read(self._database, self._path, _name(number))
        if text is None:
            raise ValueError(f"an epoch is of {_name(number)}, which is gone")
        shape = from_json(text)
        if not isinstance(shape, dict) or _shape(shape) != shape:
            raise ValueError(f"its {_name(number)} is none")
        self._shapes[number] = shape, flattened(shape).names
        return self._shapes[number]


def flattened(body: dict[str, Any]) -> Flat:
    """A body as names and values. Raises ValueError where it is none."""
    if not isinstance(body, dict):
        raise ValueError("an event has another body than was written")
    names: list[str] = []
    values: list[Any] = []
    _flatten(body, names, values, "")
    return Flat(tuple(names), values)


def dumped(content: Any) -> str:
    """JSON as a ledger holds it, in as few bytes as it takes; half a character becomes a question mark."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()


def _name(number: int) -> str:
    return f"shape {number}"


def _shape(body: dict[str, Any]) -> Shape:
    return {name: _shape(value) if isinstance(value, dict) else None for name, value in body.items()}


def _flatten(body: dict[str, Any], names: list[str], values: list[Any], above: str) -> None:
    for name, value in body.items():
        if isinstance(value, dict):
            _flatten(value, names, values, f"{above}{name}.")
        else:
            names.append(f"{above}{name}")
            values.append(value)


def _filled(shape: Shape, values: Iterator[Any]) -> dict[str, Any]:
    return {name: next(values) if part is None else _filled(part, values) for name, part in shape.items()}
