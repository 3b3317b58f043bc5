"""The shape of what the ledger holds of a trial."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sweep.ledger.bodies import final_body, start_body, stored_teacher_body
from sweep.plan.slots import Plan
from tests.support.examples import epoch_body, job_of, slot_of
from trainers.config import TrialConfig
from trainers.teacher.passport import Passport


def epochs(test: list[float], val: list[float] | None = None) -> list[dict[str, Any]]:
    vals: list[Any] = val or [None] * len(test)
    return [epoch_body(n, t, v) for n, (t, v) in enumerate(zip(test, vals, strict=True), start=1)]


def test_a_start_names_the_slot_and_holds_the_whole_config(small_plan: Plan) -> None:
    job = job_of(small_plan, slot_of(small_plan, "dhkd α=0.5", seed=1))
    body = json.loads(json.dumps(start_body(job.slot, job.trial)))
    config = body.pop("config")
    assert body == {
        "slot": job.slot.id,
        "name": "resnet20→resnet8 · dhkd α=0.5 · seed 1",
        "stage": "confirm",
        "pair": "resnet20→resnet8",
        "method": "dhkd",
        "label": "dhkd α=0.5",
        "row": "dhkd α=0.5",
        "recipe": "digits",
        "seed": 1,
    }
    assert TrialConfig.model_validate(config).key == job.key
    assert start_body(job.slot, job.trial, 0.5)["devices"] == 0.5


def test_the_best_epoch_is_chosen_on_validation_where_there_is_one() -> None:
    body = final_body("finished", epochs(test=[90, 80, 70], val=[10, 30, 20]), "validation")
    assert body["best_by"] == "val_acc"
    assert (body["best"]["epoch"], body["best"]["test_acc"]) == (2, 80)
    assert (body["last"]["epoch"], body["last"]["test_acc"]) == (3, 70)
    assert (body["state"], body["epochs"], body["seconds"]) == ("finished", 3, 6.0)


def test_the_test_set_chooses_the_best_epoch_under_the_papers_protocol_only() -> None:
    body = final_body("finished", epochs(test=[70, 90, 80]), "paper")
    assert body["best_by"] == "test_acc"
    assert body["best"]["epoch"] == 2
    body = final_body("finished", epochs(test=[70, 90, 80]), "validation")
    assert body["best_by"] == "epoch"
    assert body["best"] == body["last"]


@pytest.mark.parametrize("val", [None, [50.0, 60.0, 60.0]])
def test_of_equal_epochs_the_first_is_the_best(val: list[float] | None) -> None:
    protocol = "paper" if val is None else "validation"
    assert final_body("finished", epochs(test=[70, 80, 80], val=val), protocol)["best"]["epoch"] == 2


def test_a_trial_that_diverged_in_its_first_epoch_has_no_numbers() -> None:
    assert final_body("diverged", [], "validation") == {"state": "diverged", "epochs": 0, "seconds": 0.0}


def test_a_stored_teacher_is_finished_at_no_cost(small_plan: Plan) -> None:
    config = small_plan.teachers[0].trial()
    passport = Passport(
        hash="0123456789abcdef",
        architecture="resnet20",
        num_classes=10,
        dataset=config.dataset,
        origin=config,
        origin_key=config.key,
        val_acc=97.0,
        test_acc=98.0,
        probe_acc=98.1,
        file_sha256="",
    )
    body = stored_teacher_body(passport)
    assert (body["state"], body["epochs"], body["seconds"]) == ("finished", 0, 0.0)
    assert body["last"] == body["best"] == {"epoch": 3, "val_acc": 97.0, "test_acc": 98.0}
    assert body["teacher"] == {"architecture": "resnet20", "hash": "0123456789abcdef"}
    assert set(final_body("finished", epochs(test=[1.0]), "validation")) | {"teacher"} == set(body)
