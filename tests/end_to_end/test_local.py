"""`sweep run --local`: the same numbers as on Ray's workers, in one process that has no Ray, under a debugger."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import LONGEST, User
from tests.support.undisturbed import undisturbed

pytestmark = pytest.mark.slow(30)

__all__ = ["undisturbed"]

WITHOUT_RAY = """
import sys
sys.modules["ray"] = None  # whoever imports it fails
from sweep.cli import main
main()
"""
DEBUGGED = """
import trainers.training
shares = trainers.training.shares

def stopping(*given):
    breakpoint()
    return shares(*given)

trainers.training.shares = stopping
from sweep.cli import main
main()
"""
"""Whose loss stops in each step."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> User:
    """Whose sweep has run in one process, without Ray."""
    user = User(tmp_path_factory.mktemp("local")).given(empty_store)
    user.program = ("-c", WITHOUT_RAY)
    done = user.sweep("run", "spec.yaml", "--local")
    assert done.code == 0, done.err + done.out
    (user.folder / "first.txt").write_text(done.out)
    return user


def test_every_number_and_the_table_are_those_of_ray_s_workers(here: User, undisturbed: User) -> None:
    assert here.numbers() == undisturbed.numbers()
    assert here.leaderboard() == undisturbed.leaderboard()
    tables = [(user.folder / "first.txt").read_text().partition("small on digits")[2] for user in (here, undisturbed)]
    assert tables[0].partition("figure")[0] == tables[1].partition("figure")[0] != ""


def test_one_trial_runs_at_a_time_and_all_else_is_as_ever(here: User) -> None:
    kinds = [event.kind for event in here.events("start", "final")]
    assert kinds == ["start", "final"] * (len(kinds) // 2)
    assert here.events("stop")[-1].body == {"exit_code": 0}
    assert here.sweep("status", "--format", "csv").out.count("finished") == 9
    for made in (here.root.sweep("small").figure, here.root.sweep("small").report):
        assert made.is_file()


def test_what_has_run_on_one_engine_is_done_for_the_other(here: User) -> None:
    user = User(here.folder)
    before = user.events()
    done = user.sweep("run", "spec.yaml")
    assert done.code == 0, done.err
    assert [event for event in user.events("start") if event.seq > before[-1].seq] == []


def test_a_breakpoint_stops_where_it_trains_and_quit_ends_the_run(tmp_path: Path, empty_store: Path) -> None:
    user = User(tmp_path / "user").given(empty_store)
    command = [sys.executable, "-c", DEBUGGED, "run", "spec.yaml", "--local"]
    look = "up\np self.config.method.name, self._epoch, self._step\n"
    typed = f"{look}c\n{look}q\n"
    done = subprocess.run(command, cwd=user.folder, input=typed, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 130, done.stderr
    assert "(Pdb) ('scratch', 1, 0)" in done.stdout
    assert "(Pdb) ('scratch', 1, 1)" in done.stdout
    assert "The same command goes on from here" in done.stdout
    assert user.events("failed") == []
