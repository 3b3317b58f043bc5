"""Two methods beside each other, as Python shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep import formats
from sweep.formats import Format
from sweep.python.frames import to_pandas
from sweep.python.html import plain, preformatted
from sweep.results.answer import answer, render
from sweep.results.board import Leaderboard
from sweep.results.comparison import OVER_PAIRS, Difference, contrasts, in_print, records

if TYPE_CHECKING:
    import pandas as pd


class Comparison:
    """Two methods beside each other: what :meth:`sweep.python.results.Results.compare` gives.

    Printed, it is the answer in one sentence, and a line a pair.
    """

    def __init__(self, ours: str, theirs: str, board: Leaderboard) -> None:
        self.ours, self.theirs = ours, theirs
        self._board = board
        self.found = contrasts(board, ours, [theirs])
        """One a pair, in the table's order, and of several pairs one over all of them."""

    @property
    def differences(self) -> list[Difference]:
        """One a pair, in the table's order."""
        return [one for one in self.found if one.pair != OVER_PAIRS]

    @property
    def answer(self) -> str:
        """Whether ours is better, by how much, and how sure that is, in one sentence."""
        return answer(in_print(self._board, self.found))

    def table(self) -> pd.DataFrame:
        """A line a pair: `seeds`, means, `difference` with the `low` and `high` end of its 95 % interval, `p`, and
        `p_corrected` for the rows compared."""
        return to_pandas(formats.to_arrow(records(self.differences)))

    def __repr__(self) -> str:
        return plain(render(self._board, self.found, Format.TABLE))

    def _repr_html_(self) -> str:
        return preformatted(repr(self))
