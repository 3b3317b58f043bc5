"""Learning curves: each configuration's mean over seeds, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sweep.report import colors, style
from sweep.report.history import Configuration, History
from sweep.report.looks import Look
from sweep.report.markup import Markup, element, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND = 0.1
"""Opacity of a standard deviation."""
MARKS = 6
"""Markers on a curve, about."""
EARLY = 0.25
"""Share of the epochs in which accuracies may rise from below the panel: what is looked for is what comes later."""
TOGETHER = 8
"""Curves of one panel beside the baseline's."""
MOST_DRAWN = 120
"""Configurations of the whole page that are drawn, but :data:`FEWEST_DRAWN` of each pair at least: nobody looks through
hundreds of figures."""
FEWEST_DRAWN = 2 * TOGETHER + 1
NAMES = {"nc1": "main head", "aux_nc1": "auxiliary head"}
"""Numbers that stand in one panel, with the words for the legend."""


def section(history: History, studio: Studio) -> Section | None:
    """For each pair the curves of its configurations: on the test set, on what was held out, and in training."""
    parts = []
    for pair in history.pairs:
        told = [config for config in history.of(pair) if config.curves]
        drawn = foremost(history, told)
        pictures = [
            picture(history, studio, some, {number: "-"}, axis, pair, name, late=True)
            for some in chunks(history, drawn)
            for number, (axis, name) in SHOWN.items()
            if any(config.has(number) for config in some)
        ]
        if pictures:
            parts.append(joined([element("h3", pair), left_out(drawn, told), style.gallery(pictures)]))
    return Section("curves", "Learning curves", joined([paragraph(_EXPLAINED), *parts])) if parts else None


SHOWN = {
    "test_acc": ("test accuracy, %", "curves-test"),
    "val_acc": ("validation accuracy, %", "curves-validation"),
    "train_acc": ("train accuracy, %", "curves-train"),
}
"""What is drawn, with the words for an axis and the beginning of a file's name."""
_EXPLAINED = (
    "Means over the seeds that finished, with their standard deviation as a band; every panel holds the baseline. Train"
    " accuracy is measured on the augmented views during the epoch; validation and test accuracy after it. Axes begin"
    " where the lowest band is after the first quarter of the epochs."
)


def foremost(history: History, some: Sequence[Configuration]) -> Sequence[Configuration]:
    """Those of a pair's configurations that are drawn, in the table's order: all of them, or where there are many the
    baseline, the best of each method, and those with the highest means."""
    most = max(FEWEST_DRAWN, MOST_DRAWN // max(len(history.pairs), 1))
    if len(some) <= most:
        return some
    ranked = sorted(some, key=lambda config: -(config.row.mean or 0.0))
    best = {id(next(config for config in ranked if config.row.method == method)) for method in _methods(some)}
    ranked.sort(key=lambda config: (config.row.label != history.board.baseline, id(config) not in best))
    kept = {id(config) for config in ranked[:most]}
    return [config for config in some if id(config) in kept]


def _methods(some: Sequence[Configuration]) -> list[str]:
    return list(dict.fromkeys(config.row.method for config in some))


def left_out(drawn: Sequence[Configuration], told: Sequence[Configuration]) -> Markup:
    """A remark where some are not drawn."""
    if len(drawn) == len(told):
        return Markup()
    return paragraph(
        f"Drawn are {len(drawn)} of {len(told):,} configurations: the baseline, the best of each method, and those with"
        " the highest means; sweep export has the epochs of all."
    )


def chunks(history: History, some: Sequence[Configuration]) -> list[Sequence[Configuration]]:
    """What is drawn together: as many configurations at a time as can be told apart, beside each the baseline of its
    recipe."""
    bases = {config.row.recipe: config for config in some if config.row.label == history.board.baseline}
    others = [config for config in some if config.row.label != history.board.baseline]
    parts = -(-len(others) // TOGETHER)
    if not parts:
        return [list(bases.values())] if bases else []
    size = -(-len(others) // parts)  # all panels about as full
    panels = [others[start : start + size] for start in range(0, len(others), size)]
    return [_with_bases(bases, panel) for panel in panels]


def _with_bases(bases: Mapping[str, Configuration], panel: Sequence[Configuration]) -> Sequence[Configuration]:
    recipes = dict.fromkeys(config.row.recipe for config in panel)
    return [*(bases[recipe] for recipe in recipes if recipe in bases), *panel]


def picture(
    history: History,
    studio: Studio,
    some: Sequence[Configuration],
    numbers: dict[str, str],
    axis: str,
    title: str,
    name: str,
    *,
    logarithmic: bool = False,
    late: bool = False,
) -> Picture:
    """Numbers of some configurations against the epoch.

    Args:
        history: of the whole sweep, whose looks the curves have.
        studio: makes the picture.
        some: of :func:`chunks`.
        numbers: how the line of each number is drawn, ``-`` as its configuration's; where there are several, the legend
            tells them.
        axis: the y axis's label.
        title: of the panel.
        name: how the picture's file begins.
        logarithmic: whether the y axis is.
        late: whether the y axis begins where the curves are after :data:`EARLY`.
    """
    figure, axes = style.new_figure()
    for place, config in enumerate(some):
        look = history.looks.row(config.row)
        for number, line in numbers.items():
            own = look if line == "-" else replace(look, line=line)
            curve(axes, config, number, own, place, label=config.name if number == next(iter(numbers)) else None)
    for number, line in numbers.items() if len(numbers) > 1 else ():
        axes.plot([], [], color=colors.INK, linestyle=line, linewidth=1, label=NAMES.get(number, number))
    epoch_axis(axes)
    axes.set(ylabel=axis, title=title)
    if logarithmic:
        axes.set_yscale("log")
        style.plain_log_ticks(axes.yaxis)
    if late:
        _begin_late(axes, some, next(iter(numbers)))
    style.legend_below(figure, axes)
    what = axis.partition(", ")[0]
    return studio.picture(figure, f"{what[0].upper()}{what[1:]} by epoch, {title}", name, title)


def _begin_late(axes: Axes, some: Sequence[Configuration], number: str) -> None:
    told = [config.summary(number) for config in some if config.has(number)]
    ranges = [list(zip(one.epochs, one.means, one.spreads, strict=True)) for one in told]
    low = min((m - s for of in ranges for e, m, s in of if e > EARLY * of[-1][0]), default=0.0)
    high = max((m + s for of in ranges for _, m, s in of), default=100.0)
    room = 0.05 * max(high - low, 1.0)
    axes.set_ylim(low - room, high + room)


def curve(axes: Axes, config: Configuration, number: str, look: Look, place: int, label: str | None) -> None:
    """One number of a configuration with its band; nothing where it was never measured.

    Args:
        axes: the panel.
        config: whose curve it is.
        number: by its name.
        look: of the curve.
        place: of the curve in the panel: markers stand side by side, so that curves that coincide are seen.
        label: in the legend; None for no line there.
    """
    told = config.summary(number)
    if not told.epochs:
        return
    every = max(1, len(told.epochs) // MARKS)
    looks: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.line}
    axes.plot(told.epochs, told.means, markevery=(place % every, every), label=label, **looks)
    low = [mean - spread for mean, spread in zip(told.means, told.spreads, strict=True)]
    high = [mean + spread for mean, spread in zip(told.means, told.spreads, strict=True)]
    axes.fill_between(told.epochs, low, high, color=look.color, alpha=BAND, linewidth=0)


def epoch_axis(axes: Axes) -> None:
    """Whole epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")
