"""A plan as Python shows it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sweep import formats
from sweep.python.html import plain, preformatted

if TYPE_CHECKING:
    import pandas as pd

    from sweep.results.preview import Preview


class Planned:
    """What a sweep would run: what :meth:`sweep.python.sweeps.Sweep.plan` gives. Printed, it says what `sweep plan`
    says."""

    def __init__(self, preview: Preview) -> None:
        self._preview = preview

    @property
    def trials(self) -> int:
        """Of the whole sweep; where something is searched, at most."""
        return self._preview.plan.count

    @property
    def done(self) -> int:
        """Trials that have ended for good."""
        return self._preview.over.trials

    @property
    def elsewhere(self) -> dict[str, int]:
        """Trials that other sweeps below the root have finished, which a run takes over: how many of each sweep."""
        return dict(Counter(self._preview.elsewhere.values()))

    @property
    def epochs_left(self) -> int:
        """Epochs to run yet, at most."""
        return self._preview.epochs_left

    def table(self) -> pd.DataFrame:
        """A line for each stage, recipe, pair and method: how many trials, how many of them are done here and
        elsewhere, and epochs."""
        return formats.to_arrow(self._preview.rows).to_pandas()

    def __repr__(self) -> str:
        return plain(self._preview.text)

    def _repr_html_(self) -> str:
        return preformatted(repr(self))
