"""One way to print every listing: `--format table|json|csv|markdown|latex`; the leaderboard also as Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.control import strip_control_codes
from rich.table import Table
from rich.text import Text

from sweep.terminal import printable

if TYPE_CHECKING:
    import pyarrow as pa


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


class TableFormat(StrEnum):
    """How the leaderboard is printed: as any listing, or as Parquet.

    Python extends no enumeration that has members, so :class:`Format`'s are written out again; a test compares the two.
    """

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"
    PARQUET = "parquet"


def to_arrow(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows with the same keys as an Arrow table; a column of values of several kinds becomes text."""
    import pyarrow as pa

    columns = list(rows[0]) if rows else []
    return pa.table({name: _array([row[name] for row in rows]) for name in columns})


def to_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows with the same keys as a Parquet file (see :func:`to_arrow`)."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(to_arrow(rows), buffer)
    return buffer.getvalue()


def _array(values: list[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {bool, str}):
        return pa.array(values, pa.float64() if float in kinds else None)
    return pa.array([value if value is None else json.dumps(value, ensure_ascii=False) for value in values])


def listing(rows: Sequence[dict[str, Any]], how: Format) -> str:
    """Rows with the same keys, as text that ends in a newline."""
    if how is Format.JSON:
        return json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n"
    columns = list(rows[0]) if rows else []
    cells = [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    if how is Format.CSV:
        return to_csv(columns, cells)
    if how is Format.MARKDOWN:
        return to_markdown(columns, cells)
    if how is Format.LATEX:
        return to_latex(columns, cells)
    return to_table(columns, cells)


def to_csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Comma-separated values with a head; lines end in a bare newline."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def to_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A pipe table; `right` lists the columns that are aligned to the right."""
    rule = ["---:" if index in right else "---" for index in range(len(columns))]
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (columns, rule, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_TEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "→": r"$\rightarrow$", "α": r"$\alpha$"}
_TEX |= {"γ": r"$\gamma$", "Δ": r"$\Delta$", "–": "--", "−": "$-$", "†": r"$^\dagger$", "‡": r"$^\ddagger$"}
_TEX |= {"<": "$<$", ">": "$>$", "|": "$|$"}
"""In LaTeX's oldest encoding of fonts, its default, the last three are other characters."""


def to_latex(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A `table` with booktabs rules (``\\usepackage{booktabs}``)."""
    lines = [" & ".join(map(tex, line)) + r" \\" for line in (columns, *rows)]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            *([rf"  \caption{{{tex(caption)}}}"] if caption else []),
            rf"  \begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def tex(text: str) -> str:
    """Text with LaTeX's special characters, and the symbols of our labels, escaped."""
    return "".join(_TEX.get(character, character) for character in text)


MANY_ROWS = 500
"""Of a table that nobody folds to look at: rich lays out a thousand rows a second."""
PIPE_WIDTH = 1000
"""Columns of a table that is not read on a terminal: nothing is folded."""


def to_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table, as wide as the terminal, or as wide as it needs to be on a pipe and where there are many rows."""
    columns, rows = [*map(printable, columns)], [[*map(printable, row)] for row in rows]
    return _unfolded(columns, rows) if len(rows) > MANY_ROWS else _folded(columns, rows)


def _unfolded(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Each row in one line, in a hundredth of the time that a layout takes."""
    lines = [[" ".join(strip_control_codes(cell).split()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(set_cell_size, line, widths)) for line in lines)
    return "".join(f"{line.rstrip()}\n" for line in padded)


def _folded(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, force_jupyter=False)  # which would show what is captured below the cell
    if not console.is_terminal:
        console = Console(highlight=False, force_jupyter=False, width=PIPE_WIDTH)
    with console.capture() as capture:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())
