"""The views of a sweep in MLflow's run table and charts, ready when its page is opened.

By default the table of an experiment shows neither parameters nor metrics, and its charts every metric. What is shown
instead is decided here, by what a plan sweeps; :mod:`sweep.tracking.view_state` writes it as MLflow keeps it.
"""

from __future__ import annotations

from functools import partial
from math import ceil, floor
from typing import Any

from sweep.plan.labels import SYMBOLS
from sweep.plan.slots import Plan, SearchedCell, Slot, is_number
from sweep.results.board import Leaderboard
from sweep.tracking.charted import of_pair, of_swept
from sweep.tracking.view_state import View, bars, curve, means, parallel, scatter

Reached = dict[tuple[str, str], tuple[float, float]]
"""By pair and method: between which accuracies, in percent, its trials ended."""
TABLE = "table"
"""The view that a sweep opens with."""
ROWS = "tags.`row` LIKE '_%'"
"""Filter: the trials that count for the table."""
FINISHED = "tags.`state` = 'finished'"
"""Filter: of those, the ones whose accuracy it has; what runs has that of its latest epoch."""
GROUP_PIXELS = 240
"""Wide enough for a row's name; a run's is longer."""
ACCURACIES = ("test_acc", "val_acc", "best_test_acc", "train_acc")
MOST_GROUPS = 100
"""That are folded away; a tag has no room for many more."""
MOST_COLUMNS = 8
"""Of hyperparameters; a table with more is not read."""
MOST_PAIRS = 8
"""With a column of their own, for the same reason."""


def views(plan: Plan, reached: Reached | None = None) -> list[View]:
    """The views of a sweep, the table first.

    Args:
        plan: of the sweep.
        reached: between which accuracies its charts are to show, as far as there are some.
    """
    swept = hyperparameters(plan)
    params = tuple(f"params.`{name}`" for name in swept[:MOST_COLUMNS])
    accuracies = tuple(f"metrics.`{name}`" for name in ACCURACIES)
    done = partial(_rows, plan, pairs_apart=False, filter=f"{ROWS} AND {FINISHED}")
    methods = tuple(bars(of_pair(pair), f"{pair}: {_accuracy(plan)}, mean over seeds") for pair in pairs(plan))
    curves = (curve("test_acc"), curve("val_acc"), curve("loss"))
    shown = [
        done(TABLE, "Methods: means over seeds", (*_of_pairs(plan), *accuracies, *params), charts=methods, listed=True),
        *_sensitivities(plan, swept, reached or {}),
        done("methods", "Best method per pair", charts=methods),
        _rows(plan, "curves", "Learning curves", pairs_apart=True, filter=ROWS, charts=curves),
        View("trials", "Every trial", ("tags.`stage`", "tags.`state`", *accuracies, *params)),
    ]
    if swept:
        chart = parallel(["method", *swept[:MOST_COLUMNS]], ["val_acc", "test_acc"])
        shown.append(View("parallel", "Parallel coordinates", charts=(chart,), filter="tags.`stage` != 'teacher'"))
    return shown


def _rows(plan: Plan, name: str, title: str, *given: Any, pairs_apart: bool, **named: Any) -> View:
    """A view of the table's rows, each a group: those of several pairs as one, or each of its own."""
    tags = ["row"]
    tags += ["recipe"] if len({slot.recipe for slot in plan.students}) > 1 else []
    tags += ["pair"] if pairs_apart and len(pairs(plan)) > 1 else []
    groups = tuple(dict.fromkeys(tuple(getattr(slot, tag) for tag in tags) for slot in plan.students))
    named |= {"group_by": tuple(tags), "groups": groups[:MOST_GROUPS], "name_pixels": GROUP_PIXELS}
    return View(name, title, *given, **named)


def _of_pairs(plan: Plan) -> tuple[str, ...]:
    """A column for each of several pairs."""
    several = pairs(plan)[:MOST_PAIRS]
    return tuple(f"metrics.`{of_pair(pair)}`" for pair in several) if len(several) > 1 else ()


def _accuracy(plan: Plan) -> str:
    return "best test accuracy, %" if plan.protocol == "paper" else "test accuracy, %"


def reached(board: Leaderboard) -> Reached:
    """Between which accuracies a sweep's trials ended by now, in whole percents around them."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in board.rows:
        found.setdefault((row.pair, row.method), []).extend(row.values.values())
    return {place: (floor(min(values)) - 1, ceil(max(values)) + 1) for place, values in found.items() if values}


def hyperparameters(plan: Plan) -> list[str]:
    """What is swept or searched, as the runs' parameters are named; that of most rows first."""
    counts: dict[str, int] = {}
    for names in [*(slot.varied for slot in plan.students), *(cell.varied | cell.space for cell in plan.cells)]:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    recipes = [slot.config["recipe"] for slot in plan.students]
    several = {slot.recipe for slot in plan.students if " " in slot.recipe}
    for name in recipes[0] if several else ():
        if any(recipe[name] != recipes[0][name] for recipe in recipes):
            counts[f"recipe.{name}"] = len(recipes)
    return sorted(counts, key=lambda name: -counts[name])


def links(plan: Plan, experiment: str) -> str:
    """The views as Markdown links, one line."""
    return " · ".join(f"[{view.title}]({view.address(experiment)})" for view in views(plan))


def _sensitivities(plan: Plan, swept: list[str], reached: Reached) -> list[View]:
    """For each method with numbers that are swept or searched: accuracy against each, a chart a pair.

    What is swept is drawn as a line through the means over seeds, and over what else is swept beside it; of a search,
    which seldom tries a value twice, a point a trial. Hyperparameters of the same name are others in other methods.
    """
    shown: list[View] = []
    for method in dict.fromkeys([slot.method for slot in plan.students] + [cell.method for cell in plan.cells]):
        lines, points = _lines(plan, method, swept, reached), _points(plan, method, swept)
        done = f"tags.`method` = '{method}' AND {FINISHED}"
        name = f"sensitivity-{method}"
        if lines:
            counts = f"{done} AND {ROWS}"
            one: dict[str, Any] = {"group_by": ("method",), "groups": ((method,),)}
            shown.append(View(name, f"Sensitivity of {method}", charts=lines, filter=counts, **one))
        if points:
            shown.append(View(f"search-{method}" if lines else name, f"Search of {method}", charts=points, filter=done))
    return shown


def _lines(plan: Plan, method: str, swept: list[str], reached: Reached) -> tuple[dict[str, Any], ...]:
    slots = [slot for slot in plan.students if slot.method == method]
    drawn = []
    for name in (name for name in swept if _are_numbers(_swept_values(slots, name))):
        own = dict.fromkeys(slot.pair for slot in slots)
        axis = SYMBOLS.get(name, name)
        for pair in own:
            title = f"{pair}: {_accuracy(plan)}, against {axis}"
            drawn.append(means(of_swept(name), of_pair(pair), title, reached.get((pair, method))))
    return tuple(drawn)


def _points(plan: Plan, method: str, swept: list[str]) -> tuple[dict[str, Any], ...]:
    cells = [cell for cell in plan.cells if cell.method == method]
    drawn = []
    for name in (name for name in swept if _are_numbers(_searched_values(cells, name))):
        own = dict.fromkeys(place.pair for cell in cells for place in cell.places)
        drawn += [scatter(name, of_pair(pair)) for pair in own]
    return tuple(drawn)


def pairs(plan: Plan) -> list[str]:
    """In the order of the plan."""
    places = [slot.pair for slot in plan.students] + [place.pair for cell in plan.cells for place in cell.places]
    return list(dict.fromkeys(places))


def _swept_values(slots: list[Slot], name: str) -> list[Any]:
    """A hyperparameter's values among some trials, of those that the spec sweeps over it."""
    if name.startswith("recipe."):
        return [slot.config["recipe"][name.removeprefix("recipe.")] for slot in slots]
    return [slot.varied[name] for slot in slots if name in slot.varied]


def _searched_values(cells: list[SearchedCell], name: str) -> list[Any]:
    """What a hyperparameter may become in some searches."""
    return [value for cell in cells for value in [*_values(cell.space.get(name, {})), *_fixed(cell, name)]]


def _fixed(cell: SearchedCell, name: str) -> list[Any]:
    return [cell.varied[name]] if name in cell.varied else []


def _are_numbers(values: list[Any]) -> bool:
    """Whether values are different numbers, so that accuracy can be drawn against them."""
    return all(map(is_number, values)) and len(set(values)) > 1


def _values(dimension: dict[str, Any]) -> list[Any]:
    return list(dimension.get("choice") or dimension.get("range") or [])
