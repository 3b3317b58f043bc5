"""Which epoch was a trial's best, as its run in MLflow shows it: by the protocol that the sweep has now.

The ledger notes a trial's end under the protocol of its day, and reads it under that of the latest plan
(:func:`sweep.ledger.bodies.under_protocol`). So do the runs: those that ended before get the numbers that hold now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sweep.ledger.bodies import under_protocol
from sweep.ledger.store import Event, Ledger
from sweep.tracking.news import step_of
from sweep.tracking.run_content import BEST, metrics_at, summary_metrics
from sweep.tracking.runs import Shown

LATER = 0.001
"""Seconds that MLflow tells apart: of two values at one step it shows the later one."""


def outdated(shown: dict[str, Shown], ledger: Ledger) -> Iterator[tuple[str, list[Any]]]:
    """The runs that show another epoch as the best one than the table, by key, with the metrics that correct them.

    A run that shows none (its numbers were refused, or are on their way) is left alone.
    """
    plan = ledger.latest("plan")
    if plan is None:
        return
    for key, end in {event.trial or "": event for event in ledger.events("final", "retrained")}.items():
        said = shown[key].best if key in shown else {}
        now = _best(ledger, end, plan.body["protocol"]) if said else {}
        if now != said:
            yield key, metrics_at(now, max(plan.time, end.time + LATER), step_of(end))


def _best(ledger: Ledger, end: Event, protocol: str) -> dict[str, float]:
    """The numbers of a trial's best epoch; none where it has none."""
    body = under_protocol(end.body, protocol, lambda: [one.body for one in ledger.events("epoch", trial=end.trial)])
    return {name: value for name, value in summary_metrics(body).items() if name in BEST}
