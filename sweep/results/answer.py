"""A comparison in words: the answer in one sentence, and the table below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sweep.formats import Format, listing
from sweep.results.board import Leaderboard
from sweep.results.comparison import OVER_PAIRS, Difference, in_print, records
from sweep.statistics.paired import FEWEST, shows
from sweep.text import signed


def answer(differences: Sequence[Difference]) -> str:
    """One sentence: whether the row is better than each that it is compared with, by how much, and how sure that is."""
    others = dict.fromkeys((found.recipe, found.against) for found in differences)
    several = len({recipe for recipe, _ in others}) > 1
    clauses = []
    for recipe, other in others:
        some = [found for found in differences if (found.recipe, found.against) == (recipe, other)]
        clauses.append(_clause(some) + (f" under recipe {recipe}" if several else ""))
    return "; ".join(clauses) + "."


def _clause(some: Sequence[Difference]) -> str:
    under = [found for found in some if found.pair != OVER_PAIRS]
    over = next((found for found in some if found.pair == OVER_PAIRS), None)
    return _of_pair(under[0]) if over is None else _of_pairs(under, over)


def _of_pair(found: Difference) -> str:
    names, more = (found.mine, found.against), _more(found)
    if found.difference is None:
        return f"{names[0]} and {names[1]} have no seed in common under {found.pair}"
    if found.verdict == "not tested":
        count = f"{found.seeds} common seed" + ("" if found.seeds == 1 else "s")
        why = f"{count}, and a test needs {FEWEST}" if found.seeds < FEWEST else "the differences are all equal"
        told = f"difference {signed(found.difference)} points{more}"
        return f"{names[0]} cannot be tested against {names[1]}: {why} ({told})"
    return f"{_told(found, found.verdict)} ({sure(found)}{more})"


def _told(found: Difference, verdict: str) -> str:
    difference = found.difference or 0.0
    if verdict in ("better", "worse"):
        return f"{found.mine} is {verdict} than {found.against} by {abs(difference):.2f} points"
    return f"{found.mine} is not told apart from {found.against}: {signed(difference)} points"


def _of_pairs(under: Sequence[Difference], over: Difference) -> str:
    """Over several pairs: the mean where it is tested, and under how many pairs it shows."""
    counts = Counter(found.verdict for found in under)
    shown = ", ".join(f"{word} under {counts[word]}" for word in ("better", "worse") if counts[word])
    of = f"of {len(under)} pairs"
    if over.difference is None:
        return f"{over.mine} and {over.against} have no seed in common under any {of}"
    if over.p_corrected is not None:
        told = f"{_told(over, over.verdict)} over {over.seeds} pairs ({sure(over)})"
        return f"{told}, {shown or 'told apart under none'} {of}"
    if not shown:
        tested = len(under) - counts["not tested"]
        what = f"not told apart from {over.against}" if tested else f"not tested against {over.against}"
        return f"{over.mine} is {what} under any {of}: mean difference {signed(over.difference)} points"
    return f"{over.mine} against {over.against} is {shown} {of}, mean difference {signed(over.difference)} points"


def sure(found: Difference) -> str:
    """``95 % CI 0.21 … 0.63, corrected p = 0.003``; of differences below zero with a minus sign."""
    low, high = (_number(end or 0.0) for end in _ends(found))
    return f"95 % CI {low} … {high}, {corrected_p(found.p_corrected)}"


def corrected_p(p: float | None, relation: str = "=") -> str:
    """``corrected p = 0.003``; a very small one as ``corrected p < 0.0001``."""
    return f"corrected p {_p(p)}" if _p(p).startswith("<") else f"corrected p {relation} {_p(p)}"


def _ends(found: Difference) -> tuple[float | None, float | None]:
    """The interval of how much better, or of how much worse where it is worse."""
    if found.verdict == "worse" and found.low is not None and found.high is not None:
        return -found.high, -found.low
    return found.low, found.high


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _equals(p: float | None) -> str:
    return _p(p) if _p(p).startswith("<") else f"= {_p(p)}"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def _more(found: Difference) -> str:
    if found.more_seeds is None:
        return "" if found.p is None else "; not even 1000 seeds would show a difference of this size"
    if not found.more_seeds:
        return ""
    what = "would make a test" if found.p is None else "would show a difference of this size with a power of 80 %"
    return f"; {found.more_seeds} more seed{'' if found.more_seeds == 1 else 's'} {what}"


# -- the table ----------------------------------------------------------------------------------------------------


def render(board: Leaderboard, differences: Sequence[Difference], how: Format) -> str:
    """The comparison as text that ends in a newline: records as JSON and CSV, else the answer above a table.

    Records name rows by their labels, and what is read by their names in print.
    """
    if how in (Format.JSON, Format.CSV):
        return listing(records(differences), how)
    shown = in_print(board, differences)
    head = "" if how is Format.LATEX else answer(shown) + "\n\n"
    foot = "" if how is Format.LATEX else "\n" + "\n".join(remarks(shown)) + "\n"
    return head + listing(_lines(shown), how) + foot


def _lines(differences: Sequence[Difference]) -> list[dict[str, object]]:
    several = len({found.recipe for found in differences}) > 1
    return [
        {
            **({"recipe": found.recipe} if several else {}),
            "pair": found.pair,
            "mine": found.mine,
            "against": found.against,
            "means": "–" if found.ours is None else f"{found.ours:.2f} and {found.theirs:.2f}",
            "difference": "–" if found.difference is None else signed(found.difference),
            "95 %": "" if found.low is None else f"[{signed(found.low)}, {signed(found.high or 0.0)}]",
            "p": _p(found.p),
            "p corrected": _p(found.p_corrected),
            "verdict": found.verdict,
            "seeds": f"{found.seeds} pairs" if found.pair == OVER_PAIRS else str(found.seeds),
            "more seeds": _more_cell(found),
            "missing": found.missing,
        }
        for found in differences
    ]


def _more_cell(found: Difference) -> str:
    if found.pair == OVER_PAIRS or found.difference is None:
        return ""
    if found.more_seeds is None:
        return "> 1000" if found.p is not None else ""
    return f"≥ {found.more_seeds}" if found.p is None else str(found.more_seeds or "")


def remarks(differences: Sequence[Difference]) -> list[str]:
    """What the columns are, and where the leaderboard, which corrects for more, says otherwise."""
    told = [
        "Mean difference over common seeds with its 95 % confidence interval, by the noise that all rows of the column"
        " have in common; p corrected (Holm) for the rows compared here; more seeds: to show a difference of this size"
        " with a power of 80 %."
    ]
    other = [
        f"{found.mine} against {found.against}, {found.pair}: p {_equals(found.p_table)} there"
        for found in differences
        if found.p_table is not None and shows(found.p_table) != shows(found.p_corrected)
    ]
    if other:
        told.append(f"The leaderboard corrects for all its rows and says otherwise of {'; '.join(other)}.")
    return told
