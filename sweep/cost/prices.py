"""What trained seconds cost: each times the devices that its trial had at that time, as the ledger tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sweep.ledger.store import Ledger


def devices_of(compute: Mapping[str, Any]) -> float:
    """Of one trial: the GPUs of its workers, or their CPUs where they have none.

    Args:
        compute: a plan's; a ledger may be from before there was more than one worker.
    """
    return float(compute.get("workers", 1) * (compute["gpus"] or compute["cpus"]))


def device_seconds(ledger: Ledger) -> float:
    """Seconds of all epochs of all trials, times the devices of each.

    The start before an epoch says which its trial had. One from before that was noted is priced by the plan that was
    run then, the last one above it.
    """
    bill = Bill()
    for kind, trial, told in ledger.priced():
        if kind == "plan":
            bill.plan(json.loads(told))
        elif kind == "start":
            bill.start(trial, told)
        else:
            bill.epoch(trial, told)
    return bill.device_seconds


class Bill:
    """Adds up seconds of epochs times devices, event by event: of every plan, start and epoch, in the order written."""

    def __init__(self) -> None:
        self.device_seconds = 0.0
        self._planned = 1.0
        self._own: dict[str | None, float] = {}

    def plan(self, compute: Mapping[str, Any]) -> None:
        """The plan that is run from here on, by what it gives each trial."""
        self._planned = devices_of(compute)

    def start(self, trial: str | None, devices: float | None) -> None:
        """A trial was taken up with so many devices; None where that was not noted."""
        self._own[trial] = self._planned if devices is None else float(devices)

    def epoch(self, trial: str | None, seconds: float | None) -> None:
        """An epoch of a trial has ended."""
        self.device_seconds += float(seconds or 0.0) * self.price(trial)

    def price(self, trial: str | None) -> float:
        """Devices that a trial has now."""
        return self._own.get(trial, self._planned)
