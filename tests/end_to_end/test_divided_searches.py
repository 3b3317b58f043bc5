"""Several runs divide the searches of one plan: each is one run's at a time, and comes to what it comes to alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from subprocess import Popen

import pytest

from sweep.ledger.histories import Histories
from tests.support.command import User
from tests.support.division import SEARCHED, caught, divided, member, owners, trains, user, wait_until

pytestmark = pytest.mark.slow(60)

__all__ = ["user"]


def searches_of(user: User, process: Popen[str]) -> list[str]:
    """The searches that a process has claimed."""
    name = member(user, process)
    claimed = [claim for claim, names in owners(user).items() if name and names[-1] == name]
    return [claim.removeprefix("search-") for claim in claimed if claim.startswith("search-")]


def is_searching(user: User, process: Popen[str]) -> list[tuple[str, str]]:
    """Each search of a process that is in the middle of a trial which is not its first, and that trial's key."""
    found = []
    for cell in searches_of(user, process):
        asked = [trial or "" for kind, trial, *_ in Histories(divided(user)).read(cell).events if kind == "ask"]
        if len(asked) > 1 and asked[-1] in trains(user, process):
            found.append((cell, asked[-1]))
    return found


def suggestions(user: User) -> list[str]:
    """All that searches have asked for, each in its order."""
    asks = [(event.body["cell"], event.body["number"], event.trial) for event in user.events("ask")]
    return [str(ask) for ask in sorted(asks)]


def test_a_search_whose_driver_is_killed_goes_on_with_another_to_the_table_of_one(
    user: User, empty_store: Path, tmp_path: Path
) -> None:
    alone = User(tmp_path / "another user's", SEARCHED).given(empty_store)
    done = alone.sweep("run", "spec.yaml", "--local")
    assert done.code == 0, done.err

    user.write(SEARCHED)
    victim, other = (user.start("run", "spec.yaml", "--local", "--divide") for _ in range(2))
    had: list[tuple[str, str]] = []

    def is_caught() -> bool:
        if is_searching(user, victim) and caught(user, victim):
            had.extend(is_searching(user, victim))
            if not had:
                victim.send_signal(signal.SIGCONT)
        return bool(had)

    wait_until(is_caught, [victim])
    killed = member(user, victim)
    os.killpg(victim.pid, signal.SIGKILL)
    user.end(victim)
    done = user.end(other)
    assert done.code == 0, done.out + done.err
    assert user.numbers() == alone.numbers()
    assert user.leaderboard() == alone.leaderboard()
    assert suggestions(user) == suggestions(alone)
    claimed = owners(user)
    for cell, key in had:
        assert claimed[f"search-{cell}"][0] == killed != claimed[f"search-{cell}"][-1]
        assert claimed[key][0] == killed != claimed[key][1]

    late = user.sweep("run", "spec.yaml", "--local", "--divide")
    assert late.code == 0, late.err
    after = owners(user)
    assert {key: names for key, names in after.items() if not key.startswith("search-")} == {
        key: names for key, names in claimed.items() if not key.startswith("search-")
    }
    assert len(user.events("ask")) == len(alone.events("ask"))


def test_searches_that_begin_with_an_earlier_sweep_s_points_are_divided_too(user: User) -> None:
    fewer = SEARCHED.replace("epochs: 4", "epochs: 2").replace("scratch, ", "").replace("trials: 4", "trials: 2")
    user.write(fewer.replace("name: small", "name: earlier"))
    assert user.in_process("run", "spec.yaml", "--local").code == 0
    user.write(fewer.replace("trials: 2", "trials: 2, warm_start: earlier"))
    done = user.in_process("run", "spec.yaml", "--local", "--divide")
    assert done.code == 0, done.out + done.err
    begun = {event.body["cell"]: event.body for event in user.events("ask") if event.body["number"] == 0}
    assert len(begun) == 2
    for body in begun.values():
        assert body["learned"][0]["sweep"] == "earlier"
        assert body["params"] == body["learned"][0]["params"]
