"""Two sweeps below one root: the second trains what is new, and goes on alone; and trials that are trained again."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from sweep.python.results import open as open_results
from tests.support.command import SMALL, Done, User

pytestmark = pytest.mark.slow(35)

FIRST = SMALL.replace("[scratch, kd, {dhkd: {alpha: [0.5, 2], head: nonlinear}}]", "[scratch, kd]")
SECOND = FIRST.replace("name: small", "name: second").replace("[scratch, kd]", "[kd, dkd]")
EPOCHS = 4


def trained(done: Done) -> Counter[str]:
    """How many trials a run has trained to their end, by what their names say of the method."""
    lines = [line.partition("finished ")[2] for line in done.out.splitlines() if "] finished " in line]
    return Counter(name.split(" · ")[1] if " · " in name and "teacher" not in name else "teacher" for name in lines)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> User:
    """Whose first sweep has run, and then the second beside it."""
    user = User(tmp_path_factory.mktemp("shared"), FIRST).given(empty_store)
    (user.folder / "second.yaml").write_text(SECOND)
    first = user.in_process("run", "spec.yaml", "--local")
    assert first.code == 0, first.err + first.out
    assert trained(first) == {"teacher": 1, "scratch": 2, "kd": 2}
    before = user.in_process("plan", "second.yaml")
    assert before.code == 0, before.err
    (user.folder / "planned.txt").write_text(before.out)
    second = user.in_process("run", "second.yaml", "--local")
    assert second.code == 0, second.err + second.out
    (user.folder / "second.txt").write_text(second.out)
    return user


def test_the_second_sweep_trains_only_what_is_new(user: User) -> None:
    planned, said = (user.folder / "planned.txt").read_text(), (user.folder / "second.txt").read_text()
    assert "5 trials, 18 epochs; 1 done here, 2 done in small, 8 epochs to run" in planned
    assert "2 trials taken over, not trained again: 2 from small\n" in said
    assert trained(Done(0, said, "")) == {"dkd": 2}
    starts = user.events("start", name="second")
    assert Counter("taken_from" in event.body for event in starts if event.body["stage"] != "teacher") == {
        True: 2,
        False: 2,
    }
    assert len(user.numbers("second")) == 4 * EPOCHS
    assert "taken over: 2 from small" in user.in_process("status", "second").out
    assert "finished (taken over: 2 from small)" in " ".join(said.split())


def test_a_fresh_sweep_comes_to_the_same_numbers(user: User) -> None:
    (user.folder / "third.yaml").write_text(SECOND.replace("name: second", "name: third"))
    done = user.in_process("run", "third.yaml", "--local", "--fresh")
    assert done.code == 0, done.err
    assert trained(done) == {"kd": 2, "dkd": 2}
    assert user.numbers("third") == user.numbers("second")
    again = user.in_process("run", "third.yaml", "--local")  # what it has done itself is done
    assert (again.code, trained(again)) == (0, {})
    assert "taken over" not in again.out


def test_the_second_sweep_needs_the_first_no_longer(user: User) -> None:
    before = user.leaderboard("second")
    shutil.rmtree(user.root.sweep("small").folder)
    assert user.leaderboard("second") == before
    again = user.in_process("run", "second.yaml", "--local", "--fresh")  # what it has taken over before is done
    assert (again.code, trained(again)) == (0, {})
    assert user.in_process("report", "second").code == 0
    assert user.in_process("export", "second").code == 0
    student = open_results("second", root=user.root.path).student("resnet14 -> resnet8", "kd", seed=1)
    assert not student.training
    told = user.in_process("leaderboard", "second", "--from-mlflow", "--format", "json")
    assert '"n": 2' in told.out, told.err


def test_what_is_asked_for_again_is_trained_again_and_nothing_else(user: User) -> None:
    before = user.numbers("second")
    done = user.in_process("rerun", "second", "--method", "kd", "--local")
    assert done.code == 0, done.err
    assert trained(done) == {"kd": 2}
    assert user.numbers("second") == before
    assert "taken over" not in user.in_process("status", "second").out
    assert len(user.events("former-epoch", name="second")) == 2 * EPOCHS
    again = user.in_process("run", "second.yaml", "--local")
    assert (again.code, trained(again)) == (0, {})
