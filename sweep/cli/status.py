"""What `sweep status` prints, from the ledger alone."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any

from sweep.layout import SweepPaths
from sweep.ledger import lock
from sweep.ledger.failures import BROKEN
from sweep.ledger.store import Ledger
from sweep.results.read import Trial, distinct, trials
from sweep.text import duration

MOST_TROUBLES = 10
"""Lines at the end of a run; `sweep status` has all."""


TROUBLED = (*BROKEN, "diverged")
"""States of trials that gave no number, and will not without somebody's doing."""


def trial_rows(paths: SweepPaths, *, failed: bool = False) -> list[dict[str, Any]]:
    """One row per planned trial, or per one that broke or diverged."""
    with closing(Ledger(paths.ledger)) as ledger:
        _, planned = trials(ledger)
    return [
        {
            "trial": trial.slot.name,
            "key": trial.key or "",
            "state": trial.state,
            "epoch": f"{trial.epochs}/{trial.slot.epochs}",
            "test": f"{trial.body['last']['test_acc']:.2f}" if "last" in trial.body else "",
            "reason": trial.body.get("reason", ""),
            "log": trial.body.get("log", ""),
        }
        for trial in planned
        if not failed or trial.state in TROUBLED
    ]


def summary(paths: SweepPaths) -> str:
    """One line on the sweep as a whole."""
    with closing(Ledger(paths.ledger)) as ledger:
        plan, planned = trials(ledger)
    planned = distinct(planned)
    running = lock.holder(paths.lock)
    states = Counter(trial.state for trial in planned)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    seconds = duration(sum(trial.body.get("seconds", 0.0) for trial in planned))
    by = f"running: {running}" if running else "not running"
    return f"{plan.name} on {plan.dataset}: {len(planned)} trials: {counts}; {seconds} of training; {by}\n\n"


def troubles(paths: SweepPaths) -> list[str]:
    """What went wrong, trials with the same reason in one line: ``out-of-memory: NAME and 2 others: why``."""
    with closing(Ledger(paths.ledger)) as ledger:
        _, planned = trials(ledger)
    bad: dict[tuple[str, str], list[Trial]] = {}
    for trial in distinct(planned):
        if trial.state in TROUBLED:
            bad.setdefault((trial.state, trial.body.get("reason", "")), []).append(trial)
    lines = [_trouble(state, reason, some) for (state, reason), some in bad.items()]
    left = len(lines) - MOST_TROUBLES
    return lines[:MOST_TROUBLES] + ([f"and {left} other reasons: sweep status {paths.folder.name}"] if left > 0 else [])


def _trouble(state: str, reason: str, some: list[Trial]) -> str:
    others = "" if len(some) == 1 else " and 1 other" if len(some) == 2 else f" and {len(some) - 1} others"
    log = some[0].body.get("log", "")
    return f"{state}: {some[0].slot.name}{others}: {reason}{f' (log: {log})' if log else ''}"
