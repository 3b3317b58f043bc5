"""The colours of figures and of the page, by day and by night.

A drawing is made in the colours of a light page. On the page each becomes a variable, which the reader's mode decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07900", "#6a6a6a", "#56b4e9")
"""Okabe and Ito's palette, told apart by colour-blind readers too; its yellows are darker here, to be seen on white."""
SERIES_AT_NIGHT = ("#4ba3db", "#f0803c", "#2fbf95", "#df9bc0", "#e6b13c", "#a8a8a8", "#8cd0f5")
"""The same on a dark page."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One for each of :data:`SERIES`, so that no colour has to be told from another."""
INK, FAINT = "#1c2024", "#c9ced4"
"""Of text and axes, and of grid lines."""
PAPER, COAL = "#fdfdfe", "#101214"
"""Of text on a coloured ground: the same on a light page and a dark one."""
MIXED = (("paper", 0.5), ("paper", 0.25), ("ink", 0.0), ("ink", 0.3), ("ink", 0.55))
"""A colour's tints, from pale to dark: what is mixed into it, and how much; the middle one is the colour itself."""
INK_MIXED = (("paper", 0.6), ("paper", 0.5), ("paper", 0.4), ("paper", 0.3), ("paper", 0.2))
"""The same of :data:`INK`, which itself is the baseline's alone."""
TINTS = len(MIXED)
PAGE = {"ink": INK, "quiet": "#59636e", "paper": PAPER, "sheet": "#fff", "faint": FAINT, "link": "#0061a8"}
"""Of the page, by the names of their CSS variables."""
PAGE_AT_NIGHT = {
    "ink": "#e4e7ea",
    "quiet": "#9aa4af",
    "paper": "#14171a",
    "sheet": "#1a1e22",
    "faint": "#363d45",
    "link": "#78b8e8",
}
"""The same of a dark page."""


def tint(hue: int | None, level: int) -> str:
    """A tint of one of :data:`SERIES`, or of :data:`INK`, on white.

    Args:
        hue: the colour's place; None for ink.
        level: from 0, pale, to :data:`TINTS` - 1, dark.
    """
    return _tints(SERIES, PAGE)[_variable(hue, level)]


def _tints(series: Sequence[str], page: Mapping[str, str]) -> dict[str, str]:
    """All colours that a row may have on a page, by their variables' names."""
    hues = {None: (page["ink"], INK_MIXED)} | {place: (color, MIXED) for place, color in enumerate(series)}
    return {
        _variable(hue, level): _mix(color, page[other], share)
        for hue, (color, mixed) in hues.items()
        for level, (other, share) in enumerate(mixed)
    }


def _variable(hue: int | None, level: int) -> str:
    return f"series-{'ink' if hue is None else hue}-{level}"


def _mix(color: str, other: str, share: float) -> str:
    """Two colours of six hexadecimal digits mixed, the second with this share."""
    pairs = zip(bytes.fromhex(color[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + "".join(f"{round(ours + share * (theirs - ours)):02x}" for ours, theirs in pairs)


VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)"}
VARIABLES |= {color: f"var(--{name})" for name, color in _tints(SERIES, PAGE).items()}
"""What stands for a colour that the reader's mode decides."""


def palette() -> str:
    """CSS that defines the variables of ``page.css`` and of drawings, for a light page and for a dark one."""
    day, night = PAGE | _tints(SERIES, PAGE), PAGE_AT_NIGHT | _tints(SERIES_AT_NIGHT, PAGE_AT_NIGHT)
    return (
        f":root {{\n  {_variables(day)}\n}}\n"
        f"@media (prefers-color-scheme: dark) {{\n  :root {{\n    {_variables(night)}\n  }}\n}}\n"
    )


def _variables(named: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in named.items())
