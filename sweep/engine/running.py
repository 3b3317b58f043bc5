"""One run of a sweep, whatever trains it, and why it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sweep.cost.budget import BudgetWatch
from sweep.engine.display import Display
from sweep.engine.dividing import Dividing
from sweep.engine.queue import TrialQueue
from sweep.engine.recorder import Recorder
from sweep.engine.until import Until
from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan

BY_USER = "stopped"
"""Why a run ended early: by Ctrl-C."""
OUT_OF_TIME = "the time that this run was given is up"
"""Or so; it goes on when it is given more."""
IN_VAIN = f"{OUT_OF_TIME}, and not one epoch has ended in it: give it more at a time"
"""Or so; it would not get further with the same."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep: what there is to do, where it is written, and who hears of it."""

    plan: Plan
    """What is to run: all of the spec's plan, or its teachers alone."""
    root: Root
    queue: TrialQueue
    """The plan's slots on their way from waiting to done."""
    ledger: Ledger
    display: Display
    watch: BudgetWatch
    report: Callable[[Ledger], object]
    """Makes table and figure where the cluster is lost, and no time is left for the page."""
    drop: Callable[[Path], None] = lambda folder: None
    """Takes a folder that the storage may forget when it knows the ledger (:func:`sweep.ledger.snapshot.kept`)."""
    address: str | None = None
    """Of a running Ray cluster; None for a Ray of our own."""
    local: bool = False
    """Whether it trains in this process, without Ray."""
    until: Until | None = None
    """When it has to be over; None where it has all the time it needs."""
    lost: Callable[[], str] = lambda: ""
    """Why the sweep is another driver's by now, empty while it is ours (:mod:`sweep.ledger.lease`)."""

    dividing: Dividing | None = None
    """With whom, where several drivers divide the plan."""

    @property
    def paths(self) -> SweepPaths:
        """Where the sweep lies."""
        return self.root.sweep(self.plan.name)

    @property
    def without_ray(self) -> str:
        """Why it ends where its Ray has gone."""
        return f"the Ray cluster at {self.address} is gone" if self.address else "Ray has died on this machine"


def why_stopped(run: Run, recorder: Recorder) -> str:
    """Why a run that trains no more was stopped before its end, empty where it was not; what was in the middle of an
    epoch is noted.

    Raises:
        StorageError: when what happened could not be noted.
    """
    run.display.end()
    recorder.interrupt_live()
    if recorder.fatal is not None:
        raise recorder.fatal
    if recorder.cluster_lost:
        return run.without_ray
    if recorder.time_up:
        return OUT_OF_TIME if recorder.got_further or run.queue.held_elsewhere else IN_VAIN
    return (run.watch.over(datetime.now()) or BY_USER) if recorder.stop_requested else ""
