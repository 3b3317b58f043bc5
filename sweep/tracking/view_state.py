"""A view of MLflow's page and its charts, in the form in which the page keeps them.

None of this form is documented: it is what the page of MLflow 3.17.2 writes itself when somebody shares or saves a view
(:mod:`sweep.tracking.mlflow_internals` holds the rest of what is not promised). A view is a tag of the experiment,
``mlflow.sharedViewState.<name>``, and the page opens it by its name in the address. The tag's value holds the state
twice: packed as `state` beside `name` and `createdAt`, by which the page lists and opens it, and spread beside these,
which is how a shared view was kept before views had names; earlier pages fall back to it. A release that reads neither
shows its default. What is too long for a tag is left away, what matters least first: that second state, which groups
are folded, and the last of the charts.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sweep.plan.labels import SYMBOLS
from sweep.tracking.mlflow_internals import LONGEST_EXPERIMENT_TAG, SHARED_VIEW

NAMES = "attributes.`Run Name`"
"""The column of the runs' names."""
NAME_PIXELS = 330
"""Its width, so that they can be read."""
LETTER_PIXELS, LEAST_LETTERS = 8, 12
"""Of the width of other columns, whose heads are to be read as well."""
MOST_BESIDE, CHART_PIXELS = 2, 420
"""Charts side by side, and their height."""
SECTION = "Charts"
"""The one section of the charts' page that all charts stand in."""


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
    listed: bool = False
    """Whether it opens on the table all the same; its charts are one click away."""
    name_pixels: int = NAME_PIXELS
    """How wide the column of the names is."""
    order_by: str = "metrics.`test_acc`"
    filter: str = ""

    @property
    def tag(self) -> str:
        """The name of the experiment's tag that holds the view."""
        return SHARED_VIEW + self.name

    @property
    def value(self) -> str:
        """The value of that tag, as JSON: as much of the view as fits there."""
        whole = json.dumps(self._state | self._listed, ensure_ascii=False)
        if len(whole) <= LONGEST_EXPERIMENT_TAG:
            return whole
        packed = json.dumps(self._listed, ensure_ascii=False)
        if len(packed) <= LONGEST_EXPERIMENT_TAG or not (self.groups or self.charts):
            return packed
        less = {"groups": ()} if self.groups else {"charts": self.charts[: len(self.charts) // 2]}
        return replace(self, **less).value

    @property
    def _listed(self) -> dict[str, Any]:
        """The state packed, by its name."""
        state = json.dumps(self._state, ensure_ascii=False)
        packed = "deflate;" + base64.b64encode(zlib.compress(state.encode(), 9)).decode()
        return {"name": self.title, "createdAt": 0, "state": packed}

    def address(self, experiment: str) -> str:
        """Of the view within MLflow's page, from ``#`` on."""
        return address(self.name, experiment, charts=bool(self.charts) and not self.listed)

    @property
    def _state(self) -> dict[str, Any]:
        listed, drawn = self._search | self._columns | _EACH_RUN, self._chart_cards
        return listed | drawn | _LAYOUT | self._grouping | _ALL_CHARTS

    @property
    def _search(self) -> dict[str, Any]:
        """Which runs are asked for, and in which order: of any age, none that was deleted, best first."""
        return {
            "searchFilter": self.filter,
            "orderByKey": self.order_by,
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
        }

    @property
    def _columns(self) -> dict[str, Any]:
        """What stands in the table beside a run's name, from left to right."""
        return {
            "selectedColumns": list(self.columns),
            "columnOrder": [NAMES, *self.columns] if self.columns else [],
            "columnWidths": {NAMES: self.name_pixels} | {column: _width(column) for column in self.columns},
        }

    @property
    def _chart_cards(self) -> dict[str, Any]:
        """The charts and their section, which the page is to leave in this order."""
        return {
            "compareRunCharts": list(self.charts),
            "compareRunSections": [_section(len(self.charts))] if self.charts else [],
            "isAccordionReordered": True,
        }

    @property
    def _grouping(self) -> dict[str, Any]:
        """Runs of the same tags as one line, and one mark in charts, of their means; which groups are folded away."""
        keys = [{"mode": "tag", "groupByData": tag} for tag in self.group_by]
        folded = [
            ",".join(f"tag.{tag}.{value}" for tag, value in zip(self.group_by, group, strict=True))
            for group in self.groups
        ]
        return {
            "groupBy": {"aggregateFunction": "average", "groupByKeys": keys} if keys else None,
            "groupsExpanded": dict.fromkeys(folded, False),
            "useGroupedValuesInCharts": True,
        }


_EACH_RUN: dict[str, Any] = {
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "runsHiddenMode": "SHOW_ALL",
}
"""What a user sets run by run: nothing yet. All runs are drawn; by default only the first ten would be."""
_LAYOUT: dict[str, Any] = {"viewMaximized": True, "runListHidden": False}
"""The page without the experiment's header, and charts with the list of runs beside them."""
_ALL_CHARTS: dict[str, Any] = {
    "hideEmptyCharts": True,
    "autoRefreshEnabled": True,
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    "chartsSearchFilter": "",
}
"""What holds for all charts: they follow a sweep that runs; curves go by epochs, are not smoothed, and none is searched
for."""


def address(view: str, experiment: str, *, charts: bool = False) -> str:
    """Of a view by its name within MLflow's page, from ``#`` on, opened on its table or on its charts."""
    mode = "CHART" if charts else "TABLE"
    where = f"#/experiments/{experiment}/runs?viewStateShareKey={view}"
    return f"{where}&compareRunsMode={mode}&workflowType=machine_learning"


# -- charts -----------------------------------------------------------------------------------------------------------


def bars(metric: str, title: str) -> dict[str, Any]:
    """A chart of a metric's last value: a bar for each run that has it, or for each group its mean."""
    return _chart("BAR", metric, title, 100, {"metricKey": metric})


def curve(metric: str) -> dict[str, Any]:
    """A chart of a metric by epoch: a line for each run, or for each group its mean."""
    axis = {"metricKey": metric, "selectedMetricKeys": [metric], "xAxisKey": "step", "yAxisKey": "metric"}
    scale = {"lineSmoothness": 0, "scaleType": "linear", "xAxisScaleType": "linear", "selectedXAxisMetricKey": ""}
    shared = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, "yAxisExpressions": []}
    return _chart("LINE", metric, f"{metric} by epoch", 100, axis | scale | shared)


def means(value: str, metric: str, title: str, shown: tuple[float, float] | None = None) -> dict[str, Any]:
    """A chart of one metric against another, each measured once in a run: a line for each group through the means of
    its runs that share a value, in a band from the lowest to the highest.

    Args:
        value: the metric that the line goes along.
        metric: the other.
        title: of the chart.
        shown: the lowest and the highest value of the other that there is room for; None for all, from 0 on: for the
            sake of the band the page begins there by itself.
    """
    axes = {"metricKey": metric, "selectedMetricKeys": [metric], "xAxisKey": "metric", "yAxisKey": "metric"}
    along = {"selectedXAxisMetricKey": value, "useGlobalXaxisKey": False, "displayPoints": True}
    scale = {"lineSmoothness": 0, "useGlobalLineSmoothing": True, "scaleType": "linear", "xAxisScaleType": "linear"}
    room = {"range": {"yMin": shown[0], "yMax": shown[1]}} if shown else {}
    return _chart("LINE", f"{metric}-{value}", title, 100, axes | along | scale | room | {"yAxisExpressions": []})


def scatter(param: str, metric: str) -> dict[str, Any]:
    """A chart of a metric against a parameter, a point for each run that has both."""
    axes = {"xaxis": {"key": param, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return _chart("SCATTER", f"{metric}-{param}", f"{metric} against {SYMBOLS.get(param, param)}", 100, axes)


def parallel(params: Iterable[str], metrics: Iterable[str]) -> dict[str, Any]:
    """A chart of parallel coordinates, a line for each run through its parameters and metrics."""
    axes = {"selectedParams": list(params), "selectedMetrics": list(metrics), "showAllRuns": True}
    return _chart("PARALLEL", "all", "Every trial", 250, axes)


def _chart(kind: str, name: str, title: str, runs: int, more: dict[str, Any]) -> dict[str, Any]:
    """What every chart has: its place, and of how many runs it is drawn at most."""
    place = {"uuid": f"{kind}-{name}", "metricSectionId": SECTION, "deleted": False, "isGenerated": False}
    return {"type": kind, "displayName": title, "runsCountToCompare": runs} | place | more


def _width(column: str) -> int:
    """Of a column, in pixels, by its head."""
    return LETTER_PIXELS * max(len(column.split("`")[1]) + 3, LEAST_LETTERS)


def _section(charts: int) -> dict[str, Any]:
    shape = {"columns": min(charts, MOST_BESIDE), "cardHeight": CHART_PIXELS}
    state = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {"uuid": SECTION, "name": SECTION} | shape | state
