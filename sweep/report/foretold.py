"""What a search that looks ahead has foretold, beside what came: the curves of the trials that it gave up, as it
expected them to go on, and those of its best."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from sweep.plan.labels import label
from sweep.report import colors, style
from sweep.report.curves import epoch_axis
from sweep.report.style import Picture, Studio
from sweep.results.metrics import METRICS
from sweep.search.cell_search import CellSearch
from sweep.search.looking_back import GivenUp, given_up, pruned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BEST, MOST_GIVEN_UP = 2, 4
"""Trials of one figure."""
BAND = 0.12
"""Opacity of two standard deviations."""
ROOM = 0.04
"""Of the panel, above and below what is in it."""


def picture(search: CellSearch, studio: Studio) -> Picture | None:
    """The best trials that finished and the latest that were given up, each from there on as it was foretold to go on,
    with two standard deviations; None of a search that does not look ahead, or gave nothing up."""
    if search.cell.search["pruner"] != "curves":
        return None
    lost = [one for one in given_up(search, MOST_GIVEN_UP) if one.weighed is not None]
    if not lost:
        return None
    best = _best(search)
    figure, axes = style.new_figure()
    for place, number in enumerate(best):
        _real(axes, search, number, colors.tint(None, 4 - 4 * place), "then" if place else "best")
    for color, marker, one in zip(colors.SERIES, colors.MARKERS, lost, strict=False):
        _given_up(axes, search, one, color, marker)
    epoch_axis(axes)
    axes.set(ylabel=METRICS[search.cell.search["metrics"][0]].axis, ylim=_limits(axes))
    style.legend_below(figure, axes)
    title = f"What was foretold of trials given up (marks), beside the best: {search.cell.name}"
    return studio.picture(figure, title, "foretold", search.cell.name, remark=_left_out(search, len(best), len(lost)))


def _best(search: CellSearch) -> list[int]:
    done = {number: asked.values[0] for number, asked in enumerate(search.asked) if asked.values}
    return list(islice(sorted(done, key=lambda number: -done[number]), MOST_BEST))


def _left_out(search: CellSearch, best: int, lost: int) -> str:
    finished, gone = sum(asked.state == "finished" for asked in search.asked), len(pruned(search))
    told = [
        f"the best {best} of {finished} that finished" if best < finished else "all that finished",
        f"the latest {lost} of {gone} that were given up" if lost < gone else "all that were given up",
    ]
    return ", ".join(told)


def _real(axes: Axes, search: CellSearch, number: int, color: str, what: str) -> None:
    """The curve of a trial that finished."""
    epochs = sorted(search.asked[number].epochs.items())
    axes.plot(*zip(*epochs, strict=True), color=color, label=f"{what} {_named(search, number)}")


def _given_up(axes: Axes, search: CellSearch, one: GivenUp, color: str, marker: str) -> None:
    """A trial's curve up to where it was given up, with a mark there, and what was foretold of it from there on."""
    if one.weighed is None:
        return
    epochs = sorted(search.asked[one.number].epochs.items())
    looks: dict[str, Any] = {"color": color, "marker": marker, "markevery": [len(epochs) - 1]}
    axes.plot(*zip(*epochs, strict=True), label=_named(search, one.number), **looks)
    ahead = range(one.epoch, one.epochs + 1)
    means, deviations = one.weighed.forecast.along(one.number, [epoch - 1 for epoch in ahead])
    axes.plot(ahead, means, color=color, linestyle="--", linewidth=1.2)
    axes.fill_between(
        ahead, means - 2 * deviations, means + 2 * deviations, color=color, alpha=BAND, linewidth=0, zorder=1
    )


def _named(search: CellSearch, number: int) -> str:
    """A trial by its number and values, in few digits."""
    some = {name: rounded(value) for name, value in search.asked[number].params.items()}
    return f"#{number}{label('', some)}"


def rounded(value: Any) -> Any:
    """A value in three digits, where it has that many."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _limits(axes: Axes) -> tuple[float, float]:
    """All that is drawn, as far as it is a percentage."""
    low, high = axes.get_ylim()
    low, high = max(low, 0.0), min(high, 100.0)
    room = ROOM * (high - low)
    return low - room, high + room
