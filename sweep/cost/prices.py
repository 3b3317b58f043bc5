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
    total, planned = 0.0, 1.0
    own: dict[str | None, float] = {}
    for kind, trial, told in ledger.priced():
        if kind == "plan":
            planned = devices_of(json.loads(told))
        elif kind == "start":
            own[trial] = planned if told is None else float(told)
        else:
            total += float(told or 0.0) * own.get(trial, planned)
    return total
