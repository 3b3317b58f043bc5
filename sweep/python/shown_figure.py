"""The sweep's figure, which a notebook shows as the value of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.report.figure import as_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def shown(drawn: Figure) -> Figure:
    """The figure, with a picture of itself: notebooks ask for one where pyplot, which nothing here uses, was never
    imported."""
    drawn._repr_png_ = lambda: as_png(drawn)  # type: ignore[attr-defined]
    return drawn
