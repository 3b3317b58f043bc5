"""Which rows of Parquet shards are to train and which to test on, where one table holds both.

Either a column says it of each row, or the images themselves decide (:mod:`trainers.data.sources.held_out`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

from trainers.data.pixels.decode import Encoded
from trainers.data.sources.checks import shown
from trainers.data.sources.held_out import held_out
from trainers.data.sources.parquet_table import Table
from trainers.errors import InputError
from trainers.storage.content import file_sha256
from trainers.storage.inputs import readable

TRAIN, TEST = ("train", "training"), ("test", "testing", "validation", "valid", "val")
"""What a column of splits calls the two. Where both `test` and a validation split are there, `test` is the one."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, in its order."""

    table: Table
    chosen: tuple[bool, ...] | None = None
    """Of each row whether it is one of them; None: all are."""

    def labels(self) -> list[Any]:
        """Every row's label, as it stands there."""
        return list(self._of(self.table.labels()))

    def encoded(self) -> Iterator[Encoded]:
        """Every row's image, a few thousand in memory at a time."""
        return self._of(self.table.encoded())

    def where(self, position: int) -> str:
        """Shard and row of the image at a position of these rows. Raises IndexError beyond the last one."""
        return self.table.where(position if self.chosen is None else self._places[position])

    @cached_property
    def _places(self) -> list[int]:
        return [place for place, chosen in enumerate(self.chosen or ()) if chosen]

    def _of(self, values: Any) -> Iterator[Any]:
        return iter(values) if self.chosen is None else compress(values, self.chosen)


def by_column(table: Table, column: str) -> tuple[Rows, Rows]:
    """Training and test rows, as a column says of each row.

    Raises:
        InputError: where there is no such column of text, or no row of one of the two.
    """
    names = [str(name).lower() if name is not None else "" for name in table.text(column)]
    present = set(names)
    sides = [next(([name] for name in usual if name in present), None) for usual in (TRAIN, TEST)]
    if None in sides:
        missing = "train" if sides[0] is None else "test"
        found = ", ".join(shown(name) for name in sorted(present)[:5]) or "nothing"
        raise InputError(
            f"{readable(table.shards[0])}: no row of column '{column}' says '{missing}' (option split_column); it"
            f" holds {found}"
        )
    train, test = (tuple(name in (side or ()) for name in names) for side in sides)
    return Rows(table, train), Rows(table, test)


def by_content(table: Table, fraction: float) -> tuple[Rows, Rows]:
    """Training and test rows: in each class the share `fraction` is to test on, by what the image files hold.

    Raises:
        InputError: where a row has no label or no image.
    """
    labels = table.labels()
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    test = held_out([_hash(image) for image in table.encoded()], [numbers[label] for label in labels], fraction)
    chosen: Sequence[bool] = test.tolist()
    return Rows(table, tuple(not one for one in chosen)), Rows(table, tuple(chosen))


def _hash(image: Encoded) -> str:
    content = image.content
    return file_sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
