"""Several runs divide one plan below one root: each trial is trained once, by one that lives, to the same table."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from tests.support.command import LONGEST, SMALL, User
from tests.support.undisturbed import undisturbed

pytestmark = pytest.mark.slow(60)

__all__ = ["undisturbed"]


@pytest.fixture
def user(empty_store: Path, tmp_path: Path) -> User:
    return User(tmp_path / "a user's").given(empty_store)


def divided(user: User) -> Path:
    return user.root.sweep("small").divided


def owners(user: User) -> dict[str, list[str]]:
    """Who has claimed each trial, one after the other."""
    claims = sorted(path for path in (divided(user) / "claims").glob("[!.]*") if not path.name.startswith("table"))
    found: dict[str, list[str]] = {}
    for path in claims:
        found.setdefault(path.name.rpartition(".")[0], []).append(path.read_text())
    return found


def member(user: User, process: Popen[str]) -> str:
    """The name under which a process claims; empty where it has not begun."""
    for path in (divided(user) / "members").glob("[!.]*.json"):
        if json.loads(path.read_text())["pid"] == process.pid:
            return path.stem
    return ""


def ended(user: User) -> set[str]:
    return {path.stem for path in (divided(user) / "ended").glob("[!.]*.json")}


def trains(user: User, process: Popen[str]) -> list[str]:
    """What a process has claimed and not ended, and has come an epoch further with."""
    name = member(user, process)
    claimed = [key for key, names in owners(user).items() if name and names[-1] == name]
    return [key for key in claimed if key not in ended(user) and begun(user, key)]


def begun(user: User, key: str) -> bool:
    return any((user.root.sweep("small").trial(key) / "checkpoints").glob("epoch-*"))


def wait_until(enough: Callable[[], object], processes: list[Popen[str]]) -> None:
    deadline = time.monotonic() + LONGEST
    while not enough():
        assert time.monotonic() < deadline
        assert None in [process.poll() for process in processes], [process.communicate() for process in processes]
        time.sleep(0.02)


@contextmanager
def standing_still(process: Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def caught(user: User, process: Popen[str]) -> list[str]:
    """What a process has in work while it stands still; it stays so where that is something."""
    process.send_signal(signal.SIGSTOP)
    found = trains(user, process)
    if not found:
        process.send_signal(signal.SIGCONT)
    return found


def test_what_a_killed_one_had_is_trained_by_the_others_and_all_else_once(user: User, undisturbed: User) -> None:
    processes = [user.start("run", "spec.yaml", "--local", "--divide") for _ in range(3)]
    victim = processes[0]
    had: list[str] = []

    def is_caught() -> bool:
        had.extend(caught(user, victim) if trains(user, victim) else [])
        return bool(had)

    wait_until(is_caught, [victim])
    killed = member(user, victim)
    os.killpg(victim.pid, signal.SIGKILL)
    user.end(victim)
    done = [user.end(process) for process in processes[1:]]
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    assert user.numbers() == undisturbed.numbers()
    assert user.leaderboard() == undisturbed.leaderboard()
    claimed = owners(user)
    assert claimed.keys() == ended(user) == {event.trial for event in user.events("final")}
    for key, names in claimed.items():
        assert len(names) == (2 if key in had else 1), (key, names)
    assert {claimed[key][0] for key in had} == {killed}
    assert list((divided(user) / "ledgers").iterdir()) == [divided(user) / "ledgers" / killed]

    late = user.sweep("run", "spec.yaml", "--local", "--divide")
    assert late.code == 0, late.err
    assert owners(user) == claimed


def test_what_is_stopped_gives_back_what_it_has_and_another_goes_on_from_there(user: User, undisturbed: User) -> None:
    one = user.start("run", "spec.yaml", "--local", "--divide")
    wait_until(lambda: trains(user, one), [one])
    one.send_signal(signal.SIGTERM)
    done = user.end(one)
    assert done.code == 130, done.err
    left = [key for key in owners(user) if key not in ended(user)]
    assert [owners(user)[key][-1] for key in left] == ["nobody"] * len(left)
    assert list((divided(user) / "ledgers").iterdir()) == []
    assert not user.root.sweep("small").ledger.exists()
    other = user.sweep("run", "spec.yaml", "--local", "--divide")
    assert other.code == 0, other.err
    assert user.numbers() == undisturbed.numbers()


def test_one_driver_alone_is_refused_while_others_divide_the_sweep_and_the_other_way_round(user: User) -> None:
    one = user.start("run", "spec.yaml", "--local", "--divide")
    wait_until(lambda: trains(user, one), [one])
    with standing_still(one):
        alone = user.in_process("run", "spec.yaml", "--local")
    assert alone.code == 2
    assert f"is being run by several that divide it, such as process {one.pid} on" in alone.err
    assert "--divide" in alone.err
    assert user.end(one).code == 0

    assert user.in_process("run", "spec.yaml", "--local").code == 0


SEARCHED = SMALL.replace("methods: [scratch,", "search: {trials: 4}\nmethods: [{kd: {temperature: {range: [1, 8]}}},")


@pytest.mark.parametrize(
    ("spec", "more", "said"),
    [
        (SEARCHED, [], "has searches, which go by all that they have tried"),
        (SMALL + "budget: {max_trials: 3}\n", [], "has a budget"),
        (SMALL, ["--storage", "shared"], "--divide is for machines that see one root"),
        (SMALL, ["--address", "auto"], "leave --address out"),
    ],
)
def test_what_cannot_be_divided_is_refused_before_anything_is_trained(
    user: User, spec: str, more: list[str], said: str
) -> None:
    user.write(spec)
    done = user.in_process("run", "spec.yaml", "--divide", *(more or ["--local"]))
    assert done.code == 2, done.out
    assert said in done.err
    assert not (divided(user) / "ended").exists()
