"""The training loop in steps of an epoch, and a trial's bad end as its result."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from search_spaces.loader import parse_spec
from sweep.engine.attempt import Attempt
from sweep.engine.job import Job, describe
from sweep.engine.meter import PROCESS_CPU, PROCESS_MEMORY
from sweep.layout import Root
from sweep.plan.code import keep
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.command import LONGEST, SMALL
from tests.support.own import Folder, folder
from trainers.code import unload
from trainers.config import TeacherConfig
from trainers.storage.checkpoint import Checkpoints

__all__ = ["folder"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(parse_spec(SMALL, "spec.yaml"))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "runs")


def job_config(plan: Plan, root: Root, method: str, teacher: TeacherConfig | None = None) -> dict[str, Any]:
    slot = next(slot for slot in plan.slots if slot.method == method)
    return describe(Job(slot, slot.trial(teacher)), plan, root)


def to_the_end(attempt: Attempt) -> list[dict[str, Any]]:
    reports = [attempt.step()]
    while not reports[-1]["done"]:
        reports.append(attempt.step())
    return reports


def test_each_step_is_an_epoch_and_the_last_one_says_that_the_trial_finished(plan: Plan, root: Root) -> None:
    reports = to_the_end(Attempt(job_config(plan, root, "scratch")))
    assert [[epoch["epoch"] for epoch in report["epochs"]] for report in reports] == [[1], [2], [3], [4]]
    assert [report.get("state") for report in reports] == [None, None, None, "finished"]
    assert ["ran_on" in report for report in reports] == [True, False, False, True]  # a trial may not come to its end
    assert reports[0]["ran_on"]["host"] == reports[-1]["ran_on"]["host"] == socket.gethostname()


def test_an_epoch_says_what_it_took_of_the_machine(plan: Plan, root: Root) -> None:
    reports = to_the_end(Attempt(job_config(plan, root, "scratch")))
    for report in reports:
        (epoch,) = report["epochs"]
        assert epoch["system"].keys() == {"cpu_utilization_percentage", PROCESS_CPU, PROCESS_MEMORY}
        assert epoch["system"][PROCESS_MEMORY]["peak"] > 50  # torch alone is more
    assert not [thread for thread in threading.enumerate() if thread.name == "meter"]


def test_a_resumed_trial_reports_its_earlier_epochs_along_with_the_first_new_one(plan: Plan, root: Root) -> None:
    config = job_config(plan, root, "scratch")
    first = Attempt(config)
    before = [first.step(), first.step()]
    resumed = to_the_end(Attempt(config))
    assert [[epoch["epoch"] for epoch in report["epochs"]] for report in resumed] == [[1, 2, 3], [4]]
    assert [epoch["test_acc"] for epoch in resumed[0]["epochs"][:2]] == [r["epochs"][0]["test_acc"] for r in before]


def test_a_resumed_trial_that_breaks_reports_its_earlier_epochs_all_the_same(plan: Plan, root: Root) -> None:
    config = job_config(plan, root, "scratch")
    first = Attempt(config)
    before = [first.step()["epochs"][0]["test_acc"] for _ in range(2)]
    checkpoints = Checkpoints(Path(config["folder"]) / "checkpoints")
    state = checkpoints.newest()
    assert state is not None
    for tensor in state["distiller"].values():
        tensor.fill_(float("nan") if tensor.is_floating_point() else 0)
    checkpoints.save(2, state)
    report = Attempt(config).step()
    assert (report["state"], report["done"], report["ran_on"]["host"]) == ("diverged", True, socket.gethostname())
    assert [epoch["test_acc"] for epoch in report["epochs"]] == before


@pytest.mark.slow(1)
def test_a_teacher_killed_between_its_last_checkpoint_and_its_report_still_finishes(plan: Plan, root: Root) -> None:
    config = job_config(plan, root, "teacher")
    stored = to_the_end(Attempt(config))[-1]["teacher"]
    shutil.rmtree(root.teachers)
    again = Attempt(config).step()
    assert (again["state"], again["done"], again["teacher"]) == ("finished", True, stored)
    assert (root.teachers / stored["hash"] / "passport.json").exists()


def test_an_error_is_the_trials_result_with_a_log(plan: Plan, root: Root) -> None:
    missing = TeacherConfig(architecture="resnet14", hash="0123456789abcdef")
    report = Attempt(job_config(plan, root, "kd", missing)).step()
    assert (report["state"], report["done"], report["ran_on"]["host"]) == ("failed", True, socket.gethostname())
    assert report["reason"].startswith("CheckpointError: ")
    assert "Traceback" in Path(report["log"]).read_text()


@pytest.mark.slow
def test_a_trial_that_runs_out_of_memory_says_so_and_leaves_its_worker_fit_for_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.short_of_memory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stderr
    large, small = map(json.loads, done.stdout.splitlines())
    assert (large["state"], large["epochs"], large["done"]) == ("out-of-memory", [], True)
    assert "can't allocate memory" in large["reason"]
    assert "a smaller recipe.batch_size" in large["reason"]
    assert "Traceback" in Path(large["log"]).read_text()
    assert (small["state"], len(small["epochs"])) == ("finished", 1)


def test_an_error_whose_log_cannot_be_written_is_reported_all_the_same(plan: Plan, root: Root) -> None:
    config = job_config(plan, root, "scratch")
    folder = Path(config["folder"])
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    report = Attempt(config).step()
    assert (report["state"], report["log"]) == ("failed", "")
    assert "StorageError: cannot write" in report["reason"]


def test_other_data_under_the_same_name_is_refused(plan: Plan, root: Root) -> None:
    config = job_config(plan, root, "scratch")
    config["trial"]["dataset"]["content"] = "fedcba9876543210"
    report = Attempt(config).step()
    assert report["state"] == "failed"
    assert "is not the one the plan was made with" in report["reason"]


OWN = """
import torch
from trainers import method
from trainers.errors import InputError

@method("ended", teacher_needs="nothing")
def ended(student, epoch):
    if epoch == 2:
        raise {raised}
    return student.square().mean()

@method("float64", teacher_needs="nothing")
def float64(student, epoch):
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(epoch < 2)
    return student.square().mean()
"""


def own(folder: Folder, root: Root, method: str, raised: str = "SystemExit(3)") -> dict[str, Any]:
    """A job of a method of the user's."""
    folder.write(mine=OWN.format(raised=raised))
    spec = folder.spec(["mine.py"], methods=["ended", "float64"])
    keep(spec.code, root)
    return job_config(build_plan(spec), root, method)


@pytest.mark.parametrize("raised", ["SystemExit(3)", "GeneratorExit", "type('Own', (BaseException,), {})('so')"])
def test_a_loss_that_would_end_the_process_ends_its_trial_alone(folder: Folder, root: Root, raised: str) -> None:
    report = to_the_end(Attempt(own(folder, root, "ended", raised)))[-1]
    assert report["state"] == "failed"
    assert "mine.py:9: " in report["reason"]


@pytest.mark.parametrize(("raised", "vain"), [("ZeroDivisionError", None), ("InputError('no loss')", True)])
def test_another_attempt_is_in_vain_where_the_input_is_wrong(
    folder: Folder, root: Root, raised: str, vain: bool | None
) -> None:
    report = to_the_end(Attempt(own(folder, root, "ended", raised)))[-1]
    assert (report["state"], report.get("vain")) == ("failed", vain)


def test_a_machine_that_has_other_code_may_have_a_neighbour_that_has_not(folder: Folder, root: Root) -> None:
    job = own(folder, root, "ended")
    Path(job["code"]).unlink()
    report = Attempt(job).step()
    assert "the sweep's own code is missing here" in report["reason"]
    assert "vain" not in report


@pytest.mark.parametrize("edited", ["raise RuntimeError('edited')", None], ids=["edited", "deleted"])
def test_a_worker_that_starts_later_trains_what_was_planned(folder: Folder, root: Root, edited: str | None) -> None:
    job = own(folder, root, "ended", "ValueError('as planned')")
    unload()
    if edited is None:
        (folder.path / "mine.py").unlink()
    else:
        folder.write(mine=edited)
    reports = to_the_end(Attempt(job))
    assert [len(report["epochs"]) for report in reports] == [1, 0]
    assert reports[-1]["reason"].endswith("ValueError: as planned")


def test_what_a_loss_changes_of_torch_does_not_outlast_its_epoch(folder: Folder, root: Root) -> None:
    before = torch.get_num_threads()
    attempt = Attempt(own(folder, root, "float64") | {"cpus": before + 1})
    try:
        assert not attempt.step()["done"]
        assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, before + 1)
        assert attempt.step()["state"] == "failed"
        assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    finally:
        torch.set_num_threads(before)
