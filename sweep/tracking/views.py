"""The views of a sweep in MLflow's run table and charts, ready when its page is opened.

By default the table of an experiment shows neither parameters nor metrics, and its charts every metric. What is shown
instead is decided here, by what a plan sweeps; :mod:`sweep.tracking.view_state` writes it as MLflow keeps it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sweep.plan.slots import Plan
from sweep.tracking.view_state import View, bars, curve, parallel, scatter

TABLE = "table"
"""The view that a sweep opens with."""
ROWS = "tags.`row` LIKE '_%'"
"""Filter: the trials that count for the table."""
ACCURACIES = ("test_acc", "val_acc", "best_test_acc", "train_acc")
MOST_GROUPS = 100
"""That are folded away; a tag has no room for many more."""
MOST_COLUMNS = 8
"""Of hyperparameters; a table with more is not read."""


def views(plan: Plan) -> list[View]:
    """The views of a sweep, the table first."""
    swept = hyperparameters(plan)
    places = ("row", "pair") if len(_pairs(plan)) > 1 else ("row",)
    groups = list(dict.fromkeys((slot.row, slot.pair)[: len(places)] for slot in plan.students))[:MOST_GROUPS]
    params = tuple(f"params.`{name}`" for name in swept[:MOST_COLUMNS])
    accuracies = tuple(f"metrics.`{name}`" for name in ACCURACIES)
    rows = partial(View, group_by=places, groups=tuple(groups), filter=ROWS)
    shown = [
        rows(TABLE, "Methods: means over seeds", (*accuracies, *params)),
        *_sensitivities(plan, swept),
        rows("methods", "Best method per pair", charts=(bars("test_acc"), bars("val_acc"))),
        rows("curves", "Learning curves", charts=(curve("test_acc"), curve("val_acc"), curve("loss"))),
        View("trials", "Every trial", ("tags.`stage`", "tags.`state`", *accuracies, *params)),
    ]
    if swept:
        chart = parallel(["method", *swept[:MOST_COLUMNS]], ["val_acc", "test_acc"])
        shown.append(View("parallel", "Parallel coordinates", charts=(chart,), filter="tags.`stage` != 'teacher'"))
    return shown


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


def _sensitivities(plan: Plan, swept: list[str]) -> list[View]:
    """For each method with numbers that are swept or searched: accuracy against each, a point a trial.

    Hyperparameters of the same name are others in other methods.
    """
    shown = []
    for method in dict.fromkeys([slot.method for slot in plan.students] + [cell.method for cell in plan.cells]):
        numbers = [name for name in swept if _is_numeric(plan, method, name)]
        if numbers:
            done = f"tags.`method` = '{method}' AND tags.`state` = 'finished'"
            charts = tuple(scatter(name) for name in numbers)
            shown.append(View(f"sensitivity-{method}", f"Sensitivity of {method}", charts=charts, filter=done))
    return shown


def _pairs(plan: Plan) -> set[str]:
    return {slot.pair for slot in plan.students} | {cell.pair for cell in plan.cells}


def _is_numeric(plan: Plan, method: str, name: str) -> bool:
    """Whether a method's values of what is swept are different numbers, so that accuracy can be drawn against them."""
    slots = [slot for slot in plan.students if slot.method == method]
    values: list[Any] = [slot.varied[name] for slot in slots if name in slot.varied]
    if name.startswith("recipe."):
        values += [slot.config["recipe"][name.removeprefix("recipe.")] for slot in slots]
    for cell in (cell for cell in plan.cells if cell.method == method):
        values += _values(cell.space.get(name, {})) + [value for key, value in cell.varied.items() if key == name]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(values) and len(set(numbers)) > 1


def _values(dimension: dict[str, Any]) -> list[Any]:
    return list(dimension.get("choice") or dimension.get("range") or [])
