"""Where the numbers of a page come from."""

from __future__ import annotations

from typing import Any

from sweep.ledger.bodies import final_body
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.report.history import read
from sweep.report.origin import LISTED, part
from tests.support.examples import begin, epoch_body, job_of, record, slot_of


def noted(**repositories: dict[str, Any]) -> dict[str, Any]:
    """What a driver notes when it begins."""
    machine = {"host": "<here>", "cpu": "Xeon", "gpu": "2 × H100", "driver": "550.54"}
    return {"repositories": repositories, "releases": {"kd-sweep": "0.1.0", "torch": "2.11"}, "machine": machine}


def drive(ledger: Ledger, plan: Plan, **repositories: dict[str, Any]) -> None:
    ledger.append(
        "sweep", body={"spec": "name: small\n", "host": "here", "pid": 1, "provenance": noted(**repositories)}
    )
    ledger.append("plan", body=plan.to_json())


def shown(ledger: Ledger) -> str:
    return part(read(ledger))


def test_a_ledger_of_an_earlier_release_has_no_such_part(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "kd"), [90.0])
    assert part(read(ledger)) == ""


def test_each_run_is_told_with_commits_releases_and_machine(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    drive(ledger, small_plan)
    drive(ledger, small_plan, spec={"commit": "0123456789abcdef", "dirty": True})
    text = shown(ledger)
    assert text.count("<tr>") == 3
    assert "none known" in text
    assert "spec 0123456789ab with changes" in text
    assert "kd-sweep 0.1.0, torch 2.11" in text
    assert "&lt;here&gt;, 2 × H100, Xeon, driver 550.54" in text


def test_the_latest_of_many_runs_are_listed(ledger: Ledger, small_plan: Plan) -> None:
    for _ in range(LISTED + 2):
        drive(ledger, small_plan)
    assert shown(ledger).count("<tr>") == LISTED + 1
    assert f"The last {LISTED} of {LISTED + 2} runs" in shown(ledger)


def test_the_machines_that_trained_are_counted(ledger: Ledger, small_plan: Plan) -> None:
    drive(ledger, small_plan)
    for seed, host in enumerate(("a", "b")):
        job = job_of(small_plan, slot_of(small_plan, "kd", seed))
        record(ledger, small_plan, job.slot, [90.0], "running")
        ended = final_body("finished", [epoch_body(1, 90.0)], small_plan.protocol)
        ledger.append("final", job.key, body=ended | {"ran_on": {"host": host, "cpu": "Xeon"}})
    assert "Trained on: a, Xeon (1); b, Xeon (1)." in shown(ledger)
