"""How a row is drawn: one colour, marker and line for it in every figure of a sweep.

A look depends on the row's place in the whole plan and on nothing that a figure happens to draw beside it. Colours are
those of methods: the baseline is drawn in the ink of the axes, `scratch` in grey, and the others in the order of the
plan by Okabe and Ito's palette, which colour-blind readers tell apart; beyond its size the same colours come again
with other lines. The rows of one method are tints of its colour, from pale to dark in the plan's order, each with a
marker of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.report import colors

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard
    from sweep.results.rows import Row

LINES = ("-", "--", "-.", ":")
"""Matplotlib's line styles, the plainest first."""
GREY = 5
"""Place among :data:`~sweep.report.colors.SERIES` of the colour for what was trained without a teacher."""
HUES = tuple(place for place in range(len(colors.SERIES)) if place != GREY)
"""Places of the colours of all other methods."""
SPACED = {1: (2,), 2: (1, 3), 3: (1, 2, 3), 4: (0, 1, 3, 4)}
"""Tints of so many rows of one method; of more, all tints from pale to dark."""


@dataclass(frozen=True)
class Look:
    """How one row is drawn."""

    color: str
    """As six hexadecimal digits; on the page the reader's mode decides its shade."""
    marker: str
    line: str
    """Matplotlib's style of the line."""


class Looks:
    """The looks of all rows of a table."""

    def __init__(self, board: Leaderboard) -> None:
        self._baseline = board.baseline
        self._own = next((row.method for row in board.rows if row.label == board.baseline), None)
        self._rows: dict[str, dict[tuple[str, str], int]] = {}
        for row in board.rows:
            of_method = self._rows.setdefault(row.method, {})
            of_method.setdefault((row.recipe, row.label), len(of_method))
        coloured = [method for method in self._rows if method not in (self._own, "scratch")]
        self._places = {method: place for place, method in enumerate(coloured)}

    def row(self, row: Row) -> Look:
        """Of a row of the table; the same under every pair."""
        places = self._rows[row.method]
        place = places[row.recipe, row.label]
        if row.label == self._baseline:
            return Look(colors.INK, colors.MARKERS[0], LINES[place and place % len(LINES)])
        return self.line(row.method, place, len(places))

    def line(self, method: str, place: int = 0, count: int = 1) -> Look:
        """Of one of several lines of a method.

        Args:
            method: by its name.
            place: of the line among them, from 0.
            count: how many there are.
        """
        number = self._places.get(method, 0)
        repeated = number // len(HUES) + (place if count > colors.TINTS else 0)
        tint = colors.tint(self._hue(method), _level(place, count))
        return Look(tint, colors.MARKERS[(number + place) % len(colors.MARKERS)], LINES[repeated % len(LINES)])

    def _hue(self, method: str) -> int | None:
        """Place of the method's colour; None for ink."""
        if method == self._own:
            return None
        return GREY if method == "scratch" else HUES[self._places.get(method, 0) % len(HUES)]


def _level(place: int, count: int) -> int:
    """Which tint one of several lines has."""
    if count in SPACED:
        return SPACED[count][place]
    return place * colors.TINTS // count


def placed(names: Iterable[str]) -> dict[str, int]:
    """Each name's place among those that differ."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
