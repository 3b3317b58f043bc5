"""The leaderboard drawn: Markdown, plain text, a terminal's table, LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sweep import formats
from sweep.formats import Format, tex
from sweep.plan.labels import ARROW, student_of, teacher_of
from sweep.results.board import Leaderboard
from sweep.results.caption import below, caption
from sweep.results.grid import Band, Grid, Square, grid, layout
from sweep.results.headline import headline
from sweep.results.notes import notes
from sweep.results.records import records
from sweep.terminal import printable

NAMES = ("recipe", "method")
"""Bands that say which row it is: each part of a table has them."""
LEAST_MISSING = 20
"""Characters of the column of what is missing, below which it is not made narrower for others."""
WIDEST = 10_000
"""Characters: room for any table in one line."""


def render(board: Leaderboard, how: Format) -> str:
    """The leaderboard as text (for a terminal, see :func:`as_rich`)."""
    if how in (Format.JSON, Format.CSV):
        return formats.listing(records(board), how)
    draw = {Format.MARKDOWN: to_markdown, Format.LATEX: to_latex}.get(how, to_text)
    return draw(board)


# -- drawn ----------------------------------------------------------------------------------------------------------


def to_markdown(board: Leaderboard) -> str:
    """What came out in a sentence, a pipe table, the caption, what searches have found, and the notes."""
    table = layout(board)
    lines = [
        [f"**{square.text}**" if square.bold else square.text for square in line]
        for group in table.groups
        for line in group
    ]
    drawn = formats.to_markdown(table.columns, lines, right=range(1, len(table.columns)))
    below = "".join(f"- {line}\n" for line in (*board.findings, *notes(board)))
    return f"{headline(board)}\n\n{drawn}\n{caption(board)}\n\n{below}"


def to_text(board: Leaderboard) -> str:
    """Plain columns."""
    return formats.to_table(*grid(board))


def as_rich(board: Leaderboard) -> RenderableType:
    """The leaderboard for a terminal: where the columns of all pairs have no room side by side, in parts below each
    other."""
    return Group(Text(headline(board)), Text(), _Parts(board), Text("\n".join(below(board)), style="dim"))


class _Parts:
    """The table, or several that each have the rows' names and as many bands of columns as there is room for."""

    def __init__(self, board: Leaderboard) -> None:
        self._board, self._grid = board, layout(board)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"{self._board.plan.name} on {self._board.plan.dataset}", style="table.title")
        wide = options.update(max_width=WIDEST)
        names = [place for place, band in enumerate(self._grid.bands) if band.title in NAMES]
        part: list[int] = []
        for place in range(len(names), len(self._grid.bands)):
            if part and self._width([*names, *part, place], console, wide) > options.max_width:
                yield self._table([*names, *part])
                part = []
            part.append(place)
        yield self._table([*names, *part])

    def _width(self, places: Sequence[int], console: Console, wide: ConsoleOptions) -> int:
        """Characters that some bands need; what is missing may fold."""
        numbers = [place for place in places if self._grid.bands[place].title != "missing"]
        least = Measurement.get(console, wide, self._table(numbers)).maximum
        return least if len(numbers) == len(places) else least + LEAST_MISSING

    def _table(self, places: Sequence[int]) -> Table:
        """Some bands, by their places."""
        bands = self._grid.bands
        starts = list(accumulate((len(band.columns) for band in bands), initial=0))
        columns = [column for place in places for column in range(starts[place], starts[place + 1])]
        table = Table(box=box.SIMPLE_HEAD)
        for heading in (self._grid.columns[column] for column in columns):
            left = heading in (*NAMES, "missing")
            table.add_column(
                printable(_broken(heading, self._board)), justify="left" if left else "right", overflow="fold"
            )
        for group in self._grid.groups:
            for line in group:
                squares = (line[column] for column in columns)
                table.add_row(*(Text(printable(one.text), style="bold" if one.bold else "") for one in squares))
            table.add_section()
        return table


def _broken(heading: str, board: Leaderboard) -> str:
    """A pair in two lines where there are several: room is short for whole names."""
    return heading.replace(ARROW, f"{ARROW}\n") if len(board.pairs) > 1 else heading


def to_latex(board: Leaderboard) -> str:
    """The field's layout: teacher above student in each column's head, rules of booktabs between the groups."""
    table = layout(board)
    groups = [[" & ".join(map(_tex, line)) for line in group] for group in table.groups]
    body = "\n    \\midrule\n".join("\n".join(rf"    {line} \\" for line in group) for group in groups if group)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{tex(_caption(board))}}}",
            *([rf"  \label{{{board.printed.table.label}}}"] if board.printed.table.label else []),
            rf"  \begin{{tabular}}{{{_alignment(board, table)}}}",
            r"    \toprule",
            *(f"    {line}" for line in _head(board, table)),
            r"    \midrule",
            body,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"  \par\smallskip",
            rf"  {{\footnotesize {tex(' '.join(_tex_notes(board)))}\par}}",
            r"\end{table}",
            "",
        ]
    )


def _caption(board: Leaderboard) -> str:
    """One paragraph, which is all that LaTeX takes: the spec's, or the table's own."""
    return " ".join(board.printed.table.caption.split()) or caption(board)


def _tex_notes(board: Leaderboard) -> list[str]:
    """What stands below LaTeX's table: the notes, and first what the marks mean where the caption is the spec's own."""
    own = bool(board.printed.table.caption.strip())
    return [*([caption(board)] if own else []), *board.findings, *notes(board)]


def _tex(square: Square) -> str:
    return rf"\textbf{{{tex(square.text)}}}" if square.bold else tex(square.text)


def _alignment(board: Leaderboard, table: Grid) -> str:
    return "".join(("r" if _is_number(board, band) else "l") * len(band.columns) for band in table.bands)


def _is_number(board: Leaderboard, band: Band) -> bool:
    return band.title in board.pairs or band.title == "mean"


def _head(board: Leaderboard, table: Grid) -> list[str]:
    """The teachers' names, the students' names below, and the headings of a pair's columns where it has several."""
    teachers, students, last = [], [], []
    for band in table.bands:
        of_pair = (teacher_of(band.title), student_of(band.title)) if band.title in board.pairs else ("", band.title)
        names = ("Teacher", "Student") if band.title == "method" else of_pair
        teachers.append(_spanning(names[0], band))
        students.append(_spanning(names[1], band))
        last += list(band.columns)
    lines = [teachers, students, *([[tex(heading) for heading in last]] if any(last) else [])]
    return [" & ".join(line) + r" \\" for line in lines]


def _spanning(text: str, band: Band) -> str:
    width = len(band.columns)
    return tex(text) if width == 1 else rf"\multicolumn{{{width}}}{{c}}{{{tex(text)}}}"
