"""Several runs divide one plan below one root: each trial is trained once, by one that lives, to the same table."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from subprocess import Popen

import pytest

from sweep.ledger import lock
from sweep.ledger.histories import Histories
from sweep.ledger.lease import machine
from tests.support.command import LONGEST, SMALL, User
from tests.support.undisturbed import undisturbed
from trainers.storage.files import write_atomically

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


# -- searches ---------------------------------------------------------------------------------------------------------

SEARCHED = SMALL.replace(
    "kd, {dhkd: {alpha: [0.5, 2],", "{kd: {temperature: {range: [1, 8]}}}, {dhkd: {alpha: {range: [0.1, 10]},"
)
SEARCHED += "search: {trials: 4, deterministic: true, grace: 2}\n"
"""A search of each of two methods, and two trials beside them."""


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


@pytest.mark.parametrize(
    ("spec", "more", "said"),
    [
        (SEARCHED.replace("trials: 4", "trials: 4, transfer: true"), [], "has `search: {transfer: true}`"),
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
