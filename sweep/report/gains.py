"""What each method gains over the baseline, by teacher and student."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from sweep.plan.labels import student_of, teacher_of
from sweep.report import style
from sweep.report.history import Configuration, History
from sweep.report.markup import joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.statistics import paired, spread
from sweep.text import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUND = ("#b35806", "#f1a340", "#fee0b6", "#f7f7f7", "#d1e5f0", "#67a9cf", "#2166ac")
"""From loss to gain: ColorBrewer's orange and blue, told apart by colour-blind readers too."""
SQUARE = (1.05, 0.62)
"""Inches of a teacher with a student."""
LETTER, MARGIN = 0.085, 0.75
"""Inches of a letter beside the map, and of what else stands around it."""
MOST_MAPS = 60
"""Configurations with a map: those that gain most."""
DARK = 0.5
"""Luminance of a ground that takes light text."""


@dataclass(frozen=True)
class Gain:
    """Mean difference to the baseline over common seeds, in percentage points."""

    mean: float
    spread: float
    seeds: int

    @property
    def text(self) -> str:
        """``+0.50``, and below it ``± 0.12`` where there are several seeds."""
        return signed(self.mean) + (f"\n± {self.spread:.2f}" if self.seeds > 1 else "")


def gain(config: Configuration, base: Configuration) -> Gain | None:
    """None where the two share no seed."""
    differences = paired(config.row.values, base.row.values)
    return Gain(fmean(differences), spread(differences), len(differences)) if differences else None


def gains(history: History) -> dict[str, dict[str, Gain]]:
    """By configuration, then by pair; the baseline itself has none."""
    label = history.board.baseline
    bases = {(config.row.recipe, config.pair): config for config in history.configurations if config.row.label == label}
    by_name: dict[str, dict[str, Gain]] = {}
    for config in history.configurations:
        base = bases.get((config.row.recipe, config.pair))
        made = gain(config, base) if base is not None and base is not config else None
        if made is not None:
            by_name.setdefault(config.name, {})[config.pair] = made
    return by_name


def section(history: History, studio: Studio) -> Section | None:
    """A map for each configuration, where there is more than one pair."""
    by_name = gains(history)
    if len(history.pairs) < 2 or not by_name:
        return None
    widest = max((abs(made.mean) for by_pair in by_name.values() for made in by_pair.values()), default=0.0) or 1.0
    drawn = foremost(by_name)
    pictures = [_map(history, studio, name, by_name[name], widest) for name in drawn]
    text = (
        f"Mean difference to {history.board.baseline} over common seeds, in percentage points, with its standard"
        " deviation; blue is a gain. All maps have one scale; a pair that the sweep does not have is left blank."
    )
    if len(drawn) < len(by_name):
        text += f" Drawn are the {len(drawn)} of {len(by_name):,} configurations that gain most, mean over pairs."
    return Section("gains", "Gain by teacher and student", joined([paragraph(text), style.gallery(pictures)]))


def foremost(by_name: dict[str, dict[str, Gain]]) -> list[str]:
    """The configurations that have a map, in the table's order."""
    ranked = sorted(by_name, key=lambda name: -fmean(made.mean for made in by_name[name].values()))
    kept = set(ranked[:MOST_MAPS])
    return [name for name in by_name if name in kept]


def _map(history: History, studio: Studio, name: str, by_pair: dict[str, Gain], widest: float) -> Picture:
    places = {pair: (teacher_of(pair), student_of(pair)) for pair in history.pairs}
    teachers = list(dict.fromkeys(teacher for teacher, _ in places.values()))
    students = list(dict.fromkeys(student for _, student in places.values()))
    width = SQUARE[0] * len(students) + LETTER * max(map(len, teachers)) + MARGIN
    figure, axes = style.new_figure(max(width, 2.6), SQUARE[1] * len(teachers) + MARGIN + 0.2)
    for pair, made in by_pair.items():
        teacher, student = places[pair]
        _square(axes, students.index(student), teachers.index(teacher), made, widest)
    axes.set(xlim=(-0.5, len(students) - 0.5), ylim=(len(teachers) - 0.5, -0.5), title=name)
    axes.set_xticks(range(len(students)), students)
    axes.set_yticks(range(len(teachers)), teachers)
    axes.set(xlabel="student", ylabel="teacher")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return studio.picture(figure, f"Gain of {name} over {history.board.baseline}", "gain", name)


def _square(axes: Axes, column: int, row: int, made: Gain, widest: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    color = LinearSegmentedColormap.from_list("gain", GROUND)((made.mean / widest + 1) / 2)
    luminance = 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]
    axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=color, linewidth=0))
    ink = style.PAPER if luminance < DARK else style.COAL
    axes.text(column, row, made.text, ha="center", va="center", color=ink, fontsize="small")
