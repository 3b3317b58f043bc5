"""A process counts the cores that it was given, not those of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from trainers import allotment
from trainers.allotment import SLURM_CORES, cores, job_memory

BOUND = 64
"""Cores of the machine that is made up."""
V2 = "31 23 0:28 {root} {mounted} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 {root} {mounted} rw,relatime - cgroup cgroup rw,{controllers}"
MEBIBYTE = 2**20


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with many cores, no limits, and no Slurm."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(BOUND), raising=False)
    monkeypatch.setattr(allotment, "SELF", tmp_path)
    monkeypatch.delenv(SLURM_CORES, raising=False)
    return tmp_path


def groups(machine: Path, own: str, mounts: str, limits: Mapping[str, str]) -> None:
    """What the kernel would tell this process: its groups, what is mounted, and files below that."""
    (machine / "cgroup").write_text(own)
    (machine / "mountinfo").write_text("23 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts)
    for name, value in limits.items():
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text(value + "\n")


def test_without_limits_all_cores_are_ours(machine: Path) -> None:
    assert cores() == BOUND
    groups(machine, "0::/\n", V2.format(root="/", mounted=machine / "fs"), {"fs/cpu.max": "max 100000"})
    assert cores() == BOUND
    assert job_memory() is None


@pytest.mark.parametrize(
    ("limits", "right"),
    [
        ({"job_1/cpu.max": "400000 100000"}, 4),
        ({"job_1/cpu.max": "400000 100000", "job_1/step_0/cpu.max": "200000 100000"}, 2),
        ({"job_1/cpu.max": "200000 100000", "job_1/step_0/cpu.max": "400000 100000"}, 2),
        ({"job_1/cpu.max": "max 100000", "job_1/step_0/cpu.max": "150000 100000"}, 1),
        ({"job_1/step_0/cpu.max": "50000 100000"}, 1),
        ({"job_2/cpu.max": "100000 100000"}, BOUND),
        ({"cpu.max": "300000 100000"}, 3),
    ],
    ids=["job", "step", "around", "one-and-a-half", "half", "anothers", "outermost"],
)
def test_the_narrowest_of_the_groups_around_counts(machine: Path, limits: dict[str, str], right: int) -> None:
    mounts = V2.format(root="/", mounted=machine / "fs")
    groups(machine, "0::/job_1/step_0\n", mounts, {f"fs/{name}": value for name, value in limits.items()})
    assert cores() == right


def test_groups_of_the_first_version_are_read_by_their_controllers(machine: Path) -> None:
    mounts = "\n".join(
        [
            V1.format(root="/", mounted=machine / "cpu", controllers="cpu,cpuacct"),
            V1.format(root="/", mounted=machine / "memory", controllers="memory"),
            V1.format(root="/", mounted=machine / "named", controllers="name=systemd"),
        ]
    )
    limits = {
        "cpu/slurm/job_1/cpu.cfs_quota_us": "800000",
        "cpu/slurm/job_1/cpu.cfs_period_us": "100000",
        "cpu/slurm/cpu.cfs_quota_us": "-1",
        "cpu/slurm/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/slurm/job_1/memory.limit_in_bytes": str(100 * MEBIBYTE),
    }
    groups(machine, "4:memory:/slurm/job_1\n2:cpu,cpuacct:/slurm/job_1\n1:name=systemd:/x\n", mounts, limits)
    assert cores() == 8
    assert job_memory() == 100 * MEBIBYTE


@pytest.mark.parametrize("own", ["/docker/abc", "/", "/../../docker/other"], ids=["seen", "namespace", "outside"])
def test_a_container_s_own_limit_is_the_outermost(machine: Path, own: str) -> None:
    root = "/docker/abc" if own == "/docker/abc" else "/"
    limits = {"fs/cpu.max": "600000 100000", "fs/memory.max": str(100 * MEBIBYTE)}
    groups(machine, f"0::{own}\n", V2.format(root=root, mounted=machine / "fs"), limits)
    assert cores() == 6
    assert job_memory() is None, "Ray sees that one by itself"


def test_the_memory_of_a_job_is_the_narrowest_within_the_outermost(machine: Path) -> None:
    limits = {
        "fs/memory.max": str(50 * MEBIBYTE),
        "fs/job/memory.max": str(200 * MEBIBYTE),
        "fs/job/step/memory.max": "max",
    }
    groups(machine, "0::/job/step\n", V2.format(root="/", mounted=machine / "fs"), limits)
    assert job_memory() == 200 * MEBIBYTE


@pytest.mark.parametrize(("told", "right"), [("4", 4), ("128", BOUND), ("", BOUND), ("2(x2)", BOUND), ("0", BOUND)])
def test_what_slurm_gave_counts_where_it_binds_nobody(told: str, right: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLURM_CORES, told)
    assert cores() == right


COUNT = "from trainers.allotment import cores, job_memory; print(cores(), job_memory())"


def counted(*before: str) -> list[str]:
    """What a process of its own counts, started by the words before."""
    environment = {name: value for name, value in os.environ.items() if name != SLURM_CORES}
    command = [*before, sys.executable, "-c", COUNT]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are bound to cores on Linux")
def test_a_process_that_is_bound_to_one_core_counts_one() -> None:
    assert counted("taskset", "-c", "0")[0] == "1"


@pytest.fixture
def half_a_core() -> Iterator[Path]:
    """The file that takes processes into a real group with half a core and 500 MiB."""
    name, tasks = f"kd-sweep-test-{os.getpid()}", []
    settings = {"cpu": {"cpu.cfs_quota_us": "50000"}, "memory": {"memory.limit_in_bytes": str(500 * MEBIBYTE)}}
    for controller, values in settings.items():
        group = Path("/sys/fs/cgroup") / controller / name
        try:
            group.mkdir()
        except OSError as error:
            pytest.skip(f"this process may not make control groups of the first version ({error})")
        for setting, value in values.items():
            (group / setting).write_text(value)
        tasks.append(group / "cgroup.procs")
    yield Path(name)
    for file in tasks:
        file.parent.rmdir()


def test_a_process_in_a_real_group_counts_what_that_allows(half_a_core: Path) -> None:
    enter = "".join(
        f"echo $$ > /sys/fs/cgroup/{controller}/{half_a_core}/cgroup.procs; " for controller in ("cpu", "memory")
    )
    assert counted("sh", "-c", f'{enter} exec "$@"', "sh") == ["1", str(500 * MEBIBYTE)]
