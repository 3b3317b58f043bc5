"""Several runs divide one plan below one root: each trial is trained once, by one that lives, to the same table."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from subprocess import Popen

import pytest

from sweep.ledger import lock
from sweep.ledger.lease import machine
from tests.support.command import SMALL, User
from tests.support.division import caught, divided, ended, member, owners, standing_still, trains, user, wait_until
from tests.support.undisturbed import undisturbed
from trainers.storage.files import write_atomically

pytestmark = pytest.mark.slow(60)

__all__ = ["undisturbed", "user"]


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
    assert user.events("final", "start", "stop") == []
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


FAULTY = """\
import os
from torch.nn import functional as F
from trainers import method

@method("faulty")
def faulty(student, teacher, targets):
    if os.environ.get("FAULTY") and len(targets) > 8:  # not when a plan is made, which tries a few images
        raise RuntimeError("this node is broken")
    return F.mse_loss(student, teacher)
"""


def test_what_fails_for_one_is_left_to_the_others_and_trained_once(user: User) -> None:
    (user.folder / "faulty.py").write_text(FAULTY)
    user.write(SMALL.replace("methods: [scratch,", "code: [faulty.py]\nmethods: [faulty,"))
    broken = user.start("run", "spec.yaml", "--local", "--divide", FAULTY="1")
    wait_until(lambda: member(user, broken), [broken])
    whole = user.start("run", "spec.yaml", "--local", "--divide")
    done, other = user.end(broken), user.end(whole)
    assert (done.code, other.code) == (0, 0), done.out + done.err + other.out + other.err
    assert "this node is broken" in done.out + done.err
    finals = user.events("final")
    assert [event.body["state"] for event in finals] == ["finished"] * len(finals)
    assert ended(user) == {event.trial for event in finals}, "nothing was left to whoever made the table"
    assert len(user.events("sweep")) == 3, "two that began, and one that made the table"


FEW = SMALL.replace("seeds: 2", "seeds: 1").replace("[scratch, kd, {dhkd: {alpha: [0.5, 2], head: nonlinear}}]", "[kd]")


@contextmanager
def another_at_work(user: User, spec: str) -> Iterator[None]:
    """A member that lives and has something to train for as long as the block, as the others see it."""
    file, over = divided(user) / "members" / f"{'f' * 32}.json", threading.Event()
    said = {"host": "there", "pid": os.getpid(), "machine": machine(), "trains": True, "over": False}
    said["spec"] = hashlib.sha256(spec.encode()).hexdigest()

    def beat() -> None:
        for beats in count():
            write_atomically(file, json.dumps(said | {"beats": beats}).encode(), durable=False)
            if over.wait(0.5):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, 130), (signal.SIGUSR2, 75)])
def test_one_that_waits_for_what_others_train_hears_what_it_is_told(
    user: User, told: signal.Signals, code: int
) -> None:
    user.write(FEW)
    with another_at_work(user, FEW):
        one = user.start("run", "spec.yaml", "--local", "--divide")
        wait_until(lambda: member(user, one), [one])
        file = divided(user) / "members" / f"{member(user, one)}.json"
        wait_until(lambda: not json.loads(file.read_text())["trains"], [one])
        assert len(ended(user)) == 2
        one.send_signal(told)
        done = user.end(one)
    assert done.code == code, done.out + done.err
    assert "waiting for what the others train" in done.out
    assert user.sweep("run", "spec.yaml", "--local", "--divide").code == 0
    assert len(user.events("final")) == 2


def silent_at_the_table(user: User) -> None:
    """A member that had its turn with the sweep's own ledger, and was not heard of since."""
    gone = {"host": "here", "pid": 1, "machine": machine(), "beats": 9, "spec": "", "trains": False, "over": True}
    write_atomically(divided(user) / "members" / "silent.json", json.dumps(gone).encode())
    write_atomically(divided(user) / "claims" / "table.0000", b"silent")


def until_it_waits(process: Popen[str]) -> None:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if "it stands still, so it is waited for" in line:
            return
    raise AssertionError(process.communicate())


def test_one_that_stands_still_with_the_ledger_is_waited_for(user: User) -> None:
    user.write(FEW)
    silent_at_the_table(user)
    with lock.exclusive(user.root.sweep("small").lock, "sweep 'small'"):
        one = user.start("run", "spec.yaml", "--local", "--divide")
        until_it_waits(one)
        assert not ended(user)
    done = user.end(one)
    assert done.code == 0, done.out + done.err
    assert len(user.events("final")) == 2


@pytest.mark.parametrize(("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGUSR2, 75)])
def test_who_waits_for_it_hears_what_it_is_told(user: User, told: signal.Signals, code: int) -> None:
    user.write(FEW)
    silent_at_the_table(user)
    with lock.exclusive(user.root.sweep("small").lock, "sweep 'small'"):
        one = user.start("run", "spec.yaml", "--local", "--divide")
        until_it_waits(one)
        one.send_signal(told)
        assert user.end(one).code == code


TRANSFERS = SMALL.replace("alpha: [0.5, 2]", "alpha: {range: [0.1, 10]}") + "search: {trials: 4, transfer: true}\n"


@pytest.mark.parametrize(
    ("spec", "more", "said"),
    [
        (TRANSFERS, [], "has `search: {transfer: true}`"),
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
