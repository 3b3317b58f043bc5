"""How many trials have room side by side, on this machine or on a cluster that grows and shrinks."""

from __future__ import annotations

import time

from sweep.cost.estimate import gpu_shares
from sweep.plan.slots import Plan
from sweep.text import counted
from trainers.errors import InputError

JOIN_SECONDS = 120.0
"""What the machines of a cluster get to join before a sweep that none of them has room for is refused."""
JOIN_POLL_SECONDS = 1.0
ROOM_SECONDS = 5.0
"""How often a cluster is asked how many trials it has room for."""


def check_resources(plan: Plan, patience: float = 0) -> None:
    """Raises InputError when no machine has room for one trial: Ray would wait for ever.

    Args:
        plan: whose trials are to run.
        patience: seconds for machines to join that are not there yet.
    """
    deadline = time.monotonic() + patience
    while room(plan) == 0:
        if time.monotonic() > deadline:
            who = f"after {patience:g} s the cluster's machines have" if patience else "this machine has"
            raise InputError(_too_small(plan, who))
        time.sleep(JOIN_POLL_SECONDS)


def _too_small(plan: Plan, who: str) -> str:
    cpus, gpus, workers = plan.compute["cpus"], plan.compute["gpus"], plan.compute["workers"]
    have = ", ".join(_devices(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes())
    several = workers > 1
    return (
        f"a trial asks for {f'{workers} workers of ' if several else ''}{_devices(cpus, gpus)} (compute: in the spec),"
        f" but {who} {have}; lower compute.cpus{', ' if several else ' or '}compute.gpus"
        f"{' or compute.workers' if several else ''}"
    )


def _devices(cpus: float, gpus: float) -> str:
    return f"{counted(cpus, 'CPU')} and {counted(gpus, 'GPU')}"


class Room:
    """How many trials may run side by side, at least one; on a cluster machines join and leave while a sweep runs."""

    def __init__(self, plan: Plan, changes: bool) -> None:
        self._plan, self._changes = plan, changes
        self._known, self._asked = 0, 0.0

    def __call__(self) -> int:
        if self._known == 0 or (self._changes and time.monotonic() - self._asked > ROOM_SECONDS):
            self._known, self._asked = max(1, room(self._plan)), time.monotonic()
        return self._known


def room(plan: Plan) -> int:
    """How many trials fit side by side; the workers of one may be on several machines."""
    room = 0
    for have in nodes():
        fits = [have.get("CPU", 0) // plan.compute["cpus"]]
        if plan.compute["gpus"]:
            fits.append(gpu_shares(have.get("GPU", 0), plan.compute["gpus"]))
        room += int(min(fits))
    return int(room // plan.compute["workers"])


def nodes() -> list[dict[str, float]]:
    """The resources of every machine of the cluster that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
