"""Hosts that have an object store in common and nothing else: which of them runs a sweep, and which goes on with it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.command import LONGEST, Done, User
from tests.support.fault_harness import begun_after_their_end, results
from tests.support.host_store import URI, serve
from tests.support.hosts import HOME, Host, hosts, missing, wait_for
from tests.support.object_store import KEYS

pytestmark = pytest.mark.slow(90)

T = TypeVar("T")
SPEC = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 16, warmup_epochs: 0, samples_per_class: 20, test_per_class: 20}
teachers: {recipe: {samples_per_class: null, epochs: 2}}
pairs: [resnet14 -> resnet8]
methods: [kd, {dhkd: {alpha: 2}}]
seeds: 3
tracking: {models: none}
"""
"""So many epochs that the sweep is not over before the other has found that it runs."""
TRIALS = 7
RUNS = re.compile(
    r"sweep: sweep 'small' is (already running:|being started at this moment by) process (\d+) on (\w+)\b"
)


@dataclass(frozen=True)
class Machine:
    """A host, and somebody there who types `sweep …`."""

    host: Host

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return self.host.start("sweep", *words, env=KEYS, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def seen(self, look: Callable[[User], T]) -> T:
        return self.host.within(lambda: look(User(HOME, SPEC)))

    @property
    def drivers(self) -> list[int]:
        """This machine's numbers of the processes that run a sweep there."""
        return self.host.processes("spec.yaml")


def end(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=LONGEST)
    return Done(process.returncode, out, err)


@pytest.fixture
def machines(tmp_path: Path, empty_store: Path) -> Iterator[dict[str, Machine]]:
    if why := missing():
        pytest.skip(why)
    with hosts("store", "one", "other", "undisturbed") as made:
        serve(made.pop("store"), tmp_path)
        found = {name: Machine(host) for name, host in made.items()}
        for machine in found.values():
            machine.host.outside(HOME / "spec.yaml").write_text(SPEC)
            machine.host.outside(HOME / "runs").mkdir()
            shutil.copyfile(empty_store, machine.host.outside(HOME / "runs" / "mlflow.db"))
        yield found


def test_of_two_hosts_one_runs_a_sweep_and_the_other_goes_on_when_it_dies(machines: dict[str, Machine]) -> None:
    undisturbed = machines.pop("undisturbed")
    runs, refused, process = both_start_at_the_same_moment(machines)
    it_dies_in_the_middle(runs, process)
    heir = refused.start("run", "spec.yaml", "--local", "--storage", URI)
    alone = end(undisturbed.start("run", "spec.yaml", "--local"))  # while the other listens for the dead one
    assert alone.code == 0, alone
    told = end(heir)
    assert told.code == 0, told
    assert f"on {runs.host.name} ran this sweep last; listening" in told.out, told
    assert refused.seen(results) == undisturbed.seen(results)
    assert refused.seen(begun_after_their_end) == []


def both_start_at_the_same_moment(machines: dict[str, Machine]) -> tuple[Machine, Machine, subprocess.Popen[str]]:
    """The one that runs the sweep, the one that is refused and told which process of which host does, and the first
    one's command."""
    begun = {name: one.start("run", "spec.yaml", "--local", "--storage", URI) for name, one in machines.items()}
    wait_for("one has ended", lambda: any(process.poll() is not None for process in begun.values()))
    (refused,) = (name for name, process in begun.items() if process.poll() is not None)
    (runs,) = machines.keys() - {refused}
    told = end(begun[refused])
    assert told.code == 2, told
    found = RUNS.match(told.err)
    assert found is not None and len(told.err.splitlines()) == 1, told
    assert found[3] == runs
    assert int(found[2]) in [number_there(pid) for pid in machines[runs].drivers]
    assert not machines[refused].seen(lambda user: user.root.sweep("small").ledger.exists())
    return machines[runs], machines[refused], begun[runs]


def number_there(pid: int) -> int:
    """What a process of a host's is to the host itself."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])


def it_dies_in_the_middle(runs: Machine, process: subprocess.Popen[str]) -> None:
    wait_for("a trial is finished", lambda: runs.seen(lambda user: user.events("final")))
    assert runs.seen(lambda user: len(user.events("final"))) < TRIALS
    runs.host.kill()
    assert end(process).code != 0
