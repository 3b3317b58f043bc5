"""What a plan will cost, judged by epochs that were timed below this root, and what the spec's budget allows."""

from __future__ import annotations

import os
import statistics
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sweep.display import duration
from sweep.layout import Root
from sweep.ledger import Ledger
from trainers.errors import InputError

if TYPE_CHECKING:
    from sweep.plan import Plan, Slot

TIMED_BY = (
    "batch_size",
    "samples_per_class",
    "test_per_class",
    "val_fraction",
    "views",
    "precision",
    "compile",
    "diagnostics",
    "diagnostics_every",
)
"""Recipe fields that decide how long an epoch takes; the others, such as the learning rate, do not."""
BYTES = 4
"""Of a weight."""
COPIES = 4
"""Of a live trial's weights on the disk: two checkpoints, each with the optimiser's momentum."""


class Pace:
    """Seconds per epoch, remembered from every sweep below a root."""

    def __init__(self, root: Root) -> None:
        self._seconds: dict[tuple[Any, ...], list[float]] = {}
        for name in root.names():
            with closing(Ledger(root.sweep(name).ledger)) as ledger:
                timed = ledger.seconds_per_epoch()
                for event in ledger.events("start"):
                    if event.trial in timed:
                        self._note(event.body, timed[event.trial])

    def _note(self, body: dict[str, Any], seconds: float) -> None:
        exact = _kind(body["pair"], body["config"])
        for kind in (exact, exact[1:]):
            self._seconds.setdefault(kind, []).append(seconds)

    def seconds(self, pair: str, config: dict[str, Any]) -> float | None:
        """Median seconds of an epoch of such a trial; of other methods on the same networks where it is a new one; None
        where nothing like it was timed."""
        exact = _kind(pair, config)
        found = self._seconds.get(exact) or self._seconds.get(exact[1:])
        return statistics.median(found) if found else None


def _kind(pair: str, config: dict[str, Any]) -> tuple[Any, ...]:
    """What decides the length of an epoch, the method first."""
    teacher = pair.partition("→")[0].partition("@")[0] if "→" in pair and config["method"]["name"] != "scratch" else ""
    recipe = [config["recipe"].get(name) for name in TIMED_BY]
    return (config["method"]["name"], teacher, config["model"], config["dataset"]["content"], *recipe)


@dataclass(frozen=True)
class Estimate:
    """What is left of a plan."""

    seconds: float
    """Of training, summed over trials."""
    unknown: int
    """Trials of a kind that was never timed; their share is not in `seconds`."""
    room: int
    """Trials side by side on this machine."""
    share: float
    """Devices of a trial: its GPUs, or its CPUs where it has none."""

    @property
    def device_hours(self) -> float:
        return self.seconds * self.share / 3600

    @property
    def wall(self) -> timedelta:
        """Until the end, if every device is busy."""
        return timedelta(seconds=self.seconds / max(self.room, 1))

    def text(self, now: datetime) -> str:
        """One line: ``about 0.4 device hours, 12 min on this machine, until 14:05``."""
        if not self.unknown and not self.seconds:
            return "cost: nothing left to run"
        if self.unknown and not self.seconds:
            return "cost: not known yet, as no epoch of these trials was timed below this root"
        end = now + self.wall
        when = f"{end:%H:%M}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"
        text = (
            f"cost: about {self.device_hours:.2g} device hours, {duration(self.wall.total_seconds())} on this machine"
        )
        text += f", until {when}"
        return text + (f"; and {self.unknown} trials of a kind that was not timed yet" if self.unknown else "")


def estimate(plan: Plan, over: set[str], tried: dict[str, int], root: Root) -> Estimate:
    """What is left to run.

    Args:
        plan: the whole plan.
        over: ids of the slots that have ended.
        tried: search trials that have ended, by cell id.
        root: where sweeps were timed.
    """
    pace = Pace(root)
    left = [(slot.pair, slot.config, slot.epochs, 1) for slot in _distinct(plan.slots) if slot.id not in over]
    left += [(cell.pair, cell.config, cell.epochs, max(cell.trials - tried.get(cell.id, 0), 0)) for cell in plan.cells]
    seconds, unknown = 0.0, 0
    for pair, config, epochs, count in left:
        each = pace.seconds(pair, config)
        seconds += count * epochs * (each or 0.0)
        unknown += count if each is None else 0
    cpus, gpus = plan.compute["cpus"], plan.compute["gpus"]
    return Estimate(seconds, unknown, _room(cpus, gpus), gpus or cpus)


def _distinct(slots: tuple[Slot, ...]) -> list[Slot]:
    return list({slot.id: slot for slot in slots}.values())


def _room(cpus: int, gpus: float) -> int:
    """Trials side by side on this machine, as far as it can be told without Ray."""
    import torch

    fits = (os.cpu_count() or 1) // cpus
    return min(fits, int(torch.cuda.device_count() / gpus)) if gpus else fits


def disk_bytes(plan: Plan, classes: int) -> int:
    """Bytes that the plan's weights and checkpoints take at most, all trials finished and as many live as fit."""
    import torch

    from trainers.models import build

    sizes: dict[str, int] = {}
    with torch.device("meta"):
        models = {slot.config["model"] for slot in plan.slots} | {cell.config["model"] for cell in plan.cells}
        for model in models:
            sizes[model] = BYTES * sum(p.numel() for p in build(model, num_classes=classes).parameters())
    kept = sum(sizes[slot.config["model"]] for slot in _distinct(plan.slots))
    kept += sum(cell.trials * sizes[cell.config["model"]] for cell in plan.cells)
    return kept + COPIES * _room(plan.compute["cpus"], plan.compute["gpus"]) * max(sizes.values(), default=0)


class BudgetWatch:
    """Whether a sweep may start, and when it has had what the spec allows."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self._budget = plan.budget
        self._share = plan.compute["gpus"] or plan.compute["cpus"]
        self._plan = plan
        self._used = ledger.seconds_trained()
        deadline = self._budget.get("deadline")
        self._deadline = datetime.fromisoformat(deadline) if deadline else None

    def refuse(self, left: Estimate, now: datetime) -> None:
        """Raises InputError where the plan is beyond the budget, as far as that is known."""
        trials, hours = self._budget.get("max_trials"), self._budget.get("max_device_hours")
        if trials is not None and self._plan.count > trials:
            raise InputError(
                f"{self._plan.name} has {self._plan.count} trials, and budget.max_trials is {trials}; raise it, or ask"
                " for less"
            )
        used = self._used * self._share / 3600
        if hours is not None and used + left.device_hours > hours:
            raise InputError(
                f"{self._plan.name} needs about {left.device_hours:.2g} device hours and has had {used:.2g}, and"
                f" budget.max_device_hours is {hours:g}; raise it, or ask for less"
            )
        if self._deadline is not None and self._now(now) + left.wall > self._deadline:
            raise InputError(
                f"{self._plan.name} would run until {self._now(now) + left.wall:%Y-%m-%d %H:%M}, and budget.deadline is"
                f" {self._deadline:%Y-%m-%d %H:%M}; move it, or ask for less"
            )

    def spend(self, seconds: float) -> None:
        """Count an epoch."""
        self._used += seconds

    def over(self, now: datetime) -> str:
        """Why no more is to run; empty while there is budget left."""
        hours = self._budget.get("max_device_hours")
        if hours is not None and self._used * self._share / 3600 >= hours:
            return f"budget.max_device_hours ({hours:g}) is used up"
        if self._deadline is not None and self._now(now) >= self._deadline:
            return f"budget.deadline ({self._deadline:%Y-%m-%d %H:%M}) has come"
        return ""

    def _now(self, now: datetime) -> datetime:
        """`now`, with a zone where the deadline has one."""
        return now.astimezone() if self._deadline is not None and self._deadline.tzinfo else now
