"""What of this machine this process was given: a job of a cluster, or a container, has a part of it as a rule.

Three things give a part: the cores that a process is bound to (``taskset``, Slurm's ``task/affinity``, cpusets), limits
of its control groups (containers, Slurm's ``task/cgroup``, systemd), of which the narrowest counts, its own or that of
any group around it, and what Slurm says where it binds nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

SELF = Path("/proc/self")
"""Where Linux tells a process's control groups and what is mounted where."""
SLURM_CORES = "SLURM_CPUS_ON_NODE"
"""Environment: how many cores Slurm gave a job on this machine."""


def cores() -> int:
    """Cores that this process may use, at least one: a share of a core (half a core, 1.5) is rounded down."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS
    return max(1, int(min([bound, *(quota for _, quota in _limits(SELF, "cpu", _quota)), *_slurm_cores()])))


def job_memory() -> int | None:
    """Bytes that the processes of this job may hold, where a group limits them that lies within the outermost one that
    is shown: a job's on a machine that it shares. None elsewhere; of a container the outermost is its own."""
    limits = [int(limit) for inside, limit in _limits(SELF, "memory", _memory) if inside]
    return min(limits, default=None)


def _slurm_cores() -> list[int]:
    told = os.environ.get(SLURM_CORES, "")
    return [int(told)] if told.isdecimal() and int(told) else []


def _quota(group: Path) -> float | None:
    """Cores of a group, by its processor time in each period; None where it has no limit."""
    both = _read(group / "cpu.max").split()  # of the second version
    both = both or [*_read(group / "cpu.cfs_quota_us").split(), *_read(group / "cpu.cfs_period_us").split()]
    quota, period = (*both, "", "")[:2]
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None  # neither "max" nor -1


def _memory(group: Path) -> int | None:
    """Bytes of a group; None where it has no limit."""
    told = (_read(group / "memory.max") or _read(group / "memory.limit_in_bytes")).strip()
    return int(told) if told.isdecimal() and int(told) < _unlimited() else None


def _unlimited() -> int:
    """What the first version says where there is no limit is more than any machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limits(process: Path, controller: str, limit: Callable[[Path], float | None]) -> Iterator[tuple[bool, float]]:
    """The limit of each group that the process is in, its own and those around it, as far up as they are shown; and
    whether that group lies within the outermost."""
    for mounted, place in _mounted(process, controller):
        for group in [Path(place), *Path(place).parents]:
            if (found := limit(mounted / group)) is not None:
                yield group != Path(), found


def _mounted(process: Path, controller: str) -> Iterator[tuple[Path, str]]:
    """Where the groups of a controller are mounted, and the process's own below that. Both versions can be."""
    own = dict(_groups(process))
    for line in _read(process / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = (*after.split(maxsplit=2), "", "")[:3]
        root, mounted = before.split()[3:5]
        named = "" if kind == "cgroup2" else controller
        fits = kind == "cgroup2" or (kind == "cgroup" and controller in options.split(",")[1:])
        if fits and named in own:
            yield Path(mounted), _below(own[named], root)


def _groups(process: Path) -> Iterator[tuple[str, str]]:
    """The group by each controller; by no name in the second version, which has one for all."""
    for line in _read(process / "cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, group


def _below(group: str, root: str) -> str:
    """A group's place below what is mounted; that itself where a container is not shown what lies around it."""
    inside = os.path.relpath(group, root)
    return "." if inside.startswith("..") else inside


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError:  # another system, another version, or a group that lies outside what is shown
        return ""
