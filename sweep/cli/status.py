"""What `sweep status` prints, from the ledger alone."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sweep.layout import SweepPaths
from sweep.ledger import lock
from sweep.ledger.origin import counted, origin_of
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.again import TROUBLED
from sweep.results.elsewhere import taken_from
from sweep.results.read import Trial, distinct, trials
from sweep.text import duration

MOST_TROUBLES = 10
"""Lines at the end of a run; `sweep status` has all."""


@dataclass(frozen=True)
class Seen:
    """A sweep as its ledger had it at one moment."""

    plan: Plan
    trials: list[Trial]
    """Of every slot of the plan, in its order."""
    driver: str | None
    """Who runs it, as a sentence; None where nobody does."""

    def rows(self, *, failed: bool = False) -> list[dict[str, Any]]:
        """One row per planned trial, or per one that broke or diverged."""
        return [
            {
                "trial": trial.slot.name,
                "key": trial.key or "",
                "state": trial.state,
                "epoch": f"{trial.epochs}/{trial.slot.epochs}",
                "test": f"{trial.body['last']['test_acc']:.2f}" if "last" in trial.body else "",
                "from": origin.sweep if (origin := origin_of(trial.body)) else "",
                "reason": trial.body.get("reason", ""),
                "log": trial.body.get("log", ""),
            }
            for trial in self.trials
            if not failed or trial.state in TROUBLED
        ]

    @property
    def summary(self) -> str:
        """One line on the sweep as a whole."""
        each = distinct(self.trials)
        counts = ", ".join(f"{count} {state}" for state, count in Counter(trial.state for trial in each).items())
        trained = [trial for trial in each if origin_of(trial.body) is None]
        seconds = duration(sum(trial.body.get("seconds", 0.0) for trial in trained))
        taken = counted(taken_from(each))
        others = f"; taken over: {taken}" if taken else ""
        by = f"running: {self.driver}" if self.driver else "not running"
        what = f"{self.plan.name} on {self.plan.dataset}: {len(each)} trials"
        return f"{what}: {counts}{others}; {seconds} of training; {by}\n\n"


def look(paths: SweepPaths) -> Seen:
    """Read the ledger once. Raises InputError where the sweep has no plan yet."""
    with closing(Ledger(paths.ledger)) as ledger:
        plan, planned = trials(ledger)
    return Seen(plan, planned, lock.holder(paths.lock))


def troubles(paths: SweepPaths) -> list[str]:
    """What went wrong, trials with the same reason in one line: ``out-of-memory: NAME and 2 others: why``."""
    with closing(Ledger(paths.ledger)) as ledger:
        _, planned = trials(ledger)
    bad: dict[tuple[str, str], list[Trial]] = {}
    for trial in distinct(planned):
        if trial.state in TROUBLED:
            bad.setdefault((trial.state, trial.body.get("reason", "")), []).append(trial)
    lines = [_trouble(state, reason, some) for (state, reason), some in bad.items()]
    left, seen = len(lines) - MOST_TROUBLES, paths.root.typed(f"status {paths.folder.name}")
    return lines[:MOST_TROUBLES] + ([f"and {left} other reasons: {seen}"] if left > 0 else [])


def _trouble(state: str, reason: str, some: list[Trial]) -> str:
    others = "" if len(some) == 1 else " and 1 other" if len(some) == 2 else f" and {len(some) - 1} others"
    log = some[0].body.get("log", "")
    return f"{state}: {some[0].slot.name}{others}: {reason}{f' (log: {log})' if log else ''}"
