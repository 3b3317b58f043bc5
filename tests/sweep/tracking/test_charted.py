"""The numbers that MLflow draws with: of each pair, and along what was swept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.tracking.charted import CHARTED, of_pair, of_swept
from sweep.tracking.mlflow_internals import SHARED_VIEW
from sweep.tracking.sync import sync
from sweep.tracking.views import views
from tests.support.examples import begin, record, small_spec
from tests.support.tracked import client_of, runs

NewStore = Callable[..., str]
PAIRS = ["resnet20 -> resnet8", "resnet14 -> resnet8"]


def trained(root: Root, ledger: Ledger, uri: str, plan: Plan, best: float = 0.0) -> None:
    """What is new of a plan is run, and delivered; students end at 70 and their seed, after an epoch of `best`."""
    begin(ledger, plan)
    done = {event.body["slot"] for event in ledger.events("start")}
    for slot in plan.slots:
        if slot.id not in done:
            done.add(slot.id)
            record(ledger, plan, slot, [best, 70.0 + slot.seed], val_accs=[10.0, 69.0])
    sync(root, "small", uri)


def charted(uri: str) -> dict[str, dict[str, float]]:
    """By the name of the run, of students, what it has for the charts."""
    found = [run for run in runs(uri).values() if run.data.tags.get("stage") == "confirm"]
    return {
        run.info.run_name: {name: value for name, value in run.data.metrics.items() if name.startswith(CHARTED)}
        for run in found
    }


@pytest.mark.slow(1)
def test_a_run_has_its_accuracy_under_its_pair_and_what_was_swept(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    uri = new_store()
    trained(root, ledger, uri, small_plan)
    found = charted(uri)
    assert found["resnet20→resnet8 · dhkd α=0.5 · seed 1"] == {"accuracy/resnet20-resnet8": 71.0, "swept/alpha": 0.5}
    assert found["resnet20→resnet8 · scratch · seed 0"] == {"accuracy/resnet20-resnet8": 70.0}
    teachers = [run for run in runs(uri).values() if run.data.tags.get("stage") == "teacher"]
    assert teachers
    assert not any(name.startswith("accuracy/") for run in teachers for name in run.data.metrics)


@pytest.mark.slow(1)
def test_a_trial_without_a_teacher_is_in_the_chart_of_each_pair(
    root: Root, ledger: Ledger, new_store: NewStore
) -> None:
    uri = new_store()
    trained(root, ledger, uri, build_plan(small_spec(pairs=PAIRS)))
    both = {"accuracy/resnet20-resnet8": 70.0, "accuracy/resnet14-resnet8": 70.0}
    assert charted(uri)["resnet20→resnet8 · scratch · seed 0"] == both
    assert charted(uri)["resnet14→resnet8 · kd · seed 1"] == {
        "accuracy/resnet14-resnet8": 71.0
    }  # and no alpha of its own, which is not swept


@pytest.mark.slow(1)
def test_charts_follow_a_sweep_that_grows(root: Root, ledger: Ledger, new_store: NewStore) -> None:
    uri = new_store()
    trained(root, ledger, uri, build_plan(small_spec(methods=["scratch", {"dhkd": {"alpha": 0.5}}])))
    assert "swept/alpha" not in charted(uri)["resnet20→resnet8 · dhkd · seed 0"]
    grown = small_spec(methods=["scratch", {"dhkd": {"alpha": [0.5, 1]}}], pairs=PAIRS)
    trained(root, ledger, uri, build_plan(grown))
    assert charted(uri)["resnet20→resnet8 · dhkd α=0.5 · seed 0"]["swept/alpha"] == 0.5
    assert charted(uri)["resnet20→resnet8 · scratch · seed 0"].keys() == {
        "accuracy/resnet20-resnet8",
        "accuracy/resnet14-resnet8",
    }


@pytest.mark.slow(1)
def test_charts_follow_the_protocol(root: Root, ledger: Ledger, new_store: NewStore) -> None:
    uri = new_store()
    trained(root, ledger, uri, build_plan(small_spec()), best=88.0)
    trained(root, ledger, uri, build_plan(small_spec(protocol="paper")))
    assert charted(uri)["resnet20→resnet8 · kd · seed 0"]["accuracy/resnet20-resnet8"] == 88.0


@pytest.mark.slow(1)
def test_an_old_experiment_gets_them_and_keeps_its_users_views(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    uri = new_store()
    trained(root, ledger, uri, small_plan)
    (experiment,) = [found for found in client_of(uri).search_experiments() if found.name == "small"]
    now = dict(experiment.tags)
    _age(uri)
    own = f"{SHARED_VIEW}0f3a"
    client_of(uri).set_experiment_tag(experiment.experiment_id, own, '{"name": "mine", "createdAt": 17}')
    sync(root, "small", uri)
    tags = client_of(uri).get_experiment(experiment.experiment_id).tags
    assert tags == now | {own: tags[own]}
    assert set(tags) >= {view.tag for view in views(small_plan)}
    assert tags[own] == '{"name": "mine", "createdAt": 17}'
    assert charted(uri)["resnet20→resnet8 · dhkd α=1 · seed 0"] == {
        "accuracy/resnet20-resnet8": 70.0,
        "swept/alpha": 1.0,
    }


@pytest.mark.slow(1)
def test_lines_have_room_for_what_was_reached_and_not_for_zero(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    uri = new_store()
    begin(ledger, small_plan)
    sync(root, "small", uri)
    assert "range" not in _line(uri)
    trained(root, ledger, uri, small_plan)
    assert _line(uri)["range"] == {"yMin": 69, "yMax": 72}  # of 70 and 71


def _line(uri: str) -> dict[str, Any]:
    """The chart of the view of what dhkd's sensitivity is."""
    (experiment,) = [found for found in client_of(uri).search_experiments() if found.name == "small"]
    (chart,) = json.loads(experiment.tags[f"{SHARED_VIEW}sensitivity-dhkd"])["compareRunCharts"]
    return dict(chart)


def test_names_that_mlflow_refuses_are_made_others_and_stay_apart() -> None:
    names = [of_pair("a(w=1)→b"), of_pair("a[w=1]→b"), of_pair("a→b"), of_swept("recipe.lr")]
    assert names[2:] == ["accuracy/a-b", "swept/recipe.lr"]
    assert len(set(names)) == 4
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789/-._") for name in names)


def _age(uri: str) -> None:
    """Leave of a store what an earlier release would have written: no numbers of charts, and other views."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        for table in ("metrics", "latest_metrics"):
            database.execute(f"DELETE FROM {table} WHERE key LIKE 'accuracy/%' OR key LIKE 'swept/%'")
        of_views: Any = (f"{SHARED_VIEW}%",)
        database.execute("UPDATE experiment_tags SET value = '{}' WHERE key LIKE ?", of_views)
