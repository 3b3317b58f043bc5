"""What the ledger says of a trial's attempts, as a run of MLflow needs it: had it started, had it ended, and why."""

from __future__ import annotations

from typing import Any

from sweep.ledger.store import Event, Ledger
from sweep.tracking.news import step_of
from sweep.tracking.run_content import metrics_at, replaced_metrics


def has_started(ledger: Ledger, event: Event) -> bool:
    """Whether an event's trial had started by then: a search asks for a trial before that starts."""
    start = next(ledger.events("start", trial=event.trial, limit=1), None)
    return start is not None and start.seq <= event.seq


def has_ended(ledger: Ledger, event: Event) -> bool:
    """Whether an event's trial had ended for good before."""
    final = next(ledger.events("final", trial=event.trial, limit=1), None)
    return final is not None and final.seq < event.seq


def reason(ledger: Ledger, trial: str, body: dict[str, Any]) -> dict[str, str]:
    """Why a trial ended as it did, by the event that ended it; where an earlier attempt broke, that is no reason any
    more."""
    broke = next(ledger.events("failed", trial=trial, limit=1), None)
    return {"reason": body.get("reason", "")} if "reason" in body or broke else {}


def replaced(ledger: Ledger, event: Event) -> list[Any]:
    """What takes the place of a former teacher's numbers, at their step: MLflow's metrics, of the event that says how
    it was trained again."""
    final = next(ledger.events("final", trial=event.trial, limit=1), None)
    former = final.body.get("last", {}) if final else {}
    return metrics_at(replaced_metrics(event.body["last"], former), event.time, step_of(event))
