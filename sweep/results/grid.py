"""The leaderboard as a grid: teachers and students in the head, then methods that read features, then logits.

One grid of squares; :mod:`sweep.results.draw` draws it in every format.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.table import MEAN
from sweep.plan.labels import teacher_of
from sweep.plan.table import TEACHERS
from sweep.results.notes import DIFFERS, OTHER_RECIPE, TIED
from sweep.results.rows import Row
from sweep.results.significance import Overall
from sweep.statistics.paired import shows

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard
    from sweep.results.published import Gap, Reported

STUDENT, OF_FEATURES, OF_LOGITS = range(3)
"""Families in the order of printing: the student alone, then methods by what of the teacher they read."""
FEATURES = frozenset(
    ["fitnet", "at", "nst", "sp", "pkt", "rkd", "vid", "crd", "ofd", "reviewkd", "simkd", "catkd", "sdd"]
)
"""Methods that read the teacher's features; the field prints them apart from those that read its logits. The methods
know it themselves, but cannot be asked without importing torch; a test holds the two together."""


@dataclass(frozen=True)
class Square:
    """What stands at one place."""

    text: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Band:
    """Columns that belong together: those of one pair, say."""

    title: str
    columns: tuple[str, ...] = ("",)
    """Headings below the title."""

    @property
    def flat(self) -> list[str]:
        """Headings in one line: the first column stands under the title."""
        return [self.title, *self.columns[1:]]


Line = list[Square]


@dataclass(frozen=True)
class Grid:
    """The table, before it is drawn."""

    bands: tuple[Band, ...]
    groups: tuple[tuple[Line, ...], ...]
    """Lines that stand together; the first group is the head: teachers and students."""

    @property
    def columns(self) -> list[str]:
        """Headings of all columns, in one line."""
        return [heading for band in self.bands for heading in band.flat]

    @property
    def lines(self) -> list[list[str]]:
        """All squares' texts."""
        return [[square.text for square in line] for group in self.groups for line in group]


def grid(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Column names and the texts of all lines, the head's first."""
    table = layout(board)
    return table.columns, table.lines


def layout(board: Leaderboard) -> Grid:
    """What stands where."""
    bands = _bands(board)
    groups = _groups(board, several=bands[0].title == "recipe", failed=bands[-1].title == "missing")
    head = [_teachers(board, bands)] if board.teachers else []
    first = next(iter(groups), None)
    if first is not None and first[1] == STUDENT:
        head += groups.pop(first)
    return Grid(bands, tuple(tuple(group) for group in (head, *groups.values()) if group))


def _bands(board: Leaderboard) -> tuple[Band, ...]:
    delta = [f"Δ {board.printed.name(str(board.baseline))}"] if _deltas(board) else []
    of_pair = ("", *delta, *(["published", "gap"] if board.published else []))
    several = len({recipe for recipe, _ in board.lines}) > 1
    return (
        *([Band("recipe")] if several else []),
        Band("method"),
        *(Band(column, ("", *delta) if column == MEAN else of_pair) for column in board.columns),
        *([Band("missing")] if any(row.missing for row in board.rows if board.printed.shows(row.label)) else []),
    )


def _deltas(board: Leaderboard) -> bool:
    return board.baseline is not None and board.printed.table.deltas


def _groups(board: Leaderboard, *, several: bool, failed: bool) -> dict[tuple[str, int], list[Line]]:
    """Lines by recipe and family: recipes in the spec's order, families in the field's. Where the spec orders the rows,
    those of a recipe stand together, but for the student alone where it comes first."""
    recipes = {recipe: place for place, recipe in enumerate(dict.fromkeys(recipe for recipe, _ in board.lines))}
    families = {place: _family(next(iter(by_pair.values())).method) for place, by_pair in board.lines.items()}
    shown = [place for place in board.lines if board.printed.shows(place[1])]
    shown.sort(key=lambda place: (recipes[place[0]], board.printed.place(place[1]), families[place]))
    grouped: dict[tuple[str, int], list[Line]] = {}
    for recipe, name in shown:
        start = [*([Square(recipe)] if several else []), Square(board.printed.name(name))]
        family = families[recipe, name]
        if board.printed.is_ordered:
            family = STUDENT if family == STUDENT and not grouped.keys() - {(recipe, STUDENT)} else OF_LOGITS
        line = [*start, *_line(board, recipe, name, board.lines[recipe, name], failed)]
        grouped.setdefault((recipe, family), []).append(line)
    return dict(sorted(grouped.items(), key=lambda group: (recipes[group[0][0]], group[0][1])))


def _family(method: str) -> int:
    return STUDENT if method == "scratch" else OF_FEATURES if method in FEATURES else OF_LOGITS


def _teachers(board: Leaderboard, bands: tuple[Band, ...]) -> Line:
    """Each pair's teacher; the label stands under ``method``."""
    line: Line = []
    for band in bands:
        squares = [Square() for _ in band.columns]
        if band.title == "method":
            squares[0] = Square(TEACHERS)
        elif band.title in board.pairs:
            accuracy = board.teachers.get(teacher_of(band.title))
            squares[0] = Square("–" if accuracy is None else board.printed.number(accuracy))
            theirs = board.published_teacher(band.title) if board.published else None
            if theirs is not None:
                squares[-2] = Square(_reported(board, theirs))
        line += squares
    return line


def _line(board: Leaderboard, recipe: str, name: str, by_pair: dict[str, Row], failed: bool) -> Line:
    """What stands under all pairs."""
    line: Line = []
    for column in board.columns:
        if column == MEAN:
            line += _mean(board, board.overall.get((recipe, name)))
        else:
            line += _row(board, by_pair[column]) if column in by_pair else _blank(board)
    if failed:
        missing = Counter[str]()
        for row in by_pair.values():
            missing.update(row.missing)
        line.append(Square(", ".join(f"{count} {state}" for state, count in sorted(missing.items()))))
    return line


def _blank(board: Leaderboard) -> Line:
    return [Square() for _ in range(1 + _deltas(board) + 2 * bool(board.published))]


def _row(board: Leaderboard, row: Row) -> Line:
    marks = (TIED if row.standing == "tied" else "") + (OTHER_RECIPE if row.recipe_differs else "")
    decimals = board.printed.table.decimals
    squares = [Square(row.shown(decimals) + marks, row.standing == "best")]
    if _deltas(board):
        squares.append(Square(row.shown_delta(decimals) + (DIFFERS if shows(row.p_delta) else "")))
    if board.published:
        theirs, gap = board.reported(row), board.gap(row)
        squares += [Square(_reported(board, theirs) if theirs else ""), Square(_gap(board, gap) if gap else "")]
    return squares


def _mean(board: Leaderboard, line: Overall | None) -> Line:
    if line is None:
        return [Square("–"), *([Square()] if _deltas(board) else [])]
    tied = TIED if line.verdict.standing == "tied" else ""
    squares = [Square(board.printed.number(line.mean) + tied, line.verdict.standing == "best")]
    delta = "" if line.delta is None else board.printed.signed(line.delta) + (DIFFERS if shows(line.p_delta) else "")
    return squares + ([Square(delta)] if _deltas(board) else [])


def _reported(board: Leaderboard, theirs: Reported) -> str:
    """``70.66 [1] (70.50–71.03)``."""
    low, high = (theirs.others[0], theirs.others[-1]) if theirs.others else (0.0, 0.0)
    others = "" if not theirs.others else f" ({low:.2f})" if low == high else f" ({low:.2f}–{high:.2f})"
    return f"{theirs.mean:.2f} [{board.origins.index(theirs.origins[0]) + 1}]{others}"


def _gap(board: Leaderboard, gap: Gap) -> str:
    """``−0.31 (0.8 std)``."""
    return board.printed.signed(gap.points) + (f" ({abs(gap.stds):.1f} std)" if gap.stds is not None else "")
