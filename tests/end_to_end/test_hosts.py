"""A sweep on hosts that share no disk, no address and no clock, and what strangers on their network get to see."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweep.ledger.store import Event
from tests.end_to_end.faults.conftest import Undisturbed, undisturbed
from tests.support.command import User
from tests.support.fault_harness import begun_after_their_end, epochs, results
from tests.support.host_cluster import HOUR, NAMES, WORKERS, HostCluster, wrong_clock
from tests.support.host_store import PORT, trouble
from tests.support.hosts import REPOSITORY, hosts, missing, wait_for
from tests.support.listeners import Listener, asks_in_vain
from tests.support.stranger import NUMBERS

pytestmark = pytest.mark.slow(160)

__all__ = ["undisturbed"]

SLOW = 0.2
"""Seconds that the object store takes for each answer."""
REFUSALS = ("401", "403", "UNAUTHENTICATED")
HEALTH = ("/grpc.health.v1.Health/Check", "OK")
"""Says that somebody is there."""
NOBODY = "0" * 64


@pytest.fixture
def cluster(tmp_path: Path, empty_store: Path) -> Iterator[HostCluster]:
    """With a head and its workers, the second of whose clock is an hour fast."""
    if why := missing():
        pytest.skip(why)
    with hosts(*NAMES) as made:
        cluster = HostCluster(made, tmp_path, empty_store)
        made["worker2"].environment |= wrong_clock(made["worker2"])
        cluster.begin()
        for name in WORKERS:
            cluster.start_worker(name)
        yield cluster


def test_a_sweep_on_hosts_that_share_nothing(undisturbed: Undisturbed, cluster: HostCluster) -> None:
    """One story, of one sweep: the start of the hosts' Ray takes longer than most tests."""
    its_clock_is_an_hour_fast(cluster)
    trouble(cluster.hosts["store"], seconds=SLOW)  # so that no machine is at the sweep's end before all has gone wrong
    cluster.submit()
    goes_on(cluster, by=3)
    nobody_gets_in_from_another_host(cluster)
    the_store_is_full_and_then_away(cluster)
    a_worker_and_the_tracking_server_are_cut_off_and_come_back(cluster)
    a_worker_is_cut_off_for_good(cluster)
    the_head_dies_and_another_host_takes_its_place(cluster)
    trouble(cluster.hosts["store"])
    cluster.typed("logs", "small", "-f", head="heir")
    assert cluster.seen(results, "heir") == undisturbed.results
    assert cluster.seen(begun_after_their_end, "heir") == []
    tracked = cluster.typed("leaderboard", "small", "--from-mlflow", "--format", "json")
    assert json.loads(tracked) == cluster.seen(User.leaderboard, "heir")


def its_clock_is_an_hour_fast(cluster: HostCluster) -> None:
    if "CLOCK_SHIFT" not in cluster.hosts["worker2"].environment:
        return  # no C compiler
    ask = ["python", "-c", "import time, datetime as d; print(time.time(), d.datetime.now().timestamp())"]
    here, there = ([float(word) for word in cluster.hosts[name].ask(*ask).split()] for name in WORKERS)
    assert [there[0] - here[0], there[1] - here[1]] == pytest.approx([HOUR] * 2, abs=HOUR / 2)


def goes_on(cluster: HostCluster, by: int) -> None:
    """Wait until the sweep has so many more epochs."""
    goal = cluster.seen(epochs) + by
    wait_for(f"{goal} epochs", lambda: cluster.seen(epochs) >= goal)


def the_store_is_full_and_then_away(cluster: HostCluster) -> None:
    """Trials go on without it, and give it later what it has not taken."""
    store = cluster.hosts["store"]
    trouble(store, seconds=SLOW, full=True)
    refused = cluster.refused_by_the_store()
    wait_for("something is refused", lambda: cluster.refused_by_the_store() > refused)
    goes_on(cluster, by=2)
    trouble(store, seconds=SLOW)
    store.cut_off()
    wait_for("a worker asks in vain", lambda: any(asks_in_vain(cluster.hosts[name].pid, PORT) for name in WORKERS))
    store.reconnect()
    goes_on(cluster, by=2)
    assert failures(cluster) == []


def failures(cluster: HostCluster) -> list[Event]:
    return cluster.seen(lambda user: user.events("failed"))


def a_worker_and_the_tracking_server_are_cut_off_and_come_back(cluster: HostCluster) -> None:
    """The cluster misses the worker; its part of Ray, which finds itself given up, ends, and is started again."""
    tracker = cluster.hosts["mlflow"]
    tracker.cut_off()
    is_missed(cluster, "worker1")
    goes_on(cluster, by=2)  # on the other
    cluster.hosts["worker1"].reconnect()
    tracker.reconnect()
    wait_for("its Ray has ended", lambda: not cluster.ray_of("worker1"))
    cluster.start_worker("worker1")
    wait_for("it trains again", lambda: cluster.trains("worker1"))


def is_missed(cluster: HostCluster, name: str) -> None:
    """Cut a worker off in the middle of a trial, which is then tried again."""
    before = len(failures(cluster))
    wait_for("it trains", lambda: cluster.trains(name))
    cluster.hosts[name].cut_off()
    wait_for("the worker is missed", lambda: len(failures(cluster)) > before)
    (failed,) = failures(cluster)[before:]
    assert failed.body["again"] and "its worker" in failed.body["reason"], failed.body


def a_worker_is_cut_off_for_good(cluster: HostCluster) -> None:
    is_missed(cluster, "worker2")
    goes_on(cluster, by=2)  # on the one that was away before


def the_head_dies_and_another_host_takes_its_place(cluster: HostCluster) -> None:
    """What the storage has is all that is left of the sweep; who had submitted it does so again."""
    cluster.hosts["head"].kill()
    cluster.hosts["worker1"].ask("ray", "stop", "--force")  # it would look for the old head for minutes
    cluster.start_head("heir")
    cluster.start_worker("worker1", "heir")
    cluster.submit("heir")


# -- what listens where ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A kind of listener, as docs/security.md names it."""

    process: str
    """A word of its command line, or its title."""
    port: str
    bound: tuple[str, ...]
    answer: str
    """To somebody without the token or the login."""

    def names(self, one: Listener, answer: str) -> bool:
        """Whether this is the listener's row."""
        port = self.port in ("any", str(one.port))
        return self.process in one.process and port and one.address in self.bound and self.answer == answer


def table() -> list[Row]:
    """The rows of docs/security.md."""
    text = (REPOSITORY / "docs" / "security.md").read_text()
    lines = text.partition("## What listens where")[2].partition("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return [Row(_code(row[0]), _port(row[2]), tuple(_bound(row[3])), row[4].partition(";")[0]) for row in cells]


def _code(cell: str) -> str:
    found = re.search(r"`([^`]+)`", cell)
    assert found is not None, cell
    return found[1]


def _port(cell: str) -> str:
    return cell.split()[0]


def _bound(cell: str) -> Iterator[str]:
    words = {"all": "all addresses", "own": "the host's address", "loopback": "127.0.0.1"}
    return (name for name, word in words.items() if word in cell)


def nobody_gets_in_from_another_host(cluster: HostCluster) -> None:
    """Every listener has its row, which says how it answers; every row has its listener."""
    wait_for("both train", lambda: all(cluster.trains(name) for name in WORKERS))
    found = [(f"{host}:{one.port}", one) for host, some in cluster.listeners().items() for one in some]
    doors = [door for door, one in found if one.address != "loopback"]
    strangers = [cluster.knock(doors), cluster.knock(doors, f"Bearer {NOBODY}")]
    known = cluster.knock(doors, f"Bearer {cluster.token}", known=True)
    known |= cluster.knock(["mlflow:5000"], cluster.basic, known=True)
    pairs = [
        (one, row_of(one, None if one.address == "loopback" else answers[door]))
        for door, one in found
        for answers in strangers
    ]
    assert [row for row in table() if row not in {row for _, row in pairs}] == [], "who did not listen"
    guarded = {row.process for _, row in pairs if row.answer.startswith("refused")}
    opened = {
        row.process
        for door, one in found
        if door in known
        for row in table()
        if row.process in one.process and set(known[door].values()) - {*REFUSALS, NUMBERS}
    }
    assert guarded <= opened, "which the token or the login did not open either: the knocks are none"


def row_of(one: Listener, answers: dict[str, str] | None) -> Row:
    """The row that names a listener which answers a stranger so; None: it cannot be reached."""
    answer = "not reached" if answers is None else summary(answers)
    rows = [row for row in table() if row.names(one, answer)]
    assert len(rows) == 1, f"{len(rows)} rows of docs/security.md name {one}, which answered: {answers}"
    return rows[0]


def summary(answers: dict[str, str]) -> str:
    """What a door's answers come to: `refused`, `numbers`, or what was let in."""
    assert answers, "which has understood no knock"
    open_ = {question: answer for question, answer in answers.items() if answer not in REFUSALS}
    if set(open_.items()) <= {HEALTH}:
        return "refused"
    if set(open_.values()) == {NUMBERS}:
        return NUMBERS
    if open_ == {"/": "200"}:
        return "refused but for a page without content"
    return f"open: {open_}"
