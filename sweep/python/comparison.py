"""Two methods beside each other, as Python shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep import formats
from sweep.python.frames import to_pandas
from sweep.python.html import plain, preformatted
from sweep.results.comparison import Difference, records, text

if TYPE_CHECKING:
    import pandas as pd


class Comparison:
    """Two methods beside each other: what :meth:`sweep.python.results.Results.compare` gives.

    Printed, it is a line a pair.
    """

    def __init__(self, ours: str, theirs: str, differences: list[Difference]) -> None:
        self.ours, self.theirs = ours, theirs
        self.differences = differences
        """One a pair, in the table's order."""

    def table(self) -> pd.DataFrame:
        """A line a pair: `seeds`, means, `difference` with the `low` and `high` end of its 95 % interval, `p`, and
        `p_corrected` for the number of pairs."""
        return to_pandas(formats.to_arrow(records(self.differences)))

    def __repr__(self) -> str:
        return plain(text(self.ours, self.theirs, self.differences))

    def _repr_html_(self) -> str:
        return preformatted(repr(self))
