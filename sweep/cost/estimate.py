"""What a plan will cost, judged by epochs that were timed below this root, and what the spec's budget allows."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cost import calibration
from sweep.cost.prices import devices_of
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.kinds import kind_name, kind_of
from sweep.plan.labels import teacher_of
from sweep.text import duration
from trainers.allotment import cores
from trainers.errors import StorageError

if TYPE_CHECKING:
    from sweep.plan.slots import Plan, SearchedCell, Slot

BYTES = 4
"""Of a weight."""
COPIES = 4
"""Of a live trial's weights on the disk: two checkpoints, each with the optimiser's momentum."""


class Pace:
    """Seconds per epoch, remembered from every sweep below a root, and from what was calibrated on this machine.

    Args:
        root: where sweeps were run.
        on_gpu: which of the calibrations to use.
    """

    def __init__(self, root: Root, on_gpu: bool = False) -> None:
        self._on_gpu = on_gpu
        self._rehearsed = calibration.remembered(root).timed
        self._seconds: dict[tuple[Any, ...], list[float]] = {}
        for name in root.names():
            with suppress(StorageError):  # of another sweep, which says so itself
                self._read(root.sweep(name).ledger)

    def _read(self, path: Path) -> None:
        with closing(Ledger(path)) as ledger:
            timed = ledger.seconds_per_epoch()
            for event in ledger.events("start"):
                if event.trial in timed:
                    self._note(event.body, timed[event.trial])

    def _note(self, body: dict[str, Any], seconds: float) -> None:
        exact = kind_of(body["pair"], body["config"])
        for kind in (exact, exact[1:]):
            self._seconds.setdefault(kind, []).append(seconds)

    def seconds(self, pair: str, config: dict[str, Any], sharing: int = 1) -> float | None:
        """Median seconds of an epoch of such a trial; where none has run, of a rehearsed one; of other methods on the
        same networks; None where nothing like it was timed.

        Args:
            pair: of the trial.
            config: of the trial.
            sharing: trials that share the teacher's logits with it, itself included.
        """
        exact = kind_of(pair, config)
        rehearsed = self._rehearsed.get(kind_name(pair, config, self._on_gpu))
        if exact not in self._seconds and rehearsed is not None:
            return rehearsed.epoch_seconds + rehearsed.teacher_seconds / sharing
        timed = self._seconds.get(exact) or self._seconds.get(exact[1:])
        return statistics.median(timed) if timed else None


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
        """Hours of training, times the devices of a trial."""
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


def estimate(plan: Plan, over: Collection[str], tried: Mapping[str, int], root: Root) -> Estimate:
    """What is left to run.

    Args:
        plan: the whole plan.
        over: ids of the slots that have ended.
        tried: trials of each search that have ended, its confirming ones included, by cell id.
        root: where sweeps were timed.
    """
    pace = Pace(root, plan.compute["gpus"] != 0)
    left: list[tuple[Slot | SearchedCell, int]] = [(slot, 1) for slot in _distinct(plan.slots) if slot.id not in over]
    left += [(cell, max(cell.trials - tried.get(cell.id, 0), 0)) for cell in plan.cells]
    shared = _sharing(plan)
    seconds, unknown = 0.0, 0
    for planned, count in left:
        each = pace.seconds(planned.pair, planned.config, shared[_lesson(planned)])
        seconds += count * planned.epochs * (each or 0.0)
        unknown += count if each is None else 0
    return Estimate(seconds, unknown, _room(plan), devices(plan))


def devices(plan: Plan) -> float:
    """Of one trial: the GPUs of its workers, or their CPUs where they have none."""
    return devices_of(plan.compute)


def _sharing(plan: Plan) -> Counter[tuple[str, int]]:
    """How many trials of the plan read the same logits, by :func:`_lesson`."""
    shared = Counter(_lesson(slot) for slot in _distinct(plan.slots))
    for cell in plan.cells:
        shared[_lesson(cell)] += cell.budget
    return shared


def _lesson(planned: Slot | SearchedCell) -> tuple[str, int]:
    """A pair's teacher, and the seed that decides the views."""
    return teacher_of(planned.pair), int(planned.config["seed"])


def _distinct(slots: tuple[Slot, ...]) -> list[Slot]:
    return list({slot.id: slot for slot in slots}.values())


def _room(plan: Plan) -> int:
    """Trials side by side on this machine, as far as it can be told without Ray."""
    import torch

    cpus, gpus = plan.compute["cpus"], plan.compute["gpus"]
    fits = cores() // cpus
    workers = min(fits, gpu_shares(torch.cuda.device_count(), gpus)) if gpus else fits
    return int(workers // plan.compute["workers"])


def gpu_shares(gpus: float, each: float) -> int:
    """How many trials of `each` GPUs go on a machine's; a fraction never spans two."""
    return int(gpus) * int(1 / each + 1e-9) if each < 1 else int(gpus // each)


def disk_bytes(plan: Plan, classes: int) -> int:
    """Bytes that the plan's weights and checkpoints take at most, all trials finished and as many live as fit, each
    with others in its worker where they may be."""
    from trainers.models import build
    from trainers.models.outline import outlines

    sizes: dict[str, int] = {}
    with outlines():
        models = {slot.config["model"] for slot in plan.slots} | {cell.config["model"] for cell in plan.cells}
        for model in models:
            sizes[model] = BYTES * sum(p.numel() for p in build(model, num_classes=classes).parameters())
    kept = sum(sizes[slot.config["model"]] for slot in _distinct(plan.slots))
    kept += sum(cell.trials * sizes[cell.config["model"]] for cell in plan.cells)
    live = min(_room(plan) * int(plan.compute.get("cohort", 1)), plan.count)
    return kept + COPIES * live * max(sizes.values(), default=0)
