"""Whole sweeps through the command that a user types: real Ray, real training, real MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweep.ledger.store import Event
from tests.sweep.command import SMALL, User, repeated, workers
from tests.sweep.undisturbed import LOGGED, undisturbed
from trainers.config import TeacherConfig, TrialConfig
from trainers.data import DATASETS
from trainers.fit import fit
from trainers.storage.checkpoint import Checkpoints, from_bytes
from trainers.teacher.store import TeacherStore

pytestmark = pytest.mark.slow

TRIALS = 9

__all__ = ["undisturbed"]


def copy_of(user: User, folder: Path) -> User:
    """Another user with the same sweep behind them."""
    other = User(folder, LOGGED)
    shutil.copytree(user.root.path, other.root.path)
    return other


def same_table(left: User, right: User) -> bool:
    return left.leaderboard() == right.leaderboard() and left.numbers() == right.numbers()


def started(user: User) -> list[str | None]:
    return [event.trial for event in user.events("start")]


def test_a_sweep_ends_with_a_table_a_figure_and_the_way_to_browse(undisturbed: User) -> None:
    out = (undisturbed.folder / "first.txt").read_text()
    for expected in ("scratch", "kd", "dhkd α=0.5", "dhkd α=2", "Δ kd", "9 finished", "figure", "sweep ui"):
        assert expected in out
    assert "ray" not in out.lower()
    assert undisturbed.root.sweep("small").figure.read_bytes().startswith(b"\x89PNG")


def test_everything_lies_below_the_root_and_checkpoints_of_finished_trials_are_gone(undisturbed: User) -> None:
    assert list(undisturbed.home.iterdir()) == []
    assert {path.name for path in undisturbed.folder.iterdir()} == {"home", "runs", "spec.yaml", "first.txt"}
    trials = list((undisturbed.root.sweep("small").folder / "trials").iterdir())
    assert len(trials) == TRIALS
    assert all([path.name for path in trial.iterdir()] == ["weights.pt"] for trial in trials)


def test_a_teacher_is_trained_once_and_its_students_follow_it_without_a_barrier(undisturbed: User) -> None:
    events = undisturbed.events("start", "final")
    teacher = next(event for event in events if event.kind == "start" and event.body["stage"] == "teacher")
    ready = next(event for event in events if event.kind == "final" and event.trial == teacher.trial)
    students = [event for event in events if event.kind == "start" and event.body["config"]["teacher"]]
    assert len(students) == 6
    assert all(event.seq > ready.seq for event in students)
    assert {event.body["config"]["teacher"]["hash"] for event in students} == {ready.body["teacher"]["hash"]}
    scratch = [event for event in events if event.kind == "start" and event.body["method"] == "scratch"]
    assert min(event.seq for event in scratch) < ready.seq


def test_workers_are_reused(undisturbed: User) -> None:
    ends: list[Event] = undisturbed.events("final")
    assert len(ends) == TRIALS
    gaps = sorted(later.time - earlier.time for earlier, later in pairwise(ends))
    start_up = ends[0].time - undisturbed.events("plan")[0].time
    assert gaps[len(gaps) // 2] < start_up / 2  # a worker of its own for each trial would load torch each time


def test_workers_that_wait_for_a_teacher_are_kept(undisturbed: User) -> None:
    starts = undisturbed.events("start")
    teacher = next(event.trial for event in starts if event.body["stage"] == "teacher")
    ready = next(event.time for event in undisturbed.events("final") if event.trial == teacher)
    first, second = [event.time for event in starts if event.body["config"]["teacher"]][:2]
    start_up = starts[0].time - undisturbed.events("plan")[0].time
    assert max(first, second) - ready < start_up / 2


def test_a_trial_has_the_numbers_that_it_has_alone(undisturbed: User) -> None:
    """Beside another, on a worker that ran others before, with a bank that others filled; and here."""
    last = [event for event in undisturbed.events("start") if event.body["config"]["teacher"]][-1]
    trial = TrialConfig.model_validate(last.body["config"])
    data = DATASETS["digits"].model_validate({"image_size": 8}).load()
    teacher = TeacherStore(undisturbed.root.teachers).load(TeacherConfig.model_validate(trial.teacher), data)
    alone = {(trial.key, epoch.epoch): repeated(asdict(epoch)) for epoch in fit(trial, data=data, teacher=teacher)}
    assert len(alone) == 4
    assert alone == {place: numbers for place, numbers in undisturbed.numbers().items() if place in alone}


def test_exported_students_carry_no_auxiliary_head(undisturbed: User) -> None:
    for start in undisturbed.events("start"):
        path = undisturbed.root.sweep("small").trial(start.trial or "") / "weights.pt"
        weights = from_bytes(path.read_bytes(), str(path))
        assert weights["architecture"] in ("resnet8", "resnet14")
        assert not [key for key in weights["state_dict"] if "aux" in key or "net." in key]


def test_mlflow_holds_one_parent_and_every_trial_under_it(undisturbed: User) -> None:
    client = MlflowClient(f"sqlite:///{undisturbed.root.mlflow_database}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["sweep.key"] == "sweep"]
    nested = [run for run in runs if run.data.tags["sweep.key"] != "sweep"]
    assert len(parents) == 1
    assert len(nested) == TRIALS
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parents[0].info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "| dhkd α=2 |" in parents[0].data.tags["mlflow.note.content"]
    assert {model.name for model in client.search_logged_models([experiment.experiment_id])} == {
        "resnet14-teacher",
        "resnet8-scratch",
        "resnet8-kd",
        "resnet8-dhkd",
    }
    assert [model.name for model in client.search_registered_models()] == ["resnet14-digits"]
    files = {file.path for file in client.list_artifacts(parents[0].info.run_id)}
    assert files == {"figure-small.png", "figure.png", "leaderboard.json", "leaderboard.md", "report.html", "spec.yaml"}
    run = next(run for run in nested if run.data.tags["label"] == "dhkd α=2" and run.data.tags["seed"] == "1")
    assert run.info.run_name == "resnet14→resnet8 · dhkd α=2 · seed 1"
    assert run.data.params["alpha"] == "2.0"
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"
    curve = client.get_metric_history(run.info.run_id, "test_acc")
    assert [point.step for point in curve] == [1, 2, 3, 4]
    ledger = [body["test_acc"] for (key, _), body in undisturbed.numbers().items() if key == run.data.tags["sweep.key"]]
    assert [point.value for point in curve] == ledger


def test_running_again_prints_the_table_and_runs_nothing(undisturbed: User) -> None:
    before = started(undisturbed)
    done = undisturbed.sweep("run", "spec.yaml")
    assert done.code == 0, done.err
    assert started(undisturbed) == before
    table = (undisturbed.folder / "first.txt").read_text().partition("small on digits")[2]
    assert done.out.partition("small on digits")[2] == table


def test_ctrl_c_a_killed_worker_and_an_absent_tracking_server_cost_no_number(undisturbed: User, tmp_path: Path) -> None:
    user = User(tmp_path / "user")
    away = ("--tracking-uri", "http://me:secret@127.0.0.1:9")
    process = user.start("run", "spec.yaml", *away)
    user.wait_for(lambda: len(user.events("plan")) == 1, process)
    second = user.sweep("run", "spec.yaml")
    assert second.code == 2
    assert f"sweep 'small' is already running: process {process.pid} on " in second.err
    assert "running: process" in user.sweep("status").out
    user.wait_for(lambda: len(user.events("epoch")) >= 6, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole process group
    done = user.end(process)
    assert done.code == 130
    assert "The same command goes on from here" in done.out
    assert "Traceback" not in done.err
    assert len(user.events("final")) < TRIALS
    waiting = user.sweep("status")
    assert "interrupted" in waiting.out

    process = user.start("run", "spec.yaml", *away)
    epochs = len(user.events("epoch"))
    user.wait_for(lambda: len(user.events("epoch")) >= epochs + 3 and bool(workers(process.pid)), process)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    done = user.end(process)
    assert done.code == 0, done.out + done.err
    assert "its worker died" in done.out
    assert "trying again" in done.out
    assert done.out.count("is away") == 1
    assert "sync small --tracking-uri http://***@127.0.0.1:9" in done.out
    assert "secret" not in done.out + done.err
    assert same_table(user, undisturbed)
    synced = user.sweep("sync", "small")
    assert synced.code == 0, synced.err
    assert f"{len(user.events())} events of 'small' delivered" in synced.out
    client = MlflowClient(f"sqlite:///{user.root.mlflow_database}")
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    assert len(runs) == TRIALS + 1
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_what_goes_wrong_with_a_trial_stays_its_own_and_a_longer_spec_runs_only_what_is_new(
    undisturbed: User, tmp_path: Path
) -> None:
    user = copy_of(undisturbed, tmp_path / "user")
    longer = SMALL.replace("seeds: 2", "seeds: 3")
    user.write(longer)
    before = user.events()

    # a damaged teacher is refused
    weights = next(user.root.teachers.glob("*/weights.pt"))
    whole = from_bytes(weights.read_bytes(), "whole")["state_dict"]
    weights.write_bytes(weights.read_bytes()[:1000])
    done = user.sweep("run", "spec.yaml")
    assert done.code == 2
    assert "is damaged" in done.err
    assert f"remove the folder {weights.parent.relative_to(user.folder)}" in done.err
    assert "Traceback" not in done.err
    assert user.events() == before
    shutil.rmtree(weights.parent)

    # a trial that raises fails alone, and says why
    scratch = next(event.body["config"] for event in user.events("start") if event.body["method"] == "scratch")
    failing = TrialConfig.model_validate(scratch | {"seed": 2}).key
    strange = user.root.sweep("small").trial(failing) / "checkpoints"
    foreign = {"key": "another trial", "distiller": {}, "optimizer": {}, "history": []}
    Checkpoints(strange).save(1, foreign)
    done = user.sweep("run", "spec.yaml")
    assert done.code == 1
    again = from_bytes(weights.read_bytes(), "again")["state_dict"]  # the teacher is trained anew
    assert all(bool((again[name] == tensor).all()) for name, tensor in whole.items())
    assert "trying again" in done.out
    assert "CheckpointError: the folder holds checkpoints of trial another trial" in done.out
    log = strange.parent / "log.txt"
    assert str(log) in done.out.replace("\n", "")
    assert "Traceback" in log.read_text()
    new = [event for event in user.events("start") if event.seq > before[-1].seq]
    assert sorted(event.body["label"] for event in new if event.trial != failing) == ["dhkd α=0.5", "dhkd α=2", "kd"]
    assert {event.body["seed"] for event in new} == {2}
    rows = {row["label"]: row for row in user.leaderboard()}
    assert (rows["scratch"]["n"], rows["scratch"]["missing"]) == (2, 1)
    assert (rows["kd"]["n"], rows["kd"]["missing"]) == (3, 0)
    client = MlflowClient(f"sqlite:///{user.root.mlflow_database}")
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id], f"tags.`sweep.key` = '{failing}'")
    assert [run.info.status for run in runs] == ["FAILED"]
    assert "holds checkpoints of trial" in runs[0].data.tags["reason"]

    # the next run tries it again, beside one that diverges, which is a result with a reason
    shutil.rmtree(strange)
    user.write(longer.replace("[0.5, 2]", "[0.5, 2, 1.0e+39]"))
    done = user.sweep("run", "spec.yaml")
    assert done.code == 1, done.out
    assert "diverged: resnet14→resnet8 · dhkd α=1e+39 · seed 0: loss term 'loss' became" in done.out
    assert "3 diverged" in done.out
    assert "loss term 'loss' became" in user.sweep("status", "--format", "csv").out
    assert {row["label"]: row["n"] for row in user.leaderboard()}["scratch"] == 3
    assert user.numbers().items() >= undisturbed.numbers().items()
    starts = started(user)
    assert user.sweep("run", "spec.yaml").code == 1
    assert started(user) == starts  # it would diverge again


def test_a_full_disk_stops_the_sweep_with_one_message(undisturbed: User, tmp_path: Path) -> None:
    user = User(tmp_path / "user")
    user.root.path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(user.root.path)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no permission to mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        done = user.sweep("run", "spec.yaml")
        assert done.code in (1, 2), done.out
        assert "Traceback" not in done.err + done.out
        assert "No space left" in done.err + done.out or "full" in done.err + done.out
        subprocess.run(["mount", "-o", "remount,size=200m", str(user.root.path)], check=True)
        again = user.sweep("run", "spec.yaml")
        assert again.code == 0, again.err
        assert same_table(user, undisturbed)
    finally:
        subprocess.run(["umount", "-l", str(user.root.path)], check=True)
