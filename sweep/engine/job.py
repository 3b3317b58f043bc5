"""A job: a slot whose teacher is known, and how a worker is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.cost.prices import devices_of
from sweep.layout import Root
from sweep.plan.slots import Plan, Slot
from trainers.config import TrialConfig


@dataclass(frozen=True)
class Job:
    """A slot whose teacher is known, so that its trial has a key."""

    slot: Slot
    trial: TrialConfig
    crowded: int = 0
    """How often it ran out of memory in this run; its share of a GPU doubles each time."""

    @property
    def key(self) -> str:
        """The hash of the trial's content, by which ledger, folders and queue know it."""
        return self.trial.key


def share(gpus: float, crowded: int) -> float:
    """The GPUs of a trial that ran out of memory so often: a fraction doubles each time, up to a whole one."""
    return min(gpus * 2**crowded, 1.0) if gpus < 1 else gpus


def devices(job: Job, plan: Plan) -> float:
    """That a job's trial has: GPUs, or CPUs where it has none; more of a GPU where it ran out of memory."""
    return devices_of(plan.compute | {"gpus": share(plan.compute["gpus"], job.crowded)})


def describe_together(jobs: Sequence[Job], plan: Plan, root: Root) -> dict[str, Any]:
    """Jobs that share a worker as what :class:`sweep.engine.cohort.Cohort` takes, here or in another process: the first
    as :func:`describe` makes it, with those `beside` it."""
    first, *others = (describe(job, plan, root) for job in jobs)
    return first | {"beside": others}


def keys_of(described: dict[str, Any]) -> list[str]:
    """Of the jobs that share a worker."""
    return [described["key"], *(job["key"] for job in described["beside"])]


def describe(job: Job, plan: Plan, root: Root) -> dict[str, Any]:
    """A job as what :class:`sweep.engine.attempt.Attempt` takes, here or in another process."""
    return {
        "key": job.key,
        "stage": job.slot.stage,
        "trial": job.trial.model_dump(mode="json"),
        "folder": str(root.sweep(plan.name).trial(job.key).absolute()),
        "teachers": str(root.teachers.absolute()),
        "root": str(root.path.absolute()),
        "storage": root.storage.uri,
        "bank": str(root.bank.absolute()),
        "bank_gb": plan.compute["bank_gb"],
        "source": plan.source,
        "code": str(root.code(plan.code).absolute()) if plan.code else "",
        "workers": plan.compute["workers"],
        "cpus": plan.compute["cpus"],
        "gpus": share(plan.compute["gpus"], job.crowded),
    }
