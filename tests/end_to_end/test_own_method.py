"""The example of a paper's repository, as a user runs it: from a copy, outside the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.command import TYPED, User

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-method"
NAME = "own-method"


@pytest.fixture
def user(tmp_path: Path, empty_store: Path) -> User:
    """Somebody with a copy of the example."""
    folder = tmp_path / "paper"
    shutil.copytree(EXAMPLE, folder)
    return User(folder, (EXAMPLE / "spec.yaml").read_text()).given(empty_store)


@pytest.mark.slow(120)
def test_the_example_runs_and_its_results_outlive_its_files(user: User) -> None:
    done = user.sweep("run", "spec.yaml")
    assert done.code == 0, done.out + done.err
    rows = {row["method"] for row in user.leaderboard(NAME)}
    assert rows >= {"scratch", "kd", "mykd", "dhkd"}
    finals = {event.trial for event in user.events("final", name=NAME)}
    assert len(finals) == 6

    losses = user.folder / "my_losses.py"
    losses.write_text(losses.read_text().replace("0.5 + 0.5 * right", "0.4 + 0.6 * right"))
    user.program = TYPED
    plan = user.sweep("plan", "spec.yaml")
    assert plan.code == 0, plan.out + plan.err
    assert "trials that have ended before with other values, and run again" in plan.out

    for file in ("my_losses.py", "scans.parquet", "spec.yaml"):
        (user.folder / file).unlink()
    for verb in (["leaderboard", NAME], ["status", NAME], ["report", NAME], ["export", NAME], ["sync", NAME]):
        done = user.in_process(*verb)
        assert done.code == 0, f"{verb}: {done.out}{done.err}"
