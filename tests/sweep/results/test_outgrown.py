"""What has a result with other values is told before it runs again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.outgrown import OTHER_TEACHER, outgrown
from sweep.results.preview import preview
from tests.support.examples import begin, record, slot_of, small_spec

DIGITS = {"base": "digits", "epochs": 3, "samples_per_class": 8}


@pytest.fixture
def filled(ledger: Ledger, small_plan: Plan) -> Ledger:
    """Both seeds of scratch have ended, and one of kd."""
    begin(ledger, small_plan)
    for slot in (slot_of(small_plan, "scratch"), slot_of(small_plan, "scratch", 1), slot_of(small_plan, "kd")):
        record(ledger, small_plan, slot, [90.0])
    return ledger


def test_a_changed_recipe_is_named_with_both_values(filled: Ledger) -> None:
    plan = build_plan(small_spec(recipe=DIGITS | {"epochs": 4, "lr": 0.1}))
    assert outgrown(plan, (), filled) == (
        "trials that have ended before with other values, and run again: 3 (recipe.epochs 3 → 4, recipe.lr 0.05 → 0.1);"
        " their results stay in the ledger, and count again where the values do"
    )


def test_what_differs_in_some_trials_is_counted_and_the_rest_is_left_out(filled: Ledger) -> None:
    changed = DIGITS | {"epochs": 4, "lr": 0.1, "pad": 2}
    remark = outgrown(
        build_plan(small_spec(recipe=changed, methods=["scratch", {"kd": {"temperature": 2}}])), (), filled
    )
    assert "run again: 3 (recipe.epochs 3 → 4, recipe.lr 0.05 → 0.1, recipe.pad 1 → 2, …); their results" in remark
    plan = build_plan(small_spec(methods=["scratch", {"kd": {"temperature": 2}}]))
    scratch = {slot.id for slot in plan.students if slot.method == "scratch"}
    assert "run again: 1 (method.params.temperature " in outgrown(plan, scratch, filled)


def test_what_is_over_and_what_is_new_is_no_matter_for_a_remark(filled: Ledger, small_plan: Plan) -> None:
    over = [slot.id for slot in small_plan.students if slot.method in ("scratch", "kd")]
    assert outgrown(small_plan, over, filled) == ""
    assert outgrown(build_plan(small_spec(seeds=[7])), (), filled) == ""


def test_where_the_config_is_the_same_the_teacher_is_another(filled: Ledger, small_plan: Plan) -> None:
    over = [slot.id for slot in small_plan.students if slot.method == "scratch"]
    assert f"run again: 1 ({OTHER_TEACHER});" in outgrown(small_plan, over, filled)


def test_a_config_of_a_release_with_other_fields_is_compared_as_it_is(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    slot = slot_of(small_plan, "scratch")
    config = json.loads(json.dumps(slot.config))
    config["recipe"]["smoothing"] = 0.1
    ledger.append("start", "k", body={"slot": "s", "name": slot.name, "config": config})
    ledger.append("final", "k", body={"state": "finished"})
    assert "run again: 1 (recipe.smoothing 0.1 → nothing);" in outgrown(small_plan, (), ledger)


def test_the_plan_says_it(root: Root, filled: Ledger, tmp_path: Path) -> None:
    shown = preview(small_spec(recipe=DIGITS | {"epochs": 4}), root, Format.TABLE)
    assert shown.endswith("count again where the values do\n")
    assert "with other values" not in preview(small_spec(methods=["scratch"]), root, Format.TABLE)
