"""Views of a sweep for MLflow's run table and charts, ready when its page is opened.

By default the table of an experiment shows neither parameters nor metrics, and its charts every metric. MLflow keeps
views that people share as tags of the experiment (``mlflow.sharedViewState.<name>``), and opens one by its name in the
address; the views here are written as these are. The state lies in the tag as MLflow 3.17 reads it, and once more as
later releases do (`state`), which also list views by name. A release that reads neither shows its default.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sweep.plan.labels import SYMBOLS
from sweep.plan.slots import Plan

TAG = "mlflow.sharedViewState."
TABLE = "table"
"""The view that a sweep opens with."""
ROWS = "tags.`row` LIKE '_%'"
"""Filter: the trials that count for the table."""
ACCURACIES = ("test_acc", "val_acc", "best_test_acc", "train_acc")
MOST_BESIDE, CHART_PIXELS = 2, 420
"""Charts side by side, and their height."""
NAME_PIXELS = 330
"""Of the column of names, so that they can be read."""
MOST_GROUPS = 100
"""That are folded away; a tag has no room for many more."""
MOST_COLUMNS = 8
"""Of hyperparameters; a table with more is not read."""


@dataclass(frozen=True)
class View:
    """One view: what is filtered, grouped, listed and drawn."""

    name: str
    """In the address."""
    title: str
    columns: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    """Tags; accuracies are then means over each group."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Their values, of the groups whose runs are folded away."""
    charts: tuple[dict[str, Any], ...] = ()
    """With charts the view opens on them, without on the table."""
    order_by: str = "metrics.`test_acc`"
    filter: str = ROWS

    @property
    def tag(self) -> str:
        return TAG + self.name

    @property
    def value(self) -> str:
        """The tag's value."""
        state = json.dumps(self._state, ensure_ascii=False)
        packed = "deflate;" + base64.b64encode(zlib.compress(state.encode(), 9)).decode()
        listed = {"name": self.title, "createdAt": 0, "state": packed}
        return json.dumps(self._state | listed, ensure_ascii=False)

    def address(self, experiment: str) -> str:
        """Of the view within MLflow's page, from ``#`` on."""
        return address(self.name, experiment, charts=bool(self.charts))

    @property
    def _state(self) -> dict[str, Any]:
        grouped = [{"mode": "tag", "groupByData": tag} for tag in self.group_by]
        folded = [
            ",".join(f"tag.{tag}.{of}" for tag, of in zip(self.group_by, group, strict=True)) for group in self.groups
        ]
        return {
            "searchFilter": self.filter,
            "orderByKey": self.order_by,
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(self.columns),
            "columnOrder": ["attributes.`Run Name`", *self.columns] if self.columns else [],
            "columnWidths": {"attributes.`Run Name`": NAME_PIXELS},
            "runsExpanded": {},
            "runsPinned": [],
            "runsHidden": [],
            "runsVisibilityMap": {},
            "runsHiddenMode": "SHOW_ALL",
            "compareRunCharts": list(self.charts),
            "compareRunSections": [_section(len(self.charts))] if self.charts else [],
            "isAccordionReordered": True,
            "viewMaximized": True,
            "runListHidden": False,
            "groupBy": {"aggregateFunction": "average", "groupByKeys": grouped} if grouped else None,
            "groupsExpanded": dict.fromkeys(folded, False),
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "autoRefreshEnabled": True,
            "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
            "chartsSearchFilter": "",
        }


def address(view: str, experiment: str, *, charts: bool = False) -> str:
    """Of a view by its name within MLflow's page, from ``#`` on, opened on its table or on its charts."""
    mode = "CHART" if charts else "TABLE"
    where = f"#/experiments/{experiment}/runs?viewStateShareKey={view}"
    return f"{where}&compareRunsMode={mode}&workflowType=machine_learning"


def views(plan: Plan) -> list[View]:
    """The views of a sweep, the table first."""
    swept = hyperparameters(plan)
    places = ("row", "pair") if len(_pairs(plan)) > 1 else ("row",)
    groups = list(dict.fromkeys((slot.row, slot.pair)[: len(places)] for slot in plan.students))[:MOST_GROUPS]
    params = tuple(f"params.`{name}`" for name in swept[:MOST_COLUMNS])
    accuracies = tuple(f"metrics.`{name}`" for name in ACCURACIES)
    rows = partial(View, group_by=places, groups=tuple(groups))
    bars, curves = (_bars("test_acc"), _bars("val_acc")), (_curve("test_acc"), _curve("val_acc"), _curve("loss"))
    found = [
        rows(TABLE, "Methods: means over seeds", (*accuracies, *params)),
        *_sensitivities(plan, swept),
        rows("methods", "Best method per pair", charts=bars),
        rows("curves", "Learning curves", charts=curves),
        View("trials", "Every trial", ("tags.`stage`", "tags.`state`", *accuracies, *params), filter=""),
    ]
    if swept:
        chart = _parallel(["method", *swept[:MOST_COLUMNS]], ["val_acc", "test_acc"])
        found.append(View("parallel", "Parallel coordinates", charts=(chart,), filter="tags.`stage` != 'teacher'"))
    return found


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
    found = []
    for method in dict.fromkeys([slot.method for slot in plan.students] + [cell.method for cell in plan.cells]):
        numbers = [name for name in swept if _is_numeric(plan, method, name)]
        if numbers:
            done = f"tags.`method` = '{method}' AND tags.`state` = 'finished'"
            charts = tuple(_scatter(name) for name in numbers)
            found.append(View(f"sensitivity-{method}", f"Sensitivity of {method}", charts=charts, filter=done))
    return found


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


# -- charts, as MLflow keeps them ---------------------------------------------------------------------------------


SECTION = "Charts"


def _section(charts: int) -> dict[str, Any]:
    shape = {"columns": min(charts, MOST_BESIDE), "cardHeight": CHART_PIXELS}
    state = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {"uuid": SECTION, "name": SECTION} | shape | state


def _chart(kind: str, name: str, title: str, runs: int, more: dict[str, Any]) -> dict[str, Any]:
    place = {"uuid": f"{kind}-{name}", "metricSectionId": SECTION, "deleted": False, "isGenerated": False}
    return {"type": kind, "displayName": title, "runsCountToCompare": runs} | place | more


def _bars(metric: str) -> dict[str, Any]:
    return _chart("BAR", metric, f"{metric}, %: mean over seeds", 100, {"metricKey": metric})


def _curve(metric: str) -> dict[str, Any]:
    axis = {"metricKey": metric, "selectedMetricKeys": [metric], "xAxisKey": "step", "yAxisKey": "metric"}
    scale = {"lineSmoothness": 0, "scaleType": "linear", "xAxisScaleType": "linear", "selectedXAxisMetricKey": ""}
    shared = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, "yAxisExpressions": []}
    return _chart("LINE", metric, f"{metric} by epoch", 100, axis | scale | shared)


def _scatter(param: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": param, "type": "PARAM"}, "yaxis": {"key": "test_acc", "type": "METRIC"}}
    return _chart("SCATTER", param, f"test_acc against {SYMBOLS.get(param, param)}", 100, axes)


def _parallel(params: Iterable[str], metrics: Iterable[str]) -> dict[str, Any]:
    axes = {"selectedParams": list(params), "selectedMetrics": list(metrics), "showAllRuns": True}
    return _chart("PARALLEL", "all", "Every trial", 250, axes)
