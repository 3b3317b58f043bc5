"""Of those that begin to drive one sweep over one storage at the same moment exactly one does, whoever is quicker."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import cycle, product
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.ledger import lease
from sweep.ledger.lease import Claim, Lease, machine
from tests.support.storages import Machine, object_store, uri
from tests.support.storages import machine as machine_of
from trainers.errors import BusyError, StorageError
from trainers.storage.files import write_atomically
from trainers.storage.shared import Storage

__all__ = ["machine_of", "object_store", "uri"]

NAME = "small"


def quiet(note: str) -> None:
    """Nobody is told."""


# -- every order of requests -------------------------------------------------------------------------------------------


class Turns(Storage):
    """A storage in memory; each request of a thread waits until it is that thread's turn."""

    uri = "memory://"

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}
        self.asks, self.goes = threading.Semaphore(0), {}
        self.goes: dict[str, threading.Semaphore]
        self.ended: set[str] = set()

    def _wait(self) -> None:
        me = threading.current_thread().name
        if me in self.goes:
            self.asks.release()
            self.goes[me].acquire()

    def sizes(self, folder: Path) -> dict[str, int]:
        self._wait()
        return {path.name: len(content) for path, content in self.files.items() if path.parent == folder}

    def read(self, path: Path) -> bytes | None:
        self._wait()
        return self.files.get(path)

    def has(self, path: Path) -> bool:
        self._wait()
        return path in self.files

    def push(self, path: Path, *, anew: bool = False) -> None:
        self._wait()
        self.files[path] = path.read_bytes()

    def remove(self, path: Path) -> None:
        self._wait()
        self.files.pop(path, None)

    def let_run(self, work: dict[str, Callable[[], None]], turns: Iterable[str]) -> None:
        """Do all of some work at once, the requests in the order of the turns."""

        def done(name: str) -> None:
            try:
                work[name]()
            finally:
                self.ended.add(name)
                self.asks.release()

        self.goes = {name: threading.Semaphore(0) for name in work}
        threads = [threading.Thread(target=done, args=(name,), name=name) for name in work]
        for thread in threads:
            thread.start()
        for _ in threads:
            self.asks.acquire()
        for name in turns:
            if len(self.ended) == len(work):
                break
            if name not in self.ended:
                self.goes[name].release()
                self.asks.acquire()
        for thread in threads:
            thread.join()


def begun(folder: Path, turns: Iterable[str], names: list[str]) -> list[Lease]:
    """Who holds the sweep when several have begun in an order of turns."""
    storage = Turns()
    leases = {name: Lease(Root(folder / name, storage), NAME) for name in names}
    for name, one in leases.items():  # one folder for all in this storage
        one._folder = folder / NAME
        one.id = name * 32
    holders = []

    def begin(one: Lease) -> None:
        try:
            one.take(quiet)
        except BusyError:
            return
        holders.append(one)
        while len(storage.ended) + len(holders) < len(names):  # what its thread does every BEAT_SECONDS
            one._look()

    def begins(one: Lease) -> Callable[[], None]:
        return lambda: begin(one)

    storage.let_run({name: begins(one) for name, one in leases.items()}, turns)
    for one in holders:
        one._look()
    return [one for one in holders if not one.is_lost()]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody beats by the clock, and nobody pauses, so that turns decide it all."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3600.0)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(lease, "write_atomically", _written)


def _written(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Under the name that the storage has, by the thread that asks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


PREFIX = 10
"""Requests whose every order is tried; one that meets nobody makes seven."""


@pytest.mark.slow(3)
@pytest.mark.usefixtures("unhurried")
def test_of_two_exactly_one_holds_it_in_every_order_of_their_requests(tmp_path: Path) -> None:
    winners = set()
    for prefix in product("ab", repeat=PREFIX):
        held = begun(tmp_path, _then_in_turn(prefix, "ab"), ["a", "b"])
        assert len(held) == 1, prefix
        winners.add(held[0].id[0])
        _stop(held)
    assert winners == {"a", "b"}


@pytest.mark.slow(1)
@pytest.mark.usefixtures("unhurried")
def test_of_four_exactly_one_holds_it(tmp_path: Path) -> None:
    for seed in range(200):
        order = random.Random(seed).choices("abcd", k=40)
        held = begun(tmp_path, _then_in_turn(order, "abcd"), list("abcd"))
        assert len(held) == 1, order
        _stop(held)


@pytest.mark.slow(3)
@pytest.mark.usefixtures("unhurried")
def test_where_each_takes_the_other_for_dead_at_once_they_never_both_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a process stands still in the middle of its beginning, for longer than its patience."""
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 0.0)
    counts = set()
    for prefix in product("ab", repeat=PREFIX):
        held = begun(tmp_path, _then_in_turn(prefix, "ab"), ["a", "b"])
        counts.add(len(held))
        _stop(held)
    assert counts <= {0, 1}
    assert 1 in counts


def test_one_that_stands_still_before_it_holds_the_sweep_finds_the_other_that_took_it_for_dead(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 0.0)
    quick, slow = Lease(root, NAME), Lease(root, NAME)
    put = slow._put

    def stands_still(*, held: bool) -> None:
        if held:
            quick.take(quiet)
        put(held=held)

    monkeypatch.setattr(slow, "_put", stands_still)
    with pytest.raises(BusyError, match="is already running"):
        slow.take(quiet)
    assert list(claims(root)) == [quick.id]
    assert quick.is_lost() == ""
    quick.close()


def _then_in_turn(prefix: Iterable[str], names: str) -> Iterator[str]:
    yield from prefix
    yield from cycle(names)


def _stop(leases: list[Lease]) -> None:
    """End their threads."""
    for one in leases:
        one.close()


# -- machines ----------------------------------------------------------------------------------------------------------

BEGIN = """
import sys
from pathlib import Path
from sweep.layout import Root
from sweep.ledger.lease import Lease
from trainers.errors import BusyError

root, uri = Path(sys.argv[1]), sys.argv[2]
one = Lease(Root.at(root, uri), "small")
one._root.storage.sizes(root / "warm")  # the connection
print("ready", flush=True)
sys.stdin.readline()
try:
    one.take(lambda note: None)
except BusyError as error:
    print(error)
else:
    print("held", flush=True)
    sys.stdin.read()
    one.close()
"""


@pytest.mark.slow(10)
def test_of_processes_that_begin_at_one_moment_exactly_one_goes_on(uri: str, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(tmp_path / str(number)), uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    pipes = [(process.stdin, process.stdout) for process in processes]
    ways = [(told, said) for told, said in pipes if told is not None and said is not None]
    assert [said.readline() for _, said in ways] == ["ready\n"] * 3
    for told, _ in ways:
        told.write("now\n")
        told.flush()
    said = [said.readline().strip() for _, said in ways]
    for process in processes:
        process.communicate("")
    assert said.count("held") == 1, said
    for line in set(said) - {"held"}:
        assert "is already running: process" in line or "is being started at this moment by process" in line


def claims(root: Root) -> dict[str, Claim]:
    return Lease(root, NAME)._others()


def claimed(root: Root, **changes: object) -> str:
    """The claim of a driver on another machine."""
    claim = Claim("elsewhere", 1, "another start", 1.0, 0.2, held=True, term=7)
    path = root.sweep(NAME).drivers / f"{'0' * 31}1.json"
    write_atomically(path, json.dumps(asdict(claim) | changes).encode())
    root.storage.push(path, anew=True)
    return path.stem


@pytest.fixture
def root(machine_of: Machine) -> Root:
    storage, path = machine_of("one")
    return Root(path, storage)


def test_a_driver_leaves_nothing_behind_and_the_next_begins_at_once(root: Root) -> None:
    for _ in range(2):
        one = Lease(root, NAME)
        one.take(pytest.fail)
        assert [claim.held for claim in claims(root).values()] == [True]
        one.close()
        assert claims(root) == {}
    assert list(root.sweep(NAME).drivers.iterdir()) == []


def test_a_silent_driver_of_another_machine_is_taken_for_dead_after_its_patience(root: Root) -> None:
    claimed(root)
    told: list[str] = []
    one = Lease(root, NAME)
    started = time.monotonic()
    one.take(told.append)
    assert time.monotonic() - started >= 0.2
    assert told == ["process 1 on elsewhere ran this sweep last; listening for 0 s whether it still does"]
    assert list(claims(root)) == [one.id]
    assert claims(root)[one.id].term > 7
    one.close()


def test_a_driver_that_beats_is_refused_as_soon_as_it_does(root: Root) -> None:
    claimed(root, patience=3600.0)
    beat = threading.Timer(0.5, lambda: claimed(root, patience=3600.0, beat=2.0))
    beat.start()
    with pytest.raises(BusyError, match=r"'small' is already running: process 1 on elsewhere\. Wait for"):
        Lease(root, NAME).take(quiet)
    beat.join()
    assert len(claims(root)) == 1


def test_a_driver_that_died_on_this_machine_is_known_to_be_dead(root: Root) -> None:
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    claimed(root, pid=int(dead.stdout), machine=machine(), patience=3600.0)
    one = Lease(root, NAME)
    one.take(pytest.fail)
    one.close()


def test_a_process_of_that_number_on_another_machine_says_nothing(root: Root) -> None:
    """Hosts may share a name, and containers too."""
    claimed(root, pid=os.getpid(), host=os.uname().nodename, patience=0.6)
    told: list[str] = []
    one = Lease(root, NAME)
    one.take(told.append)
    one.close()
    assert len(told) == 1


def wait_until(enough: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not enough():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["removed", "outdone"])
def test_a_driver_that_was_cut_off_finds_that_the_sweep_is_another_s(
    root: Root, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    one = Lease(root, NAME)
    one.take(pytest.fail)
    before = claims(root)[one.id]
    wait_until(lambda: claims(root)[one.id] != before)
    assert one.is_lost() == ""
    claimed(root, held=False, term=2**62)
    wait_until(lambda: claims(root)[one.id] != before)
    assert one.is_lost() == ""  # one that only wants it
    if how == "outdone":
        claimed(root, term=2**62)
    else:
        root.storage.remove(one._path(one.id))
    wait_until(lambda: one.is_lost() or (how == "removed" and root.storage.remove(one._path(one.id))))
    assert "nothing was heard of this driver of sweep 'small' for 45 s" in one.is_lost()
    one.close()


BAD: list[dict[str, object]] = [{"host": "a\x1b[2Jb"}, {"pid": 0}, {"patience": 1e12}, {"held": "yes"}, {"term": -1}]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_a_claim_that_no_driver_writes_is_refused_with_the_way_out(
    root: Root, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    monkeypatch.setattr(lease, "READ_PAUSE_SECONDS", 0)
    name = claimed(root, **change)
    with pytest.raises(StorageError, match=rf"damaged claim .*; where no driver runs, remove .*drivers/{name}.json"):
        Lease(root, NAME).take(quiet)


def test_without_a_storage_nothing_is_claimed(tmp_path: Path) -> None:
    one = Lease(Root(tmp_path), NAME)
    one.take(pytest.fail)
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_is_another_where_anything_of_it_is() -> None:
    claim = Claim("here", 1, "start", 1.0, 1.0, held=False, term=1)
    assert claim != replace(claim, held=True)
