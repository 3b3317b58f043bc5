"""What the user sees while a sweep runs."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sweep.cluster.carried import CARRIED, nothing_lost
from sweep.engine import display as displays
from sweep.engine.display import LiveDisplay, PlainDisplay, Progress, for_console, picture
from sweep.ledger.bodies import final_body
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.text import duration
from tests.support.examples import epoch_body, job_of, slot_of, small_spec


def ended(test: float, epochs: int = 3) -> dict[str, Any]:
    return final_body("finished", [epoch_body(epoch, test) for epoch in range(1, epochs + 1)], "validation")


def failure(again: bool) -> dict[str, Any]:
    return {"reason": "ValueError: no [data]", "log": "/runs/[a]/log.txt", "again": again}


DIVERGED = final_body("diverged", [], "validation") | {"reason": "loss term 'kd' became nan at epoch 1, step 1"}


@pytest.fixture
def progress(small_plan: Plan) -> Progress:
    return Progress(small_plan, done=0, epochs_left=small_plan.epochs)


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def plain(screen: io.StringIO, progress: Progress) -> PlainDisplay:
    display = PlainDisplay(Console(file=screen, width=40))
    display.begin(progress)
    return display


# -- progress -----------------------------------------------------------------------------------------------------


def test_epochs_and_trials_are_counted(progress: Progress, small_plan: Plan) -> None:
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    progress.started(job)
    for epoch in (1, 2, 3):
        progress.epoch(job, epoch_body(epoch, 90.0))
        assert progress.epochs_left == small_plan.epochs - epoch
        assert progress.running[job.key][1] == epoch_body(epoch, 90.0)
    progress.ended(job, "finished", ended(90.0))
    assert (progress.done, progress.bad, progress.epochs_left) == (1, 0, small_plan.epochs - 3)
    assert progress.running == {}
    assert progress.accuracies == {("resnet20→resnet8", "kd"): [90.0]}


def test_a_trial_that_diverged_is_done_and_its_other_epochs_are_not_waited_for(
    progress: Progress, small_plan: Plan
) -> None:
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    progress.started(job)
    progress.epoch(job, epoch_body(1, 10.0))
    progress.ended(job, "diverged", DIVERGED)
    assert (progress.done, progress.bad, progress.epochs_left) == (1, 1, small_plan.epochs - 3)
    assert progress.accuracies == {}


def test_a_trial_that_is_tried_again_is_not_done(progress: Progress, small_plan: Plan) -> None:
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    progress.started(job)
    progress.ended(job, "failed", failure(again=True))
    assert (progress.done, progress.bad, progress.epochs_left) == (0, 0, small_plan.epochs)
    progress.started(job)
    progress.ended(job, "failed", failure(again=False))
    assert (progress.done, progress.bad, progress.epochs_left) == (1, 1, small_plan.epochs - 3)


def test_epochs_of_an_earlier_attempt_are_not_counted_twice(progress: Progress, small_plan: Plan) -> None:
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    progress.started(job)
    progress.epoch(job, epoch_body(2, 10.0))
    progress.ended(job, "failed", failure(again=True))
    progress.started(job)
    progress.epoch(job, epoch_body(3, 10.0))  # it went on from its checkpoint
    progress.ended(job, "finished", ended(10.0))
    assert progress.epochs_left == small_plan.epochs - 3


def test_a_trial_that_pauses_runs_no_more_and_keeps_its_epochs(
    plain: PlainDisplay, progress: Progress, screen: io.StringIO, small_plan: Plan
) -> None:
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    plain.started(job)
    plain.epoch(job, epoch_body(1, 90.0))
    plain.paused(job, "to run the longest before it")
    assert (progress.running, progress.done, progress.epochs_left) == ({}, 0, small_plan.epochs - 1)
    assert f"paused {job.slot.name}, to run the longest before it" in screen.getvalue()
    plain.started(job)
    plain.epoch(job, epoch_body(2, 90.0))
    assert progress.epochs_left == small_plan.epochs - 2


def test_a_search_of_another_driver_and_what_it_has_won_are_all_its_trials(screen: io.StringIO) -> None:
    plan = build_plan(small_spec(methods=[{"gdkd": {"w2": {"range": [1, 8]}}}], search={"trials": 5}, seeds=2))
    (cell,) = plan.cells
    progress = Progress(plan, 1, plan.epochs - plan.teachers[0].epochs)
    display = PlainDisplay(Console(file=screen, width=200))
    display.begin(progress)
    won = [cell.slot({"w2": 4.0}, "confirm", seed) for seed in cell.seeds]
    display.searched(cell, len(won))
    assert f"[5/7] searched by another driver: {cell.name}" in screen.getvalue()
    for slot in won:
        display.taken(job_of(plan, slot), "another driver", ended(80.0))
    assert (progress.done, progress.total, progress.epochs_left) == (7, 7, 0)


def test_teachers_are_no_part_of_the_means(progress: Progress, small_plan: Plan) -> None:
    progress.ended(job_of(small_plan, small_plan.teachers[0]), "finished", ended(97.0))
    assert progress.done == 1
    assert progress.accuracies == {}


def test_the_papers_protocol_counts_the_best_epoch() -> None:
    plan = build_plan(small_spec(protocol="paper"))
    progress = Progress(plan, 0, plan.epochs)
    body = final_body("finished", [epoch_body(1, 90.0), epoch_body(2, 80.0)], "paper")
    progress.ended(job_of(plan, slot_of(plan, "kd")), "finished", body)
    assert list(progress.accuracies.values()) == [[90.0]]


def test_time_left_is_told_once_there_is_a_pace_to_judge_by(progress: Progress, small_plan: Plan) -> None:
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    assert progress.eta == ""
    progress.started(job)
    for epoch in (1, 2):
        progress.epoch(job, epoch_body(epoch, 90.0))
        assert progress.eta == ""
    progress.epoch(job, epoch_body(3, 90.0))
    assert re.fullmatch(r"about \d+ s left", progress.eta)


def test_more_epochs_left_take_longer_and_none_take_none(small_plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(displays, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    told = []
    for left in (33, 3, 0):
        progress = Progress(small_plan, 0, left)
        for epoch in (1, 2, 3):
            progress.epoch(job, epoch_body(epoch, 90.0))
            clock[0] += 0 if epoch == 3 else 10
        told.append(progress.eta)
    assert told == ["about 5:00 min left", "about 0 s left", "about 0 s left"]


def test_the_first_epochs_of_trials_that_began_side_by_side_say_nothing_of_the_pace(
    small_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cohort tells of one of each in one moment."""
    clock = [0.0]
    monkeypatch.setattr(displays, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    jobs = [job_of(small_plan, slot_of(small_plan, label)) for label in ("kd", "dhkd α=0.5", "dhkd α=1")]
    progress = Progress(small_plan, 0, 15)
    for job in jobs:
        progress.started(job)
    told = []
    for epoch in range(1, 4):
        clock[0] += 30
        for job in jobs:
            progress.epoch(job, epoch_body(epoch, 90.0))
        told.append(progress.eta)
    assert told == ["", "about 1:30 min left", "about 1:00 min left"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (200, "3:20 min"),
        (3599.4, "59:59 min"),
        (3599.6, "1:00 h"),
        (7500, "2:05 h"),
        (100 * 3600, "100:00 h"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# -- lines --------------------------------------------------------------------------------------------------------


def test_a_finished_trial_is_one_line_however_narrow_the_pipe(
    plain: PlainDisplay, screen: io.StringIO, small_plan: Plan
) -> None:
    job = job_of(small_plan, slot_of(small_plan, "dhkd α=0.5", seed=1))
    plain.started(job)
    plain.epoch(job, epoch_body(1, 90.0))
    plain.tick()
    assert screen.getvalue() == ""
    plain.ended(job, "finished", ended(91.234))
    assert screen.getvalue() == "[1/9] finished resnet20→resnet8 · dhkd α=0.5 · seed 1: test 91.23 (6 s)\n"


def test_failures_say_why_where_the_log_is_and_whether_they_are_tried_again(
    plain: PlainDisplay, screen: io.StringIO, small_plan: Plan
) -> None:
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    for again in (True, False):
        plain.started(job)
        plain.ended(job, "failed", failure(again))
    plain.ended(job_of(small_plan, slot_of(small_plan, "kd", 1)), "diverged", DIVERGED)
    assert screen.getvalue().splitlines() == [
        "failed: resnet20→resnet8 · kd · seed 0: ValueError: no [data] (log: /runs/[a]/log.txt); trying again",
        "failed: resnet20→resnet8 · kd · seed 0: ValueError: no [data] (log: /runs/[a]/log.txt)",
        "diverged: resnet20→resnet8 · kd · seed 1: loss term 'kd' became nan at epoch 1, step 1",
    ]


def test_a_long_silence_is_broken_by_what_is_running(
    plain: PlainDisplay, screen: io.StringIO, small_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(displays, "LINE_SECONDS", -1.0)
    plain.tick()
    first, second = (job_of(small_plan, slot_of(small_plan, "kd", seed)) for seed in (0, 1))
    plain.started(first)
    plain.epoch(first, epoch_body(2, 90.0))
    plain.started(second)
    plain.tick()
    assert screen.getvalue().splitlines() == [
        "[0/9] running nothing yet",
        "[0/9] running resnet20→resnet8 · kd · seed 0 (epoch 2/3), resnet20→resnet8 · kd · seed 1 (epoch 0/3)",
    ]


@pytest.mark.parametrize(("room", "more"), [(8, 0), (7, 1), (3, 5)])
def test_of_many_that_run_some_are_shown_and_the_others_counted(
    plain: PlainDisplay, screen: io.StringIO, small_plan: Plan, monkeypatch: pytest.MonkeyPatch, room: int, more: int
) -> None:
    monkeypatch.setattr(displays, "LINE_SECONDS", -1.0)
    monkeypatch.setattr(displays, "MOST_RUNNING", room)
    students = small_plan.students
    assert len(students) == 8
    for slot in students:
        plain.started(job_of(small_plan, slot))
    plain.tick()
    (line,) = screen.getvalue().splitlines()
    assert line.count("(epoch 0/3)") == room
    assert (f", {more} more" in line) == bool(more)
    console = Console(file=io.StringIO(), width=100)
    console.print(picture(plain.progress))
    rows = console.file.getvalue()  # type: ignore[attr-defined]
    assert rows.count("0/3") == room
    assert (f"and {more} more" in rows) == bool(more)


def test_lines_tell_the_time_left_until_all_is_done(small_plan: Plan, screen: io.StringIO) -> None:
    display = PlainDisplay(Console(file=screen))
    display.begin(Progress(small_plan, done=7, epochs_left=6))
    for seed in (0, 1):
        job = job_of(small_plan, slot_of(small_plan, "kd", seed))
        display.started(job)
        for epoch in (1, 2, 3):
            display.epoch(job, epoch_body(epoch, 90.0))
        display.ended(job, "finished", ended(90.0))
    first, last = screen.getvalue().splitlines()
    assert re.fullmatch(r"\[8/9\] finished .* \(6 s\); about \d+ s left", first)
    assert re.fullmatch(r"\[9/9\] finished .* \(6 s\)", last)


def test_a_display_that_has_ended_still_takes_notes(plain: PlainDisplay, screen: io.StringIO, small_plan: Plan) -> None:
    plain.end()
    plain.tick()
    plain.note("3 events [are] pending")
    plain.started(job_of(small_plan, slot_of(small_plan, "kd")))
    assert screen.getvalue() == "3 events [are] pending\n"


# -- the display that stays in place ------------------------------------------------------------------------------


def test_the_live_display_shows_what_runs_and_the_means_so_far(small_plan: Plan, progress: Progress) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40, record=True)
    live = LiveDisplay(console)
    live.begin(progress)
    for label, seed, test in (("kd", 0, 90.0), ("kd", 1, 92.0), ("dhkd α=0.5", 0, 95.0)):
        job = job_of(small_plan, slot_of(small_plan, label, seed))
        live.started(job)
        live.epoch(job, epoch_body(1, 50.0, val_acc=51.5))
        live.ended(job, "finished", ended(test))
    running = job_of(small_plan, slot_of(small_plan, "dhkd α=1"))
    live.started(running)
    live.started(job_of(small_plan, slot_of(small_plan, "dhkd α=1", 1)))
    live.epoch(running, epoch_body(2, 50.0, val_acc=51.5))
    live.ended(job_of(small_plan, slot_of(small_plan, "scratch")), "failed", failure(again=False))
    console.print(picture(live.progress))
    shown = console.export_text()
    live.tick()
    live.end()
    live.end()
    assert "4/9 trials, 1 failed" in shown
    assert re.search(r"dhkd α=1 · seed 0 +2/3 +1\.000 +51\.50 +50\.00", shown)
    assert re.search(r"dhkd α=1 · seed 1 +0/3", shown)
    assert re.search(r"resnet20→resnet8 · kd +91\.00 +2\b", shown)
    assert shown.index("dhkd α=0.5") < shown.rindex("· kd ")
    assert "failed: resnet20→resnet8 · scratch · seed 0: ValueError: no [data]" in shown
    assert all(len(line) <= 100 for line in shown.splitlines() if "failed: " not in line)


def test_the_live_display_draws_and_leaves_the_terminal_clean(small_plan: Plan, progress: Progress) -> None:
    screen = io.StringIO()
    live = LiveDisplay(Console(file=screen, force_terminal=True, width=100, height=40))
    live.begin(progress)
    assert "0/9 trials" in screen.getvalue()
    live.end()
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1


def test_a_terminal_gets_the_live_display_and_a_pipe_gets_lines() -> None:
    assert isinstance(for_console(Console(file=io.StringIO(), force_terminal=True)), LiveDisplay)
    assert isinstance(for_console(Console(file=io.StringIO())), PlainDisplay)


def test_how_a_stopped_run_goes_on_depends_on_who_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CARRIED, raising=False)
    assert nothing_lost() == "nothing is lost. The same command goes on from here"
    monkeypatch.setenv(CARRIED, "a packed spec")
    assert nothing_lost() == "nothing is lost. Submitted again, it goes on from here"
