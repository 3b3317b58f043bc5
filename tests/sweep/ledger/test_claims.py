"""Of those who divide a sweep one at a time has a trial, and what a dead one had goes to another."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.ledger import claims
from sweep.ledger.claims import NOBODY, Claims
from sweep.ledger.lease import machine
from trainers.errors import BusyError, StorageError
from trainers.storage.files import write_atomically

RACE = """
import sys
from pathlib import Path
from sweep.ledger.claims import Claims

with Claims(Path(sys.argv[1])) as one:
    print("ready", flush=True)
    sys.stdin.readline()
    print(*(key for key in map(str, range(300)) if one.take(key)), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.slow(5)
def test_of_several_processes_one_alone_gets_each_trial(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    ways = [(process.stdin, process.stdout) for process in processes]
    pipes = [(told, said) for told, said in ways if told is not None and said is not None]
    assert [said.readline() for _, said in pipes] == ["ready\n"] * 3
    for told, _ in pipes:
        told.write("now\n")
        told.flush()
    got = [said.readline().split() for _, said in pipes]
    for process in processes:
        process.communicate("\n")
    assert sorted((key for keys in got for key in keys), key=int) == [str(number) for number in range(300)]


def says(folder: Path, name: str, **changes: object) -> str:
    """A member on another machine."""
    said = {"host": "elsewhere", "pid": 1, "machine": "another start", "beats": 1, "over": False} | changes
    write_atomically(folder / "members" / f"{name}.json", json.dumps(said).encode())
    return name


def claimed(folder: Path, key: str, owner: str, number: int = 0) -> None:
    write_atomically(folder / "claims" / f"{key}.{number:04d}", owner.encode())


def owners(folder: Path, key: str) -> list[str]:
    return [path.read_text() for path in sorted((folder / "claims").glob(f"{key}.*"))]


def test_what_is_given_back_or_left_at_the_end_goes_to_another(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("a")
        assert one.take("a")
        assert one.take("b")
        assert not other.take("a")
        one.give_back("a")
        one.give_back("a")
        other._looked = 0.0
        assert other.take("a")
        assert owners(tmp_path, "a") == [one.id, NOBODY, other.id]
        one.done("b")
    with Claims(tmp_path) as third:
        assert third.take("a")
        assert owners(tmp_path, "b") == [one.id]


def test_a_member_of_another_machine_is_dead_when_it_is_silent_for_its_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.3)
    silent, lively = says(tmp_path, "silent"), says(tmp_path, "lively")
    claimed(tmp_path, "a", silent)
    claimed(tmp_path, "b", lively)
    claimed(tmp_path, "c", "of whom nothing is known")
    with Claims(tmp_path) as one:
        started = time.monotonic()
        left = {"a", "c"}
        while left:
            says(tmp_path, "lively", beats=time.monotonic_ns())
            left -= {key for key in left if one.take(key)}
            assert not one.take("b")
            assert time.monotonic() - started < 60
        assert time.monotonic() - started >= 0.3
        says(tmp_path, "lively", over=True)
        assert one.take("b")


def test_one_that_was_killed_here_is_known_to_be_dead(tmp_path: Path) -> None:
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    claimed(tmp_path, "a", says(tmp_path, "dead", pid=int(dead.stdout), machine=machine()))
    claimed(tmp_path, "b", says(tmp_path, "elsewhere", pid=int(dead.stdout)))
    with Claims(tmp_path) as one:
        assert one.take("a")
        assert not one.take("b")


def test_of_two_that_take_over_what_a_dead_one_had_one_gets_it(tmp_path: Path) -> None:
    """Both have seen the same last claim; nothing that one has made is undone by the other."""
    claimed(tmp_path, "a", says(tmp_path, "dead", over=True))
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        one._look()
        other._look()
        assert [one.take("a"), other.take("a")] == [True, False]
        assert one.has("a")
        assert not other.has("a")


def test_one_that_stood_still_finds_what_was_its_own_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    with Claims(tmp_path) as one:
        assert one.take("a")
        assert one.take("b")
        one.done("b")
        claimed(tmp_path, "b", "another", number=1)  # of one that has ended
        wait_until(lambda: one._beats > 3)
        assert one.is_lost() == ""
        claimed(tmp_path, "a", "another", number=1)
        assert not one.has("a")
        wait_until(one.is_lost)
        assert "others have taken over what it trained" in one.is_lost()


def wait_until(enough: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not enough():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_was_taken_over_from_one_who_was_silent_is_known_from_what_was_given_back(tmp_path: Path) -> None:
    claimed(tmp_path, "silent", says(tmp_path, "dead", over=True))
    claimed(tmp_path, "returned", "dead")
    claimed(tmp_path, "returned", claims.NOBODY, number=1)
    with Claims(tmp_path) as one:
        assert not one.took_over("silent")  # it is not ours
        assert [one.take(key) for key in ("silent", "returned", "new")] == [True, True, True]
        assert [one.took_over(key) for key in ("silent", "returned", "new")] == [True, False, False]


def test_something_is_done_by_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LOOK_SECONDS", 0.01)
    inside: list[int] = []

    def work() -> None:
        with Claims(tmp_path) as one, one.alone("table"):
            inside.append(1)
            assert sum(inside) == 1
            time.sleep(0.05)
            inside.append(-1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [1, -1] * 4


def test_a_network_disk_that_lost_its_answer_has_made_the_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def told_twice(old: Path, new: Path) -> None:
        link(old, new)
        link(old, new)

    monkeypatch.setattr(os, "link", told_twice)
    with Claims(tmp_path) as one:
        assert one.take("a")


def test_a_disk_without_hard_links_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(old: Path, new: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    with Claims(tmp_path) as one, pytest.raises(StorageError, match=r"makes no hard links .* run it as one job, or"):
        one.take("a")


def test_who_is_at_work_is_named_and_who_is_silent_is_noted_as_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(claims, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.3)
    heard: list[str] = []
    assert Claims(tmp_path).others_at_work(heard.append) == ""
    says(tmp_path, "silent")
    assert heard == []
    assert Claims(tmp_path).others_at_work(heard.append) == ""
    assert len(heard) == 1
    assert json.loads((tmp_path / "members" / "silent.json").read_text())["over"]
    with Claims(tmp_path):
        assert Claims(tmp_path).others_at_work(heard.append).startswith(f"process {os.getpid()} on ")
    assert Claims(tmp_path).others_at_work(heard.append) == ""


def test_one_that_was_taken_for_dead_by_a_driver_of_all_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    with Claims(tmp_path) as one:
        file = tmp_path / "members" / f"{one.id}.json"
        deadline = time.monotonic() + 60
        while not one.is_lost():  # a beat may have come between
            file.write_text(json.dumps(json.loads(file.read_text()) | {"over": True}))
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert "others have taken over" in one.is_lost()


def test_who_has_nothing_to_train_is_not_waited_for(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.others_train()
        assert one.training() == 2
        other.rest()
        assert not one.others_train()
        assert one.training() == 1
        assert other.others_train()
    assert not Claims(tmp_path).others_train()


def test_another_spec_of_that_name_is_refused_while_members_run_theirs(tmp_path: Path) -> None:
    with Claims(tmp_path, "a spec"):
        Claims(tmp_path, "a spec").refuse_another_spec("small")
        with pytest.raises(BusyError, match=f"sweep 'small' is being divided by process {os.getpid()} on .* another"):
            Claims(tmp_path, "another").refuse_another_spec("small")
    Claims(tmp_path, "another").refuse_another_spec("small")


def test_what_waits_for_its_turn_looks_meanwhile(tmp_path: Path) -> None:
    def look() -> None:
        raise TimeoutError

    with Claims(tmp_path) as one, Claims(tmp_path) as other, one.alone("table"), pytest.raises(TimeoutError):
        other.alone("table", look).__enter__()
