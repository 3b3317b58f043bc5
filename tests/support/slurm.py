"""A real Slurm on this machine, for one test: munged, slurmctld and a slurmd, on free ports, with files in a folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.command import LONGEST
from tests.support.ports import free_ports

DAEMONS = ("munged", "slurmctld", "slurmd")
CORES = 2
REQUEUE_SECONDS = 10
"""For how long Slurm keeps a job back that was put into the queue again: until no node trusts its first start."""

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={requeue}
CredType=cred/munge
SlurmctldPort={controller}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=60
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
PartitionName=main Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=2
"""


NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cores} RealMemory=1000\n"


def missing() -> str:
    """Why there can be no Slurm here; empty where there can."""
    absent = [program for program in DAEMONS if not _found(program)]
    if absent:
        return f"no {', '.join(absent)} (Debian: slurm-wlm and munge)"
    return "Slurm's daemons need root here" if os.geteuid() else ""


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Slurm:
    """What users see of it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def tell(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        environment = os.environ | self.environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def job(self, job: str) -> dict[str, str]:
        """All that Slurm says of a job."""
        words = self.tell("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, enough: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LONGEST
        while not enough():
            assert time.monotonic() < deadline, f"not {what} after {LONGEST} s\n{self.logs()}"
            time.sleep(0.2)

    def logs(self) -> str:
        """What the daemons have said lately."""
        return "\n".join("\n".join(log.read_text().splitlines()[-20:]) for log in sorted(self.folder.glob("*.log")))


@contextmanager
def running(nodes: int) -> Iterator[Slurm]:
    """A Slurm of some nodes, all of them this machine; its daemons are ended with all of its jobs.

    Its files lie in a folder of a short path, since a socket's has at most 107 bytes.
    """
    with TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        yield from _running(Path(folder), nodes)


def _running(folder: Path, nodes: int) -> Iterator[Slurm]:
    for part in ("munge", "state", "spool"):
        (folder / part).mkdir(parents=True)
    key = folder / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    controller, *ports = free_ports(1 + nodes)
    names = {"folder": folder, "host": socket.gethostname().partition(".")[0], "cores": CORES}
    text = CONFIGURATION.format(**names, controller=controller, requeue=REQUEUE_SECONDS)
    text += "".join(NODE.format(**names, name=f"node{number}", port=port) for number, port in enumerate(ports))
    slurm = Slurm(folder)
    (folder / "slurm.conf").write_text(text)
    with ExitStack() as stack:
        munge = [f"--{name}={folder}/munge/{file}" for name, file in MUNGE.items()]
        stack.enter_context(_daemon(slurm, "munged", ["--foreground", "--force", *munge]))
        slurm.wait_for((folder / "munge" / "socket").exists, "munged is there")
        stack.enter_context(_daemon(slurm, "slurmctld", ["-D"]))
        for number in range(nodes):
            stack.enter_context(_daemon(slurm, "slurmd", ["-D", "-N", f"node{number}"]))
        slurm.wait_for(lambda: _nodes(slurm) == ["idle"] * nodes, "all nodes are idle")
        stack.callback(_cancel_all, slurm)
        yield slurm


MUNGE = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "munged.log", "seed-file": "seed"}


@contextmanager
def _daemon(slurm: Slurm, program: str, options: list[str]) -> Iterator[None]:
    with (slurm.folder / f"{program}.out").open("a") as out:
        process = subprocess.Popen(
            [_found(program) or program, *options],
            env=os.environ | slurm.environment,
            stdout=out,
            stderr=out,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(LONGEST)


def _nodes(slurm: Slurm) -> list[str]:
    """The state of each."""
    command = ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%t"]
    return subprocess.run(command, env=os.environ | slurm.environment, capture_output=True, text=True).stdout.split()


def _cancel_all(slurm: Slurm) -> None:
    for job in slurm.tell("squeue", "--noheader", "--format=%A").split():
        subprocess.run(["scancel", job], env=os.environ | slurm.environment, check=False)
    slurm.wait_for(lambda: not slurm.tell("squeue", "--noheader"), "all jobs have ended")


needs_slurm = pytest.mark.skipif(bool(missing()), reason=missing() or "it can run here")
