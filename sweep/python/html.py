"""What a notebook shows: the leaderboard as an HTML table, and texts in columns."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard
    from sweep.results.grid import Square

LEFT = ("method", "recipe", "missing")
"""Columns of text."""


def leaderboard(board: Leaderboard) -> str:
    """What came out in a sentence, the table with its caption, what searches have found, and the notes."""
    from sweep.results.caption import below
    from sweep.results.grid import layout
    from sweep.results.headline import headline

    shown = layout(board)
    head = "".join(f"<th{_side(column)}>{escape(column)}</th>" for column in shown.columns)
    body = "".join(_line(shown.columns, line) for group in shown.groups for line in group)
    told = "<br>".join(map(escape, below(board)))
    title = escape(f"{board.plan.name} on {board.plan.dataset}")
    return (
        f"<p>{escape(headline(board))}</p>"
        f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p><small>{told}</small></p>"
    )


def _line(columns: list[str], line: list[Square]) -> str:
    cells = zip(columns, line, strict=True)
    return f"<tr>{''.join(f'<td{_side(column)}>{_square(square)}</td>' for column, square in cells)}</tr>"


def _square(square: Square) -> str:
    return f"<b>{escape(square.text)}</b>" if square.bold else escape(square.text)


def _side(column: str) -> str:
    return f' style="text-align: {"left" if column in LEFT else "right"}"'


def preformatted(text: str) -> str:
    """Text whose columns stay columns."""
    return f"<pre>{escape(text)}</pre>"


def plain(text: str) -> str:
    """Text as it is printed on a terminal, without the codes for bold and colours."""
    from rich.text import Text

    return "\n".join(Text.from_ansi(line).plain for line in text.split("\n"))
