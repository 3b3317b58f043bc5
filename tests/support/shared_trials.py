"""Sweeps below one root that have trials in common, with made-up numbers and real files of weights."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from rich.console import Console

from sweep.engine.display import PlainDisplay
from sweep.engine.queue import TrialQueue
from sweep.engine.sharing import Sharing
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.standing import ended
from sweep.search.searches import Searches
from tests.support.examples import begin, job_of, record, small_spec, teacher_of
from trainers.config import TeacherConfig
from trainers.storage.checkpoint import save_tensors

ACCURACIES = (60.0, 70.0, 80.0)
"""Of the three epochs that these trials have."""


def plan_of(name: str, **changes: object) -> Plan:
    """The plan of a small spec under another name."""
    return build_plan(small_spec(**({"name": name} | changes)))


@contextmanager
def opened(root: Root, name: str) -> Iterator[Ledger]:
    """A sweep's ledger."""
    with Ledger(root.sweep(name).ledger) as ledger:
        yield ledger


def finish(root: Root, plan: Plan, slots: Sequence[Slot], accuracies: Sequence[float] = ACCURACIES) -> list[str]:
    """Train some trials of a sweep to their ends; their keys."""
    with opened(root, plan.name) as ledger:
        if ledger.latest("plan") is None:
            begin(ledger, plan)
        keys = [record(ledger, plan, slot, accuracies, made_with={"torch": "1"}) for slot in slots]
    for key in keys:
        save_tensors(root.sweep(plan.name).trial(key) / "weights.pt", {"of": key, "made": torch.ones(3)})
    return keys


class Taking:
    """The driver of a sweep, up to the moment at which it would start workers; all its teachers are stored, where
    nobody names others."""

    def __init__(
        self, root: Root, plan: Plan, ledger: Ledger, teachers: dict[str, TeacherConfig] | None = None
    ) -> None:
        self.out = io.StringIO()
        if teachers is None:
            teachers = {slot.id: teacher_of(slot) for slot in plan.teachers}
        self.queue = TrialQueue(plan, teachers, ended(plan, teachers, ledger), Searches(plan, ledger))
        if ledger.latest("plan") is None:
            begin(ledger, plan)
        display = PlainDisplay(Console(file=self.out, width=200))
        self.sharing = Sharing(root.sweep(plan.name), ledger, plan.protocol, display)
        self.sharing.begin(self.queue)

    @property
    def said(self) -> str:
        return self.out.getvalue()


def take(root: Root, plan: Plan) -> Taking:
    """What a run of a sweep takes over when it begins."""
    with opened(root, plan.name) as ledger:
        return Taking(root, plan, ledger)


def done_in(root: Root, name: str) -> set[str]:
    """Keys of the trials that have ended in a sweep."""
    with opened(root, name) as ledger:
        return set(ledger.finals())


def keys_of(plan: Plan, method: str) -> set[str]:
    """Keys of a method's trials."""
    return {job_of(plan, slot).key for slot in plan.students if slot.method == method}


def slots_of(plan: Plan, method: str) -> list[Slot]:
    """The slots of a method."""
    return [slot for slot in plan.students if slot.method == method]
