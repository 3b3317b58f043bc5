"""The adaptor from an attempt to Ray's steps, without Ray running."""

from __future__ import annotations

from sweep.engine.trainable import TrialTrainable
from sweep.layout import Root
from sweep.plan.slots import Plan
from tests.sweep.engine.test_attempt import job_config, plan
from trainers.config import TeacherConfig

__all__ = ["plan"]


def test_a_worker_takes_one_job_after_the_other(plan: Plan, root: Root) -> None:
    worker = TrialTrainable(job_config(plan, root, "teacher") | {"beside": []})
    while not (result := worker.step())["done"]:
        pass
    ((_, report),) = result["reports"]
    taught = TeacherConfig.model_validate(report["teacher"])
    assert worker.reset_config(job_config(plan, root, "kd", taught) | {"beside": []})
    ((_, report),) = worker.step()["reports"]
    assert [epoch["epoch"] for epoch in report["epochs"]] == [1]
    assert set(report["epochs"][0]["terms"]) == {"ce", "kd"}
