"""What `sweep status` prints, from the ledger alone."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any

from sweep import lock
from sweep.display import duration
from sweep.layout import SweepPaths
from sweep.leaderboard import Trial, distinct, trials
from sweep.ledger import Ledger


def trial_rows(paths: SweepPaths) -> list[dict[str, Any]]:
    """One row per planned trial."""
    with closing(Ledger(paths.ledger)) as ledger:
        _, found = trials(ledger)
    alive = lock.holder(paths.lock) is not None
    return [
        {
            "trial": trial.slot.name,
            "key": trial.key or "",
            "state": _state(trial, alive),
            "epoch": f"{trial.epochs}/{trial.slot.epochs}",
            "test": f"{trial.body['last']['test_acc']:.2f}" if "last" in trial.body else "",
            "reason": trial.body.get("reason", "") if trial.state in ("failed", "diverged") else "",
            "log": trial.body.get("log", "") if trial.state == "failed" else "",
        }
        for trial in found
    ]


def summary(paths: SweepPaths) -> str:
    """One line on the sweep as a whole."""
    with closing(Ledger(paths.ledger)) as ledger:
        plan, found = trials(ledger)
    found = distinct(found)
    running = lock.holder(paths.lock)
    states = Counter(_state(trial, running is not None) for trial in found)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    seconds = duration(sum(trial.body.get("seconds", 0.0) for trial in found))
    by = f"running: {running}" if running else "not running"
    return f"{plan.name} on {plan.dataset}: {len(found)} trials: {counts}; {seconds} of training; {by}\n\n"


def _state(trial: Trial, alive: bool) -> str:
    """A trial that was running when its driver died is waiting to be continued."""
    return "interrupted" if trial.state == "running" and not alive else trial.state
