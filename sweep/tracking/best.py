"""Which epoch was a trial's best, and what its charts are drawn from, as its run in MLflow shows it.

The ledger notes a trial's end under the protocol of its day, and reads it under that of the latest plan
(:func:`sweep.ledger.bodies.under_protocol`). So do the runs: those that ended before get the numbers that hold now.
What is charted (:mod:`sweep.tracking.charted`) grows with the plan, and runs of an earlier release have none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from sweep.ledger.bodies import under_protocol
from sweep.ledger.store import Event, Ledger
from sweep.plan.slots import Plan
from sweep.tracking.charted import Charted
from sweep.tracking.news import step_of
from sweep.tracking.run_content import BEST, metrics_at, summary_metrics
from sweep.tracking.runs import Shown
from sweep.tracking.views import hyperparameters

LATER = 0.001
"""Seconds that MLflow tells apart: of two values at one step it shows the later one."""


def charted(ledger: Ledger) -> Charted | None:
    """What is charted by the latest plan; None before there is one."""
    latest = ledger.latest("plan")
    if latest is None:
        return None
    plan = Plan.from_json(latest.body)
    return Charted(plan, hyperparameters(plan))


class Drawn:
    """What is charted of the trials that end while a sweep is told, by its latest plan."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._charted: Charted | None = None

    def follow(self, event: Event) -> None:
        """An event of the sweep's own may be another plan."""
        self._charted = None if event.kind == "plan" else self._charted

    def metrics(self, end: Event) -> list[Any]:
        """Of a trial's end, as MLflow's client takes them."""
        self._charted = self._charted or charted(self._ledger)
        start = next(self._ledger.events("start", trial=end.trial, limit=1), None)
        numbers = self._charted.numbers(start.body, end.body) if self._charted and start else {}
        return metrics_at(numbers, end.time, step_of(end)) if numbers else []


def outdated(shown: dict[str, Shown], ledger: Ledger) -> Iterator[tuple[str, list[Any]]]:
    """The runs that lack such numbers or show others than the plan has it, by key, with the metrics that correct them.

    A run that shows none (its numbers were refused, or are on their way) is left alone.
    """
    plan, drawn = ledger.latest("plan"), charted(ledger)
    if plan is None or drawn is None:
        return
    starts = {event.trial: event.body for event in ledger.events("start")}
    for key, end in {event.trial or "": event for event in ledger.events("final", "retrained")}.items():
        said = shown[key].best if key in shown else {}
        now = _numbers(ledger, end, drawn, starts.get(key)) if said else {}
        lacking = {name: value for name, value in now.items() if name not in said}
        changed = {name: value for name, value in now.items() if said.get(name, value) != value}
        news = metrics_at(lacking, end.time, step_of(end))  # as if it had been known when the trial ended
        news += metrics_at(changed, max(plan.time, end.time + LATER), step_of(end))
        if news:
            yield key, news


def _numbers(ledger: Ledger, end: Event, drawn: Charted, start: dict[str, Any] | None) -> dict[str, float]:
    """The numbers of a trial's best epoch, none where it has none, and those of its charts."""
    epochs = partial(ledger.events, "epoch", trial=end.trial)
    body = under_protocol(end.body, drawn.protocol, lambda: [one.body for one in epochs()])
    best = {name: value for name, value in summary_metrics(body).items() if name in BEST}
    return best | (drawn.numbers(start, body) if start and end.kind == "final" else {})
