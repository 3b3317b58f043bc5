"""The views of a sweep that MLflow opens by their names."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.tracking.mlflow_internals import LONGEST_EXPERIMENT_TAG
from sweep.tracking.sync import sync
from sweep.tracking.ui import tables
from sweep.tracking.view_state import View, scatter
from sweep.tracking.views import FINISHED, ROWS, hyperparameters, links, views
from tests.support.examples import SPEC, begin, small_spec


def states(plan: Plan) -> dict[str, dict[str, Any]]:
    return {view.name: json.loads(view.value) for view in views(plan)}


def test_views_group_by_rows_and_show_what_was_swept(small_plan: Plan) -> None:
    found = states(small_plan)
    assert set(found) == {"table", "sensitivity-dhkd", "methods", "curves", "trials", "parallel"}
    table = found["table"]
    assert table["searchFilter"] == f"{ROWS} AND {FINISHED}"
    assert table["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "row"}]
    assert {"metrics.`test_acc`", "metrics.`val_acc`", "params.`alpha`"} <= set(table["selectedColumns"])
    (chart,) = found["sensitivity-dhkd"]["compareRunCharts"]
    assert (chart["type"], chart["xAxisKey"], chart["useGlobalXaxisKey"]) == ("LINE", "metric", False)
    assert (chart["selectedXAxisMetricKey"], chart["metricKey"]) == ("swept/alpha", "accuracy/resnet20-resnet8")
    assert chart["displayName"] == "resnet20→resnet8: test accuracy, %, against α"
    assert "tags.`method` = 'dhkd'" in found["sensitivity-dhkd"]["searchFilter"]  # kd has an alpha of its own
    assert found["sensitivity-dhkd"]["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "method"}]
    (parallel,) = found["parallel"]["compareRunCharts"]
    assert parallel["selectedParams"] == ["method", "alpha"]


def test_each_pair_has_its_chart_and_its_column() -> None:
    plan = build_plan(small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"]))
    found, metrics = states(plan), ["accuracy/resnet20-resnet8", "accuracy/resnet14-resnet8"]
    assert [chart["metricKey"] for chart in found["methods"]["compareRunCharts"]] == metrics
    assert [chart["metricKey"] for chart in found["sensitivity-dhkd"]["compareRunCharts"]] == metrics
    assert found["table"]["selectedColumns"][:2] == [f"metrics.`{metric}`" for metric in metrics]
    assert [key["groupByData"] for key in found["methods"]["groupBy"]["groupByKeys"]] == ["row"]
    assert found["methods"]["searchFilter"] == f"{ROWS} AND tags.`state` = 'finished'"
    assert found["table"]["groupsExpanded"]["tag.row.dhkd α=0.5"] is False
    # of a curve there is no metric a pair
    assert [key["groupByData"] for key in found["curves"]["groupBy"]["groupByKeys"]] == ["row", "pair"]
    assert found["curves"]["groupsExpanded"]["tag.row.dhkd α=0.5,tag.pair.resnet14→resnet8"] is False


def test_rows_of_several_recipes_are_groups_of_their_own() -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]}, methods=["kd"]))
    keys = states(plan)["methods"]["groupBy"]["groupByKeys"]
    assert [key["groupByData"] for key in keys] == ["row", "recipe"]
    folded = states(plan)["table"]["groupsExpanded"]
    assert folded["tag.row.kd,tag.recipe.digits lr=0.05"] is False


def test_charts_are_of_the_accuracy_that_the_table_has() -> None:
    papers = build_plan(small_spec(protocol="paper"))
    (chart,) = states(papers)["methods"]["compareRunCharts"]
    assert chart["displayName"] == "resnet20→resnet8: best test accuracy, %, mean over seeds"


def test_only_numbers_are_drawn_against() -> None:
    plan = build_plan(small_spec(methods=["kd", {"dhkd": {"head": ["linear", "nonlinear"]}}]))
    assert hyperparameters(plan) == ["head"]
    assert not any(name.startswith("sensitivity") for name in states(plan))
    assert "parallel" in states(plan)
    assert set(states(build_plan(small_spec(methods=["kd"])))) == {"table", "methods", "curves", "trials"}


def test_searched_and_recipe_fields_count_as_swept() -> None:
    methods = [{"gdkd": {"w2": {"range": [0.5, 16], "log": True}}}]
    assert hyperparameters(build_plan(small_spec(methods=methods, seeds=1))) == ["w2"]
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]}, methods=["kd"]))
    assert hyperparameters(plan) == ["recipe.lr"]
    (chart,) = states(plan)["sensitivity-kd"]["compareRunCharts"]
    assert chart["selectedXAxisMetricKey"] == "swept/recipe.lr"


def test_a_search_has_a_point_a_trial_and_a_chart_a_pair() -> None:
    methods = [{"gdkd": {"w2": {"range": [0.5, 16], "log": True}}}, {"gdkd": {"k": [2, 3]}}]
    plan = build_plan(small_spec(methods=methods, seeds=1, pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"]))
    found = states(plan)
    charts = found["search-gdkd"]["compareRunCharts"]
    assert [(chart["type"], chart["xaxis"]["key"], chart["yaxis"]["key"]) for chart in charts] == [
        ("SCATTER", "w2", "accuracy/resnet20-resnet8"),
        ("SCATTER", "w2", "accuracy/resnet14-resnet8"),
    ]
    assert {chart["selectedXAxisMetricKey"] for chart in found["sensitivity-gdkd"]["compareRunCharts"]} == {"swept/k"}


def test_a_views_state_stands_twice_and_fits_a_tag(small_plan: Plan) -> None:
    for view in views(small_plan):
        assert len(view.value) < LONGEST_EXPERIMENT_TAG
        listed = json.loads(view.value)
        packed = listed.pop("state").removeprefix("deflate;")
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        assert (listed.pop("name"), listed.pop("createdAt")) == (view.title, 0)
        assert state == listed


def test_links_lead_to_the_views_and_open_charts_on_charts(small_plan: Plan) -> None:
    text = links(small_plan, "7")
    assert "](#/experiments/7/runs?viewStateShareKey=table&compareRunsMode=TABLE&workflowType=machine_learning)" in text
    assert (
        "](#/experiments/7/runs?viewStateShareKey=sensitivity-dhkd&compareRunsMode=CHART&workflowType=machine_learning)"
        in text
    )


def test_the_ui_knows_where_the_tables_of_the_latest_sweeps_are(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: Callable[..., str]
) -> None:
    uri = new_store()
    assert tables(uri) == []
    begin(ledger, small_plan)
    sync(root, "small", uri)
    assert tables(uri) == [
        ("small", "#/experiments/1/runs?viewStateShareKey=table&compareRunsMode=CHART&workflowType=machine_learning")
    ]


def test_a_database_that_is_none_of_mlflows_has_no_tables(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"no database at all, though it is long enough to be taken for one" * 10)
    assert tables(f"sqlite:///{tmp_path}/other.db") == []


def test_a_view_of_many_hyperparameters_fits_a_tag(small_plan: Plan) -> None:
    """Nine that are drawn against are more than a tag takes twice; the state by which the page opens it is whole."""
    first = small_plan.students[-1]
    names = [f"hyperparameter_{number}" for number in range(40)]
    slots = tuple(
        replace(first, id=str(seed), label=f"{'long ' * 30}{seed}", varied=dict.fromkeys(names, seed))
        for seed in range(150)
    )
    plan = replace(small_plan, slots=slots)
    whole = [view for view in views(plan) if view.name == "sensitivity-dhkd"]
    assert len(whole[0].charts) == 40
    for view in views(plan):
        assert len(view.value) <= LONGEST_EXPERIMENT_TAG, view.name
    state = opened(json.loads(whole[0].value))
    assert [chart["selectedXAxisMetricKey"] for chart in state["compareRunCharts"]] == [f"swept/{n}" for n in names]


def test_one_that_is_too_long_all_the_same_has_fewer_charts() -> None:
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)]
    view = View("much", "Much", charts=tuple(scatter(name, "test_acc") for name in names))
    assert len(view.value) <= LONGEST_EXPERIMENT_TAG
    charts = opened(json.loads(view.value))["compareRunCharts"]
    assert [chart["xaxis"]["key"] for chart in charts] == names[: len(charts)]
    assert len(charts) > 20


def opened(listed: dict[str, Any]) -> dict[str, Any]:
    """A view's state as the page unpacks it."""
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(listed["state"].removeprefix("deflate;"))))
    return state
