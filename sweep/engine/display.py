"""What the user sees while a sweep runs: a display that stays in place, or plain lines on a pipe."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.engine.job import Job
from sweep.plan.slots import Plan, SearchedCell
from sweep.text import duration

REFRESH_SECONDS = 0.25
LINE_SECONDS = 30.0
"""Plain lines: a sign of life at least this often."""
MOST_ROWS = 12
"""Of the table of means; the leaders are shown."""
MOST_RUNNING = 12
"""Trials that are shown of those that run; cohorts may have hundreds."""


class Progress:
    """How far a run is, for either display."""

    def __init__(self, plan: Plan, done: int, epochs_left: int) -> None:
        self.plan = plan
        self.total = plan.count
        self.done = done
        self.bad = 0
        self.epochs_left = epochs_left
        self._paced = 0
        """Epochs since :attr:`_began`."""
        self._began: float | None = None
        """When the first epoch was done: starting workers says nothing of the pace."""
        self._beside_first: set[str] = set()
        """Trials that ran then, and have told of none yet: their first was done beside it."""
        self.running: dict[str, tuple[Job, dict[str, Any] | None]] = {}
        self._seen: dict[str, int] = {}
        """The last epoch reported of each trial, over all attempts."""
        self.accuracies: dict[tuple[str, str], list[float]] = {}

    def started(self, job: Job) -> None:
        """A worker has taken a trial up."""
        self.running[job.key] = (job, None)

    def epoch(self, job: Job, result: dict[str, Any]) -> None:
        """Count the epochs up to a trial's last one; a resumed trial tells of several at once."""
        if self._began is None:
            self._began = time.monotonic()
            self._beside_first = {job.key, *self.running}
        self._paced += job.key not in self._beside_first
        self._beside_first.discard(job.key)
        self.epochs_left -= result["epoch"] - self._seen.get(job.key, 0)
        self._seen[job.key] = result["epoch"]
        self.running[job.key] = (job, result)

    def ended(self, job: Job, state: str, body: dict[str, Any]) -> None:
        """Count a trial that ended, unless it is tried again; `body` is that of its event in the ledger."""
        self.running.pop(job.key, None)
        if body.get("again"):
            return
        self.done = min(self.done + 1, self.total)  # a teacher that is stored anew was counted before
        self.epochs_left -= job.slot.epochs - self._seen.get(job.key, 0)
        if state not in ("finished", "pruned"):
            self.bad += 1
        elif state == "finished" and job.slot.stage == "confirm":
            self.add(job.slot.pair, job.slot.label, body)

    def paused(self, job: Job) -> None:
        """A trial runs no longer, and is not counted yet."""
        self.running.pop(job.key, None)

    def searched(self, cell: SearchedCell, won: int) -> None:
        """Count a search that has come to its end elsewhere, and its race, without the trials that confirm what it has
        `won`."""
        trials = cell.trials - won
        self.done = min(self.done + trials, self.total)
        self.epochs_left -= trials * cell.epochs

    def add(self, pair: str, label: str, body: dict[str, Any]) -> None:
        """Count a finished trial's accuracy."""
        which = "best" if self.plan.protocol == "paper" else "last"
        self.accuracies.setdefault((pair, label), []).append(body[which]["test_acc"])

    @property
    def shown(self) -> tuple[list[tuple[Job, dict[str, Any] | None]], int]:
        """Trials that run, with the last epoch of each, as many as there is room for; and how many more there are."""
        running = list(self.running.values())
        return running[:MOST_RUNNING], max(len(running) - MOST_RUNNING, 0)

    @property
    def eta(self) -> str:
        """Time left, judged by this run's epochs; empty while there is nothing to judge by."""
        if self._began is None or self._paced < 2:
            return ""
        left = (time.monotonic() - self._began) / self._paced * max(self.epochs_left, 0)
        return f"about {duration(left)} left"


class Display(ABC):
    """What a run tells the user."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress: Progress | None = None
        """None before trials start, and after the last."""
        self.begun = False
        """Whether trials have started."""

    def begin(self, progress: Progress) -> None:
        """Trials are about to start."""
        self.progress, self.begun = progress, True

    def started(self, job: Job) -> None:
        """A worker has taken a trial up."""
        if self.progress:
            self.progress.started(job)

    def epoch(self, job: Job, result: dict[str, Any]) -> None:
        """A trial has done an epoch."""
        if self.progress:
            self.progress.epoch(job, result)

    def ended(self, job: Job, state: str, body: dict[str, Any]) -> None:
        """A trial ended, or an attempt at it failed."""
        if self.progress:
            self.progress.ended(job, state, body)
        if state not in ("finished", "pruned"):
            self.note(f"{state}: {job.slot.name}: {_why(body)}")

    def taken(self, job: Job, sweep: str, body: dict[str, Any]) -> None:
        """A trial need not run, as another sweep has finished it; `body` is that of its end."""
        if self.progress:
            self.progress.ended(job, "finished", body)

    def searched(self, cell: SearchedCell, won: int) -> None:
        """A search need not run, as another driver has come to its end; so many trials confirm what it has `won`."""
        if self.progress:
            self.progress.searched(cell, won)

    def paused(self, job: Job, why: str) -> None:
        """A trial runs no longer, and may go on later."""
        if self.progress:
            self.progress.paused(job)

    def note(self, text: str) -> None:
        """One line that stays."""
        self.console.print(Text(text), soft_wrap=True)

    @abstractmethod
    def tick(self) -> None:
        """Called often; refreshes."""

    def end(self) -> None:
        """No more trials."""
        self.progress = None


def _why(body: dict[str, Any]) -> str:
    log = f" (log: {body['log']})" if body.get("log") else ""
    return f"{body.get('reason', '')}{log}{'; trying again' if body.get('again') else ''}"


class PlainDisplay(Display):
    """Lines, for a pipe or a log."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last = time.monotonic()

    def ended(self, job: Job, state: str, body: dict[str, Any]) -> None:
        """Also a line with the accuracy that decides, or with the epoch after which the trial was given up."""
        super().ended(job, state, body)
        if state == "finished":
            seconds = duration(body["seconds"])
            shown = "val" if job.slot.stage in ("search", "race") and body["last"]["val_acc"] is not None else "test"
            self._line(f"finished {job.slot.name}: {shown} {body['last'][f'{shown}_acc']:.2f} ({seconds})")
        elif state == "pruned":
            self._line(f"given up {job.slot.name} after epoch {body['epochs']}")

    def taken(self, job: Job, sweep: str, body: dict[str, Any]) -> None:
        """Also a line, of what is taken over while others run."""
        super().taken(job, sweep, body)
        if self.progress:
            self._line(f"taken over from {sweep}: {job.slot.name}: test {body['last']['test_acc']:.2f}")

    def searched(self, cell: SearchedCell, won: int) -> None:
        """Also a line."""
        super().searched(cell, won)
        if self.progress:
            self._line(f"searched by another driver: {cell.name}")

    def paused(self, job: Job, why: str) -> None:
        """Also a line, which says why the trial runs no longer."""
        super().paused(job, why)
        self._line(f"paused {job.slot.name}, {why}")

    def tick(self) -> None:
        """A line about what runs, where none was written for :data:`LINE_SECONDS`."""
        if self.progress and time.monotonic() - self._last > LINE_SECONDS:
            shown, more = self.progress.shown
            running = [
                f"{job.slot.name} (epoch {result['epoch'] if result else 0}/{job.slot.epochs})" for job, result in shown
            ]
            self._line(f"running {', '.join([*running, *([f'{more} more'] if more else [])]) or 'nothing yet'}")

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        progress = self.progress
        place = f"[{progress.done}/{progress.total}] " if progress else ""
        eta = f"; {progress.eta}" if progress and progress.eta and progress.done < progress.total else ""
        self.console.print(Text(place + text + eta), soft_wrap=True)


class LiveDisplay(Display):
    """A display that stays in place, for a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live: Live | None = None
        self._last = 0.0

    def begin(self, progress: Progress) -> None:
        """Also put the picture on the terminal."""
        super().begin(progress)
        self._live = Live(picture(self.progress), console=self.console, auto_refresh=False, transient=True)
        self._live.start(refresh=True)

    def tick(self) -> None:
        """Draw the picture again, every :data:`REFRESH_SECONDS` at most."""
        if self._live and time.monotonic() - self._last > REFRESH_SECONDS:
            self._last = time.monotonic()
            self._live.update(picture(self.progress), refresh=True)

    def end(self) -> None:
        """Also take the picture away; the notes stay."""
        super().end()
        if self._live:
            self._live.stop()
            self._live = None


def picture(progress: Progress | None) -> RenderableType:
    """How far a run is: in all, what runs, and the means so far; nothing of one that has ended."""
    if progress is None:
        return Text()
    return Group(_bar(progress), Text(), _running(progress), Text(), _means(progress))


def _bar(progress: Progress) -> RenderableType:
    row = Table.grid(padding=(0, 2))
    bad = f", {progress.bad} failed" if progress.bad else ""
    row.add_row(
        Text(progress.plan.name, style="bold"),
        ProgressBar(total=progress.total, completed=progress.done, width=30),
        f"{progress.done}/{progress.total} trials{bad}",
        progress.eta,
    )
    return row


def _running(progress: Progress) -> RenderableType:
    table = Table("running", "epoch", "loss", "val", "test", box=None, pad_edge=False, header_style="dim")
    shown, more = progress.shown
    for job, result in shown:
        if result is None:
            table.add_row(job.slot.name, f"0/{job.slot.epochs}", "", "", "")
            continue
        val = "" if result["val_acc"] is None else f"{result['val_acc']:.2f}"
        epoch = f"{result['epoch']}/{job.slot.epochs}"
        table.add_row(job.slot.name, epoch, f"{result['loss']:.3f}", val, f"{result['test_acc']:.2f}")
    if more:
        table.add_row(Text(f"and {more} more", style="dim"))
    return table


def _means(progress: Progress) -> RenderableType:
    """Mean test accuracy so far; the best of each pair in bold."""
    table = Table("so far", "test", "seeds", box=None, pad_edge=False, header_style="dim")
    means = {place: statistics.fmean(values) for place, values in progress.accuracies.items()}
    leaders = {pair: max(mean for (other, _), mean in means.items() if other == pair) for pair, _ in means}
    for (pair, label), mean in sorted(means.items(), key=lambda item: -item[1])[:MOST_ROWS]:
        style = "bold" if mean == leaders[pair] else ""
        table.add_row(
            Text(f"{pair} · {label}", style=style),
            Text(f"{mean:.2f}", style=style),
            str(len(progress.accuracies[pair, label])),
        )
    return table


def for_console(console: Console) -> Display:
    """The display that suits where the output goes."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
