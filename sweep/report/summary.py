"""The head of the page: the spec, what it came to as a plan, and the leaderboard."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sweep.plan.labels import shown, untuned
from sweep.plan.slots import Plan, Stage
from sweep.report.history import History
from sweep.report.markup import Markup, element, facts, folded, items, joined, paragraph, table
from sweep.report.section import Section
from sweep.results.caption import caption
from sweep.results.grid import Grid, Line, layout
from sweep.results.notes import notes

STAGES: dict[Stage, str] = {
    "teacher": "teachers",
    "search": "search trials",
    "race": "racing trials",
    "confirm": "students",
}
TEXT_COLUMNS = ("method", "recipe", "missing")


def leaderboard(history: History) -> Section:
    """The table with its caption, what the searches found, and the notes."""
    board = history.board
    parts = [_grid(layout(board)), element("p", caption(board), class_="caption"), items(board.findings)]
    parts += [element("p", note, class_="caption") for note in notes(board)]
    return Section("leaderboard", "Leaderboard", joined(parts))


def _grid(shown: Grid) -> Markup:
    """The leaderboard's layout: pairs above their columns, and a rule between the groups of rows."""
    numbers = [band.title not in TEXT_COLUMNS for band in shown.bands for _ in band.columns]
    titles = [
        element(
            "th", band.title, colspan=str(len(band.columns)), scope="colgroup", **_side(band.title not in TEXT_COLUMNS)
        )
        for band in shown.bands
    ]
    headings = [heading for band in shown.bands for heading in band.columns]
    below = [element("th", text, scope="col", **_side(number)) for text, number in zip(headings, numbers, strict=True)]
    head = [element("tr", *titles), *([element("tr", *below)] if any(headings) else [])]
    groups = [element("tbody", *(_line(line, numbers) for line in group)) for group in shown.groups]
    return element("div", element("table", element("thead", *head), *groups), class_="scroll", tabindex="0")


def _line(line: Line, numbers: list[bool]) -> Markup:
    cells = [
        element("td" if number else "th", element("b", square.text) if square.bold else square.text, **_side(number))
        for square, number in zip(line, numbers, strict=True)
    ]
    return element("tr", *cells)


def _side(number: bool) -> dict[str, str]:
    return {"class_": "number"} if number else {}


def plan(history: History) -> Section:
    """What is run, how often and on what."""
    content = [facts(_facts(history)), items(history.plan.notes), folded("The spec", element("pre", history.spec))]
    searched = [_searched(history.plan)] if history.plan.cells else []
    return Section("plan", "Spec and plan", joined([*content[:2], *searched, content[2]]))


def _facts(history: History) -> list[tuple[str, str]]:
    plan = history.plan
    stages = Counter(trial.slot.stage for trial in history.trials)
    counts = ", ".join(
        f"{stages[stage]} {words.removesuffix('s') if stages[stage] == 1 else words}"
        for stage, words in STAGES.items()
        if stages[stage]
    )
    told = [
        ("data set", plan.dataset),
        ("protocol", _PROTOCOLS[plan.protocol]),
        ("pairs", ", ".join(history.pairs)),
        ("methods", ", ".join(dict.fromkeys([slot.method for slot in plan.students] + [c.method for c in plan.cells]))),
        ("recipes", ", ".join(dict.fromkeys(row.recipe for row in history.board.rows))),
        ("seeds", ", ".join(map(str, plan.seeds))),
        ("baseline", plan.baseline),
        ("trials so far", counts),
        ("each trial runs on", _mapping(plan.compute)),
        ("budget", _mapping({name: value for name, value in plan.budget.items() if value is not None})),
    ]
    return [(name, value) for name, value in told if value]


_PROTOCOLS = {
    "validation": "validation: a part of the training set is held out, and the last epoch is shown",
    "paper": "paper: the whole training set, and the best epoch on the test set is shown",
}


def _mapping(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {shown(value)}" for name, value in values.items())


def _searched(plan: Plan) -> Markup:
    """The searched cells with their spaces."""
    rows = [
        [untuned(cell.label), cell.pair, cell.recipe, _space(cell.space), str(cell.budget)] for cell in plan.searched
    ]
    head = paragraph("Searched, each cell by itself:")
    return joined([head, table(("method", "pair", "recipe", "space", "budget"), rows, right=(4,))])


def _space(space: dict[str, dict[str, Any]]) -> str:
    return "; ".join(f"{name} {_dimension(dimension)}" for name, dimension in space.items())


def _dimension(dimension: dict[str, Any]) -> str:
    if "choice" in dimension:
        return "of " + ", ".join(shown(value) for value in dimension["choice"])
    low, high = (shown(value) for value in dimension["range"])
    return f"{low} … {high}" + (", logarithmic" if dimension.get("log") else "")
