"""Where the numbers come from: commits, releases and machines of each run, and where trials were trained."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sweep.ledger.provenance import shown
from sweep.ledger.store import Event
from sweep.report.history import History
from sweep.report.markup import Markup, joined, paragraph, table

SHORT = 12
"""Characters of a commit that are shown."""
LISTED = 50
"""Runs at most: the latest."""
COLUMNS = ("began (UTC)", "commits", "releases", "machine")


def part(history: History) -> Markup:
    """A table of the runs; nothing of a sweep that earlier releases alone have run, which noted none of it."""
    runs = [event for event in history.runs if "provenance" in event.body]
    if not runs:
        return Markup()
    head = paragraph(f"The last {LISTED} of {len(runs)} runs:") if len(runs) > LISTED else Markup()
    rows = [_row(event) for event in runs[-LISTED:]]
    return joined([head, table(COLUMNS, rows), _machines(history)])


def _row(event: Event) -> list[str]:
    noted = event.body["provenance"]
    began = datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M")
    releases = ", ".join(f"{name} {release}" for name, release in noted["releases"].items())
    return [began, _commits(noted["repositories"]) or "none known", releases, _machine(noted["machine"])]


def _commits(repositories: dict[str, dict[str, Any]]) -> str:
    return ", ".join(f"{name} {shown(state, SHORT)}" for name, state in repositories.items())


def _machine(noted: dict[str, str]) -> str:
    driver = [f"driver {noted['driver']}"] if "driver" in noted else []
    return ", ".join([noted[name] for name in ("host", "gpu", "cpu") if name in noted] + driver)


def _machines(history: History) -> Markup:
    """How many trials each machine has ended."""
    places = [trial.body["ran_on"] for trial in history.trials if "ran_on" in trial.body]
    counts = Counter(map(_machine, places))
    told = "; ".join(f"{machine} ({count})" for machine, count in sorted(counts.items()))
    return paragraph(f"Trained on: {told}.") if told else Markup()
