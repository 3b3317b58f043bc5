"""How a table is printed, by the spec's `table`: names, order, which rows and columns, decimals. It changes no number,
and no test: the marks are those of all rows of a column, shown or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from search_spaces.table import MEAN, MOST_DECIMALS, PLAIN, Table
from sweep.plan.labels import meant, printed_name
from sweep.text import signed


@dataclass(frozen=True)
class Printed:
    """How one sweep's table is printed."""

    table: Table
    methods: Mapping[str, str]
    """Of all rows, by label."""
    positions: Mapping[str, int]
    """Of those rows that have a place of their own, by label."""

    @classmethod
    def of(cls, content: Mapping[str, Any], methods: Mapping[str, str]) -> Printed:
        """As a plan has it (:attr:`sweep.plan.slots.Plan.table`). What cannot be read, a later release's say, is left
        out: the table is then printed as it would be without."""
        try:
            table = Table.model_validate(content)
        except ValidationError:
            table = PLAIN
        placed = [label for name in table.rows or table.order or () for label in meant(name, methods)]
        return cls(table, methods, {label: place for place, label in enumerate(dict.fromkeys(placed))})

    @property
    def is_ordered(self) -> bool:
        """Whether the spec says in which order rows stand."""
        return bool(self.table.rows or self.table.order)

    def name(self, label: str) -> str:
        """What a row is called in print."""
        return printed_name(label, self.table.names, self.methods.get(label, ""))

    def shows(self, label: str) -> bool:
        """Whether a row is printed."""
        return self.table.rows is None or label in self.positions

    def place(self, label: str) -> int:
        """Where a row stands among those of its recipe; rows without a place of their own come after all others, in the
        plan's order."""
        return self.positions.get(label, len(self.positions))

    def columns(self, pairs: Sequence[str], *, mean: bool) -> list[str]:
        """The pairs that are shown, and ``mean`` where there is one, in order.

        Args:
            pairs: of the sweep.
            mean: whether there is a mean over all pairs.
        """
        there = [*pairs, *([MEAN] if mean else [])]
        if self.table.columns is None:
            return there
        return [column for column in self.table.columns if column in there] or there

    def number(self, value: float) -> str:
        """An accuracy, or a deviation of some."""
        return f"{value:.{self.table.decimals}f}"

    def signed(self, value: float) -> str:
        """A difference."""
        return signed(value, self.table.decimals)

    def size(self, difference: float) -> str:
        """How large a difference is, in a sentence: with more decimals where these have it as nothing."""
        found = (f"{abs(difference):.{decimals}f}" for decimals in range(self.table.decimals, MOST_DECIMALS + 1))
        return next((text for text in found if float(text)), self.number(0.0))

    def named(self, labels: Iterable[str]) -> str:
        """Rows in a sentence."""
        return ", ".join(map(self.name, labels))
