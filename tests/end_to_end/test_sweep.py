"""Whole sweeps through the command that a user types: real Ray, real training, real MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from search_spaces.loader import parse_spec
from sweep.ledger.store import Event
from sweep.plan.expand import build_plan
from tests.support.command import SMALL, User, repeated, workers
from tests.support.examples import job_of, slot_of
from tests.support.tracked import client_of
from tests.support.undisturbed import undisturbed
from trainers.config import TeacherConfig, TrialConfig
from trainers.data import DATASETS
from trainers.fit import fit
from trainers.storage.checkpoint import Checkpoints, from_bytes
from trainers.teacher.store import TeacherStore

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = pytest.mark.slow(5)

TRIALS = 9

__all__ = ["undisturbed"]


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
    client = client_of(f"sqlite:///{undisturbed.root.mlflow_database}")
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


@pytest.mark.slow(180)
def test_what_breaks_a_sweep_costs_no_number_and_what_goes_wrong_with_a_trial_stays_its_own(
    request: pytest.FixtureRequest, new_store: Callable[[str], str], tmp_path: Path
) -> None:
    """One story, of one sweep: the start of each Ray takes longer than the training."""
    user, tracked = User(tmp_path / "user"), new_store("tracked.db")
    user.root.path.mkdir()
    with small_disk(user.root.path) as refused:
        if not refused:
            a_full_disk_stops_the_sweep_with_one_message(user)
        failing = a_trial_fails_alone_before_ctrl_c(user)
        events_are_delivered_later(user, tracked, failing)
        with a_damaged_teacher_is_refused(user) as weights:
            a_worker_dies_a_trial_diverges_and_the_tracking_server_is_away(user, weights)
        undisturbed: User = request.getfixturevalue("undisturbed")  # at the end, when others have made it
        the_table_is_the_undisturbed_one_and_the_diverged(user, undisturbed)
        what_has_ended_is_not_run_again(user, tracked)
    if refused:
        pytest.skip(f"all but the full disk, as there is no permission to mount a small file system: {refused}")


@contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """A file system of a few hundred kB; yields why there is none where that is not permitted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    try:
        yield mounted.stderr.strip() or "no reason" if mounted.returncode != 0 else ""
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def a_full_disk_stops_the_sweep_with_one_message(user: User) -> None:
    done = user.sweep("run", "spec.yaml")
    assert done.code in (1, 2), done.out
    assert "Traceback" not in done.err + done.out
    assert "No space left" in done.err + done.out or "full" in done.err + done.out
    subprocess.run(["mount", "-o", "remount,size=200m", str(user.root.path)], check=True)


def a_trial_fails_alone_before_ctrl_c(user: User) -> str:
    """The failing trial's key: its folder holds what it cannot go on from."""
    plan = build_plan(parse_spec(SMALL, "spec.yaml"))
    failing = job_of(plan, slot_of(plan, "scratch")).key
    strange = user.root.sweep("small").trial(failing) / "checkpoints"
    foreign = {"key": "another trial", "distiller": {}, "optimizer": {}, "history": []}
    Checkpoints(strange).save(1, foreign)

    plans = len(user.events("sweep")) if user.root.sweep("small").ledger.exists() else 0
    process = user.start("run", "spec.yaml", *AWAY)
    user.wait_for(lambda: len(user.events("sweep")) == plans + 1, process)
    second = user.sweep("run", "spec.yaml")
    assert second.code == 2
    assert f"sweep 'small' is already running: process {process.pid} on " in second.err
    assert "running: process" in user.sweep("status").out
    wanted = {job_of(plan, slot).key for slot in (slot_of(plan, "scratch", seed=1), plan.teachers[0])}
    user.wait_for(lambda: wanted <= ended(user) and len(user.events("epoch")) >= 8, process)  # students have begun
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole process group
    done = user.end(process)
    assert done.code == 130
    assert "The same command goes on from here" in done.out
    assert "Traceback" not in done.err
    assert "trying again" in done.out
    assert "CheckpointError: the folder holds checkpoints of trial another trial" in done.out
    log = strange.parent / "log.txt"
    assert str(log) in done.out.replace("\n", "")
    assert "Traceback" in log.read_text()
    assert {event.trial for event in user.events("failed")} == {failing}
    assert [event.body["again"] for event in user.events("failed")][-1] is False
    assert len(user.events("final")) < TRIALS - 1
    assert "interrupted" in user.sweep("status").out
    rows = {row["label"]: row for row in user.leaderboard()}
    assert (rows["scratch"]["n"], rows["scratch"]["missing"]) == (1, 1)
    shutil.rmtree(strange)
    return failing


def events_are_delivered_later(user: User, tracked: str, failing: str) -> None:
    synced = user.sweep("sync", "small", "--tracking-uri", tracked)
    assert synced.code == 0, synced.err
    assert f"{len(user.events())} events of 'small' delivered" in synced.out
    (run,) = runs_of(tracked, f"tags.`sweep.key` = '{failing}'")
    assert run.info.status == "FAILED"
    assert "holds checkpoints of trial" in run.data.tags["reason"]


@contextmanager
def a_damaged_teacher_is_refused(user: User) -> Iterator[Path]:
    """It is trained anew in what follows, to the file that is yielded."""
    before = user.events()
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
    yield weights
    again = from_bytes(weights.read_bytes(), "again")["state_dict"]
    assert all(bool((again[name] == tensor).all()) for name, tensor in whole.items())


def a_worker_dies_a_trial_diverges_and_the_tracking_server_is_away(user: User, teacher: Path) -> None:
    """And the spec is longer than before."""
    before, over = user.events()[-1].seq, ended(user)
    user.write(DIVERGING)
    process = user.start("run", "spec.yaml", *AWAY)
    user.wait_for(teacher.exists, process)
    epochs = len(user.events("epoch"))
    user.wait_for(lambda: len(user.events("epoch")) >= epochs + 3 and bool(workers(process.pid)), process)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    done = user.end(process)
    assert done.code == 1, done.out + done.err
    assert "its worker died" in done.out
    assert "trying again" in done.out
    assert "diverged: resnet14→resnet8 · dhkd α=1e+39 · seed 0: loss term 'loss' became" in done.out
    assert "2 diverged" in done.out
    assert done.out.count("is away") == 1
    assert "sync small --tracking-uri 'http://***@127.0.0.1:9'" in done.out
    assert "secret" not in done.out + done.err
    assert "loss term 'loss' became" in user.sweep("status", "--format", "csv").out
    new = {event.trial: event.body for event in user.events("start") if event.seq > before}
    assert not new.keys() & over
    assert sorted(body["seed"] for body in new.values() if body["label"] == DIVERGED) == [0, 1]


def the_table_is_the_undisturbed_one_and_the_diverged(user: User, undisturbed: User) -> None:
    assert [row for row in user.leaderboard() if row["label"] != DIVERGED] == undisturbed.leaderboard()
    diverged = {event.trial for event in user.events("final") if event.body["state"] == "diverged"}
    numbers = {place: body for place, body in user.numbers().items() if place[0] not in diverged}
    assert numbers == undisturbed.numbers()


def what_has_ended_is_not_run_again(user: User, tracked: str) -> None:
    """Those that diverged would do so again. The tracking server is told the rest."""
    starts = started(user)
    assert user.sweep("run", "spec.yaml", "--tracking-uri", tracked).code == 1
    assert started(user) == starts
    runs = runs_of(tracked)
    assert len(runs) == TRIALS + 2 + 1
    failed = [run.data.tags["label"] for run in runs if run.info.status != "FINISHED"]
    assert failed == [DIVERGED] * 2


AWAY = ("--tracking-uri", "http://me:secret@127.0.0.1:9")
DIVERGED = "dhkd α=1e+39"
DIVERGING = SMALL.replace("[0.5, 2]", "[0.5, 2, 1.0e+39]")


def ended(user: User) -> set[str | None]:
    return {event.trial for event in user.events("final")}


def runs_of(tracked: str, query: str = "") -> list[Run]:
    """Of the sweep, as MLflow has them."""
    client = client_of(tracked)
    return list(client.search_runs([client.get_experiment_by_name("small").experiment_id], query))
