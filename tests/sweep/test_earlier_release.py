"""A root that an earlier release has made: what has a result there is done, and nothing is named anew."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.preview import preview
from sweep.results.standing import standing
from tests.support.examples import epoch_body, small_spec
from tests.sweep.ledger.test_damage import APPEND, EARLIER
from trainers.storage.content import content_key

RECIPE_THEN = (
    *("epochs", "batch_size", "lr", "momentum", "nesterov", "weight_decay", "schedule", "milestones", "lr_decay"),
    *("warmup_epochs", "views", "pad", "flip", "cutout", "randaugment_ops", "strong_cutout", "precision"),
    *("teacher_logits", "compile", "sync_batch_norm", "val_fraction", "samples_per_class", "test_per_class"),
    *("diagnostics", "diagnostics_every", "split_seed"),
)
"""The fields of a recipe that that release knew."""


def config_then(config: dict[str, Any]) -> dict[str, Any]:
    """A trial's config as that release wrote it, which knew no code but its own, and fewer fields of a recipe."""
    assert config["code"] == {}
    recipe = {name: config["recipe"][name] for name in RECIPE_THEN}
    return {name: value for name, value in config.items() if name != "code"} | {"recipe": recipe}


def key_then(config: dict[str, Any]) -> str:
    """The key of a trial as that release made it: the hash of all of its config."""
    return content_key(config_then(config))


@pytest.fixture
def earlier(root: Root, small_plan: Plan) -> Root:
    """Both seeds of scratch have ended there."""
    path = root.sweep("small").ledger
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(EARLIER)
        database.execute("DELETE FROM events")
        plan = small_plan.to_json()
        plan["slots"] = [slot | {"config": config_then(slot["config"])} for slot in plan["slots"]]
        del plan["code"]
        rows: list[tuple[Any, ...]] = [(1.0, "plan", None, None, json.dumps(plan))]
        for slot in small_plan.students:
            if slot.method == "scratch":
                key, config = key_then(slot.config), config_then(slot.config)
                start = {"slot": slot.id, "name": slot.name, "config": config}
                rows.append((2.0, "start", key, None, json.dumps(start)))
                final = {"state": "finished", "last": epoch_body(1, 90.0), "best": epoch_body(1, 90.0)}
                rows.append((3.0, "final", key, None, json.dumps(final)))
        database.executemany(APPEND, rows)
        database.commit()
    return root


def test_what_has_a_result_is_done(earlier: Root, small_plan: Plan) -> None:
    done = {slot.id for slot in small_plan.students if slot.method == "scratch"}
    with Ledger(earlier.sweep("small").ledger) as ledger:
        assert standing(small_plan, {}, ledger).slots == done
        ledger.append("start", "another", body={"slot": "x"})
        assert standing(small_plan, {}, ledger).slots == done
        ledger.verify()


def test_the_plan_says_so(earlier: Root) -> None:
    shown = preview(small_spec(), earlier, Format.TABLE)
    assert "2 done" in shown
    assert "with other values" not in shown


def test_slots_and_searches_have_the_names_that_they_had(small_plan: Plan) -> None:
    for slot in small_plan.slots:
        untaught = key_then(slot.config)
        assert slot.id == (content_key([untaught, slot.teacher]) if slot.teacher else untaught)
    searched = {"base": "digits", "epochs": 3, "samples_per_class": 8, "lr": {"range": [0.01, 0.1], "log": True}}
    methods = ["scratch", {"kd": {"temperature": {"choice": [2, 4]}}}]
    for cell in build_plan(small_spec(recipe=searched, methods=methods)).cells:
        assert cell.id == content_key([config_then(cell.config), cell.space, cell.teacher])
