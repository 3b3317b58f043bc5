"""What a login node says of a sweep's job, with stand-ins for squeue and scancel."""

from __future__ import annotations

import json
import os
import shlex
import socket
from pathlib import Path

import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.slurm import jobs
from tests.support.command import Done, User
from tests.support.examples import begin, small_spec

STAND_IN = """\
#!/bin/sh
echo "$0 $*" | sed 's:.*/::' >> {folder}/asked.txt
cat {folder}/says.txt
[ ! -s {folder}/error.txt ] || {{ cat {folder}/error.txt >&2; exit 1; }}
"""
RUNS = "17|RUNNING|n3|1:30:00|None\n"
WAITS = "17|PENDING||2:00:00|Priority\n"


class Login(User):
    """Somebody on a login node."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.says("")
        for name in ("squeue", "scancel"):
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(STAND_IN.format(folder=shlex.quote(str(folder))))
            program.chmod(0o755)

    def says(self, text: str, error: str = "") -> None:
        """What the stand-ins say from now on."""
        (self.folder / "says.txt").write_text(text)
        (self.folder / "error.txt").write_text(error)

    def types(self, *words: str) -> Done:
        return self.in_process(*words, PATH=f"{self.folder / 'bin'}:{os.environ['PATH']}")

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked.txt").read_text().splitlines()

    def has_run(self, host: str) -> None:
        """A ledger, and the lock of a driver of some host."""
        paths = self.root.sweep("small")
        with Ledger(paths.ledger) as ledger:
            begin(ledger, build_plan(small_spec()))
        paths.lock.write_text(json.dumps({"host": host, "pid": 1, "since": "today"}))

    def prints(self, file: str, text: str) -> None:
        path = self.root.path / "slurm" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def login(tmp_path: Path) -> Login:
    user = Login(tmp_path / "a user's")
    jobs.note(user.root, "small", "17")
    return user


def test_what_slurm_says_stands_before_what_the_ledger_says(login: Login) -> None:
    login.has_run(host=socket.gethostname())
    login.says(RUNS)
    done = login.types("status", "small")
    first, second, *_ = done.out.splitlines()
    assert first == "Slurm's job 17: running on n3, 1:30:00 left"
    assert second.startswith("small on digits: ")
    assert login.asked == ["squeue --noheader --jobs=17 --format=%i|%T|%N|%L|%r"]
    assert "Slurm" not in login.types("status", "small", "--format", "json").out


def test_a_ledger_that_another_machine_writes_is_not_opened(login: Login) -> None:
    login.has_run(host="elsewhere")
    login.prints("small-17.log", "[1/9] finished a\n[2/9] finished b; about 3 s left\n")
    login.says(RUNS)
    before = sorted(login.root.sweep("small").folder.iterdir())
    done = login.types("status", "small")
    assert done.out.splitlines() == [
        "Slurm's job 17: running on n3, 1:30:00 left",
        "small-17.log: [2/9] finished b; about 3 s left",
    ]
    assert sorted(login.root.sweep("small").folder.iterdir()) == before


@pytest.mark.parametrize(
    ("says", "error", "first"),
    [
        (WAITS, "", "Slurm's job 17: pending (Priority)"),
        ("", "", "Slurm's job 17: has ended"),
        ("", "slurm_load_jobs error: Invalid job id specified", "Slurm's job 17: has ended"),
    ],
)
def test_what_waits_or_has_ended_is_read_from_the_ledger(login: Login, says: str, error: str, first: str) -> None:
    login.has_run(host="elsewhere")
    login.says(says, error)
    lines = login.types("status").out.splitlines()
    assert lines[0] == first
    assert lines[1].startswith("small on digits: ")


def test_a_job_that_has_not_begun_needs_no_ledger(login: Login) -> None:
    login.says(WAITS)
    done = login.types("status", "small")
    assert (done.code, done.out) == (0, "Slurm's job 17: pending (Priority)\n")


def test_where_slurm_is_away_the_ledger_is_read_all_the_same(login: Login) -> None:
    login.has_run(host="elsewhere")
    login.says("", "Unable to contact slurm controller")
    done = login.types("status", "small")
    assert done.out.startswith("small on digits: ")
    assert done.err == "squeue: Unable to contact slurm controller\n"


def test_logs_are_those_of_the_job_and_of_all_of_an_array(login: Login) -> None:
    login.prints("small-17_2.log", "two\n")
    login.prints("small-17_10.log", "ten\n")
    login.prints("small-16.log", "an earlier one\n")
    login.prints("small-171.log", "another one\n")
    assert login.types("logs", "small").out == "two\nten\n"
    refused = login.types("logs", "small", "-f")
    assert refused.code == 2
    assert "small-17_2.log" in refused.err


def test_a_job_that_runs_is_told_to_end_after_its_epochs_and_one_that_waits_does_not_begin(login: Login) -> None:
    login.says(RUNS.replace("17|", "17_1|") + WAITS.replace("17|", "17_[2-4]|"))
    done = login.types("cancel", "small")
    assert done.code == 0, done.err
    assert login.asked[1:] == ["scancel --state=PENDING 17", "scancel --batch --signal=TERM 17"]
    assert "17_1: running on n3, 1:30:00 left: told to stop after its epochs" in done.out
    assert "17_[2-4]: pending (Priority): it will not begin" in done.out


def test_what_cannot_be_cancelled_is_told(login: Login) -> None:
    done = login.types("cancel", "small")
    assert (done.code, done.err) == (2, "sweep: Slurm's job 17 of sweep 'small' has ended, or is about to\n")
    unknown = login.types("cancel", "other")
    assert unknown.code == 2
    assert "no job of Slurm's that runs this sweep is noted below --root" in unknown.err
    login.root.slurm_job("small").write_text("$(rm x)")
    assert "no job of Slurm's that runs this sweep is noted" in login.types("cancel", "small").err


def test_where_there_is_no_slurm_nothing_is_said_of_it(login: Login) -> None:
    login.has_run(host="elsewhere")
    done = login.in_process("status", "small", PATH="/nowhere")
    assert done.out.startswith("small on digits: ")
    assert "there is no squeue here" in login.in_process("cancel", "small", PATH="/nowhere").err
