"""Learning curves: each configuration's mean over seeds, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.report import style
from sweep.report.history import Configuration, History
from sweep.report.markup import Markup, element, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND = 0.12
"""Opacity of a standard deviation."""
MARKS = 8
"""Markers on a curve, about."""
MOST_DRAWN = 140
"""Configurations of the whole page that are drawn, but :data:`FEWEST_DRAWN` of each pair at least: nobody looks through
hundreds of figures."""
FEWEST_DRAWN = 4 * len(style.SERIES)
NAMES = {
    "test_acc": "test",
    "train_acc": "train",
    "val_acc": "validation",
    "nc1": "main head",
    "aux_nc1": "auxiliary head",
}


def section(history: History, studio: Studio) -> Section | None:
    """For each pair the curves of its configurations, test apart from train and validation."""
    parts = []
    for pair in history.pairs:
        told = [config for config in history.of(pair) if config.curves]
        drawn = foremost(history, told)
        pictures = [picture for some in chunks(drawn) for picture in _pictures(studio, pair, some)]
        if pictures:
            parts.append(joined([element("h3", pair), left_out(drawn, told), style.gallery(pictures)]))
    return Section("curves", "Learning curves", joined([paragraph(_EXPLAINED), *parts])) if parts else None


_EXPLAINED = (
    "Means over the seeds that finished, with their standard deviation as a band. Train accuracy is measured on the"
    " augmented views during the epoch; validation and test accuracy after it."
)


def foremost(history: History, some: Sequence[Configuration]) -> Sequence[Configuration]:
    """Those of a pair's configurations that are drawn, in the table's order: all of them, or where there are many the
    baseline and those with the highest means."""
    most = max(FEWEST_DRAWN, MOST_DRAWN // max(len(history.pairs), 1))
    if len(some) <= most:
        return some
    ranked = sorted(some, key=lambda config: (config.row.label != history.board.baseline, -(config.row.mean or 0.0)))
    kept = {id(config) for config in ranked[:most]}
    return [config for config in some if id(config) in kept]


def left_out(drawn: Sequence[Configuration], told: Sequence[Configuration]) -> Markup:
    """A remark where some are not drawn."""
    if len(drawn) == len(told):
        return Markup()
    return paragraph(
        f"Drawn are the {len(drawn)} of {len(told):,} configurations with the highest means, and the baseline among"
        " them; `sweep export` has the epochs of all."
    )


def chunks(some: Sequence[Configuration]) -> list[Sequence[Configuration]]:
    """As many configurations at a time as there are colours."""
    most = len(style.SERIES)
    return [some[start : start + most] for start in range(0, len(some), most)]


def _pictures(studio: Studio, pair: str, some: Sequence[Configuration]) -> list[Picture]:
    fitted, axis = {"train_acc": "-"}, "train accuracy, %"
    if any(config.has("val_acc") for config in some):
        fitted, axis = fitted | {"val_acc": "--"}, "train and validation accuracy, %"
    return [
        picture(studio, some, {"test_acc": "-"}, "test accuracy, %", pair, "curves-test"),
        picture(studio, some, fitted, axis, pair, "curves-train"),
    ]


def picture(
    studio: Studio,
    some: Sequence[Configuration],
    numbers: dict[str, str],
    axis: str,
    title: str,
    name: str,
    *,
    logarithmic: bool = False,
) -> Picture:
    """Numbers of some configurations against the epoch.

    Args:
        studio: makes the picture.
        some: at most as many as there are colours.
        numbers: how the line of each number is drawn; where there are several, the legend tells them.
        axis: the y axis's label.
        title: of the panel.
        name: how the picture's file begins.
        logarithmic: whether the y axis is.
    """
    figure, axes = style.new_figure()
    for config, color, marker in zip(some, style.SERIES, style.MARKERS, strict=False):
        for number, line in numbers.items():
            label = config.name if number == next(iter(numbers)) else None
            curve(axes, config, number, color=color, marker=marker, line=line, label=label)
    for number, line in numbers.items() if len(numbers) > 1 else ():
        axes.plot([], [], color=style.INK, linestyle=line, linewidth=1, label=NAMES.get(number, number))
    epoch_axis(axes)
    axes.set(ylabel=axis, title=title)
    if logarithmic:
        axes.set_yscale("log")
        style.plain_log_ticks(axes.yaxis)
    style.legend_below(figure, axes)
    what = axis.partition(", ")[0]
    return studio.picture(figure, f"{what[0].upper()}{what[1:]} by epoch, {title}", name, title)


def curve(
    axes: Axes, config: Configuration, number: str, *, color: str, marker: str, line: str, label: str | None
) -> None:
    """One number of a configuration with its band; nothing where it was never measured."""
    told = config.summary(number)
    if not told.epochs:
        return
    every = max(1, len(told.epochs) // MARKS)
    marked = (style.MARKERS.index(marker) % every, every)  # side by side, so that curves that coincide are seen
    axes.plot(told.epochs, told.means, color=color, marker=marker, linestyle=line, markevery=marked, label=label)
    low = [mean - spread for mean, spread in zip(told.means, told.spreads, strict=True)]
    high = [mean + spread for mean, spread in zip(told.means, told.spreads, strict=True)]
    axes.fill_between(told.epochs, low, high, color=color, alpha=BAND, linewidth=0)


def epoch_axis(axes: Axes) -> None:
    """Whole epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")
