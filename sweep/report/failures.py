"""What failed, diverged or was given up, and why."""

from __future__ import annotations

from sweep.ledger.failures import BROKEN
from sweep.report.history import History
from sweep.report.markup import element, joined, paragraph, table
from sweep.report.section import Section
from sweep.results.read import Trial

FINE = ("finished", "running", "paused", "waiting")
COLUMNS = ("trial", "state", "epochs", "reason", "log")
FIRST = (*BROKEN, "diverged", "interrupted", "pruned")
"""The order in which they are listed."""
LISTED = 500
"""Rows at most; searches may give up thousands of trials."""


def section(history: History) -> Section:
    """Every trial that gave no number, with its reason."""
    bad = [trial for trial in history.trials if trial.state not in FINE]
    if not bad:
        nothing = "No trial failed, diverged, was interrupted or given up."
        return Section("failures", "Failures", paragraph(nothing))
    bad.sort(key=lambda trial: FIRST.index(trial.state) if trial.state in FIRST else len(FIRST))
    counts = {state: sum(trial.state == state for trial in bad) for state in dict.fromkeys(t.state for t in bad)}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    more = f" The first {LISTED} are listed." if len(bad) > LISTED else ""
    rows = [_row(trial) for trial in bad[:LISTED]]
    parts = [paragraph(f"{told} of {len(history.trials)} trials.{more}"), table(COLUMNS, rows, right=(2,))]
    return Section("failures", "Failures", joined(parts))


def _row(trial: Trial) -> list[str]:
    log = trial.body.get("log", "")
    return [
        trial.slot.name,
        trial.state,
        f"{trial.epochs}/{trial.slot.epochs}",
        _reason(trial),
        element("code", log) if log else "",
    ]


def _reason(trial: Trial) -> str:
    if trial.state == "pruned":
        return "its search gave it up: others of its cell were better at this epoch"
    if trial.state == "interrupted":
        return "the sweep was stopped; the same command goes on from the checkpoint"
    return str(trial.body.get("reason", ""))
