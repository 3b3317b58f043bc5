"""The ledger's events as MLflow runs: one parent run per sweep, one nested run per trial.

Delivery is idempotent on the server's side: a run is looked for by its tags `sweep.id` and `sweep.key` before it is
made (:mod:`sweep.tracking.runs`), metrics carry the ledger's own timestamps (MLflow stores equal ones once), and how
far a server has been told is remembered in the ledger after each trial and, now and then, on the server itself, which
may have been set back. So it can be broken off anywhere and repeated. What a server refuses is set aside, and the rest
goes on (:mod:`sweep.tracking.teller`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Event, Ledger
from sweep.tracking import mlflow_internals
from sweep.tracking.attempts import has_ended, has_started, reason, replaced
from sweep.tracking.best import Drawn, outdated
from sweep.tracking.mlflow_internals import run_name
from sweep.tracking.news import STATUS, News
from sweep.tracking.once_more import once_more
from sweep.tracking.parent import ParentRun
from sweep.tracking.places import moved
from sweep.tracking.progress import Progress, Refusal, told_of
from sweep.tracking.run_content import (
    PARENT,
    dataset_input,
    epoch_metrics,
    may_change,
    metrics_at,
    milliseconds,
    parameters,
    release_tags,
    run_tags,
    start_tags,
    taken_tags,
)
from sweep.tracking.runs import TOLD, GoneError, Runs, Shown
from sweep.tracking.teller import Teller

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 500
"""Events per delivery."""
METRICS_PER_REQUEST = 1000


class Delivery:
    """One connection to a tracking server; see the module's docstring for what makes it repeatable.

    Set MLflow up first (:func:`sweep.tracking.address.quiet_mlflow`).

    Raises:
        StorageError: when the sweep's experiment was deleted, or the server refuses everything; here and everywhere.
        Exception: whatever MLflow, its store or the network raise when the server is away, here and everywhere.
    """

    def __init__(self, root: Root, paths: SweepPaths, ledger: Ledger, uri: str) -> None:
        from mlflow import MlflowClient

        self._root, self._paths, self._ledger, self._uri = root, paths, ledger, uri
        self.client: MlflowClient = MlflowClient(tracking_uri=uri)
        self._progress = Progress(ledger, uri)
        self._refused: list[Refusal] = []
        self._connect()

    def _connect(self) -> None:
        """Learn what the server has."""
        served = urlsplit(self._uri).scheme in ("http", "https")  # a database says nothing of where artifacts go
        name = self._paths.folder.name
        place = None if served else (self._root.artifacts / name).absolute().as_uri()
        self._runs = Runs(self.client, self._ledger.id, name, place)
        self._teller = Teller(self.client, self._runs, self._progress, self._refused)
        self._parent = ParentRun(self._paths, self._ledger, self.client, self._runs, self._teller, self._progress)
        if PARENT not in self._runs.ids or PARENT in self._runs.doubled:
            self._progress.back(0)  # a new server, or one that lost its data: it is told everything
        elif self._progress.mark not in ("", self._runs.mark):
            self._progress.back(told_of(self._runs.mark))  # it was set back
        self._progress.marked(self._runs.mark)
        self._again = self._lacking()
        self._refused_before = [one for one in self._progress.refused if one.trial is None]
        self._begun = False
        """Whether the server was made to say that it is being told more."""
        self._drawn = Drawn(self._ledger)
        self._moved = True
        """Whether trials may stand elsewhere than their runs say, or have another best epoch; or views be others."""

    @property
    def experiment(self) -> str:
        """Id of the sweep's experiment."""
        return self._runs.experiment

    @property
    def runs(self) -> dict[str, str]:
        """Ids of the sweep's runs by `sweep.key`."""
        return self._runs.ids

    @property
    def refused(self) -> list[Refusal]:
        """What the server refused on this connection, and has not taken since."""
        return [one for one in self._refused if one in self._progress.refused]

    def deliver(self) -> bool:
        """Deliver the next events; False when there is none left."""
        try:
            self._deliver_again()
            events = list(self._ledger.events(after=self._progress.told, limit=BATCH))
            if events and not self._begun:
                self._mark()
            for of_trials, some in groupby(events, key=lambda event: event.trial is not None):
                told = list(some)
                if of_trials:
                    self._trials_events(told)
                    self._progress.reach(told[-1].seq)
                else:
                    self._parent_events(told)
            if not events:
                self._move()
        except GoneError:
            self._connect()  # the server lost something while it was told
            return True
        return bool(events)

    def describe(self) -> bool:
        """Put the table as the ledger has it now into the parent run's description, and how far the server was told.

        Returns:
            Whether the server has what it was told before; where it was set back, there is something to deliver again.
        """
        if PARENT not in self.runs:
            return True
        self._teller.begin(None, self._progress.told)
        try:
            self._teller.guard(PARENT, "the description", self._parent.describe)
            if self._runs.mark_now() != self._progress.mark:
                self._connect()
                return False
            if told_of(self._progress.mark) != self._progress.has_all:
                self._mark()
            return True
        except GoneError:
            self._connect()
            return False

    def _mark(self) -> None:
        """Have the parent, where there is one, say how far the server was told, so that it is seen when it is set
        back."""
        mark = self._progress.new_mark()
        what = "how far it was told"
        if PARENT in self.runs and self._teller.ask(PARENT, what, self.client.set_tag, self.runs[PARENT], TOLD, mark):
            self._progress.marked(mark)
        self._begun = True

    # -- what the server lacks though it was told ---------------------------------------------------------------------

    def _lacking(self) -> set[str]:
        """The trials of which a server may lack what it was told: its runs are lost or say that they were told less, or
        it refused some."""
        begun = {key for seq, key, _ in self._ledger.starts() if self._progress.is_told(seq, key)}
        last = self._progress.last_told()
        half = {key for key in begun if self._runs.lacks(key, last[key])}
        refused = {one.trial for one in self._progress.refused if one.trial is not None}
        return self._runs.lost(begun) | (self._runs.doubled - {PARENT}) | half | refused

    def _deliver_again(self) -> None:
        """What it lacks, and what of the sweep's own it has refused before, once on a connection."""
        while self._again:
            key = min(self._again)
            events = [event for event in self._ledger.events(trial=key) if self._progress.is_told(event.seq, key)]
            with self._forgiven([one for one in self._progress.refused if one.trial == key]):
                self._trial_events(key, events)
            self._again.discard(key)
        if self._refused_before:
            self._mark()
            with self._forgiven(self._refused_before):
                for event in once_more(self._ledger, self._refused_before, self._progress.told):
                    self._parent_event(event)
            self._mark()
            self._refused_before = []

    @contextmanager
    def _forgiven(self, refused: list[Refusal]) -> Iterator[None]:
        """What was refused is tried once more; where that breaks off, it is still set aside."""
        self._progress.forgive(refused)
        try:
            yield
        except BaseException:
            for one in refused:
                self._progress.refuse(one)
            raise

    def _move(self) -> None:
        """Let the runs show where their trials stand in the sweep by now, and which of their epochs is the best."""
        if not self._moved:
            return
        self._teller.begin(None, self._progress.told)
        self._teller.guard(PARENT, "where the trials stand by now", self._show_places)
        self._teller.guard(PARENT, "which epochs are the best by now, and what is charted", self._show_best)
        self._teller.guard(PARENT, "the views of its page", self._parent.show_views)
        self._moved = False

    def _show_places(self) -> None:
        for key, place in list(moved(self._runs.shown, self._ledger)):
            self._show(key, place)

    def _show(self, key: str, place: Shown) -> None:
        run = self._runs.shown[key]
        if place.name != run.name:
            self._teller.ask(key, f"the name of {run.name}", self.client.update_run, self.runs[key], name=place.name)
        self._teller.tag(key, place.name, place.tags)
        self._runs.shown[key] = Shown(place.name, run.tags | place.tags, run.best)

    def _show_best(self) -> None:
        for key, numbers in list(outdated(self._runs.shown, self._ledger)):
            run = self._runs.shown[key]
            self._teller.log(key, run.name, numbers)
            self._runs.shown[key] = Shown(run.name, run.tags, run.best | _best(numbers))

    # -- event by event -----------------------------------------------------------------------------------------------

    def _parent_events(self, events: list[Event]) -> None:
        """Events of the sweep itself, one after the other; then the server says how far it was told."""
        for event in events:
            self._parent_event(event)
            self._progress.reach(event.seq)
        self._mark()

    def _parent_event(self, event: Event) -> None:
        self._teller.begin(None, event.seq)
        self._teller.guard(PARENT, f"what the event '{event.kind}' says", partial(self._parent.tell, event))
        self._moved |= event.kind in ("plan", "chosen", "report")
        self._drawn.follow(event)

    def _trials_events(self, events: list[Event]) -> None:
        """Events of trials that ran side by side, trial by trial."""
        by_trial: dict[str, list[Event]] = {}
        for event in events:
            key = event.trial or ""
            if not self._progress.is_told(event.seq, key):
                by_trial.setdefault(key, []).append(event)
        for key, some in by_trial.items():
            self._trial_events(key, some)
            self._progress.tell(key, some[-1].seq)

    def _trial_events(self, key: str, events: list[Event]) -> None:
        """Events of one trial, in as few requests as they go into."""
        asked = max((place for place, event in enumerate(events, start=1) if event.kind == "again"), default=0)
        if asked and key in self.runs:
            self._teller.begin(key, events[asked - 1].seq)
            self._teller.delete(key)
        events = events[asked:]
        if not events or not has_started(self._ledger, events[-1]):
            return  # it has not started by then: there is no run to tell
        self._teller.begin(key, events[-1].seq)
        try:
            self._teller.guard(key, f"what the events of {key} say", partial(self._tell, key, events))
        except GoneError as gone:
            if gone.key != key:
                raise
            self._runs.forget(key)  # somebody deleted it, and it goes on
            before = [event for event in self._ledger.events(trial=key) if event.seq <= events[-1].seq]
            self._teller.guard(key, f"what the events of {key} say", partial(self._tell, key, before))

    def _tell(self, key: str, events: list[Event]) -> None:
        """Make the run where there is none, and tell it everything: first the numbers, and then what they come to."""
        told, run = self._news(key, events), self.runs.get(key)
        if run is None and not self._make(key, told):
            return
        whose = told.name or self._runs.shown[key].name
        if run is not None and told.started:
            what = f"that {whose} runs"
            self._teller.ask(key, what, self.client.update_run, run, status="RUNNING", name=run_name(whose))
        self._log(key, whose, told, events[-1].seq)
        before = self._runs.shown[key]
        self._runs.shown[key] = Shown(run_name(whose), before.tags | told.tags, before.best | _best(told.metrics))
        if told.dataset is not None:
            used = [dataset_input(told.dataset)]
            self._teller.ask(key, f"the data set of {whose}", self.client.log_inputs, self.runs[key], used)
        if told.status:
            end = (told.status, milliseconds(told.ended))
            self._teller.ask(key, f"the end of {whose}", self.client.set_terminated, self.runs[key], *end)
        if any(one.trial == key for one in self._progress.refused):
            self._teller.ask(key, f"that {whose} lacks some", self.client.set_tag, self.runs[key], TOLD, "0")

    def _make(self, key: str, told: News) -> bool:
        """The run, as one that has begun: what its trial has come to it says with the numbers."""
        tags = {tag.key: tag.value for tag in run_tags(told.tags | {"state": "running", TOLD: "0"})}
        make = partial(self._runs.make, key, told.name, told.began, tags)
        return self._teller.make(key, f"the run {told.name}", make)

    def _log(self, key: str, whose: str, told: News, seq: int) -> None:
        """Parameters, all numbers, and with the last of them the tags, and up to which event this is."""
        tags = run_tags(told.tags | {TOLD: str(seq)})
        starts = range(0, max(len(told.metrics), 1), METRICS_PER_REQUEST)
        for start in starts:
            some = told.metrics[start : start + METRICS_PER_REQUEST]
            params = told.params if start == 0 else []
            self._teller.log(key, whose, some, params, tags if start == starts[-1] else [])

    def _news(self, key: str, events: list[Event]) -> News:
        """What events of a trial tell; where there is no run that knows of it, with how it started before them."""
        told = News()
        for event in events:
            self._add(told, event)
        if key in self.runs:
            return told
        before = News()
        for event in self._ledger.events("start", trial=key):
            if event.seq < events[0].seq:
                self._add(before, event)
        return before.followed_by(told) if before.started else told

    def _add(self, told: News, event: Event) -> None:
        """What an event of a trial adds to the news of it."""
        body = event.body
        if event.kind in ("start", "pruned", "failed", "interrupted") and has_ended(self._ledger, event):
            return  # a teacher that is trained again has its result until there is another
        if event.kind == "start":
            parent = {mlflow_internals.PARENT_RUN: self._parent.make()}
            tags = parent | start_tags(body) | self._parent.source
            told.start(event.time, body["name"], tags, parameters(body["config"]), body["config"]["dataset"])
        elif event.kind == "epoch":
            told.metrics += metrics_at(epoch_metrics(body), event.time, event.epoch or 0)
        elif event.kind in ("final", "retrained"):
            told.end(event, STATUS[body["state"]], self._end_tags(event.trial or "", body))
            told.metrics += replaced(self._ledger, event) if event.kind == "retrained" else self._drawn.metrics(event)
        elif event.kind == "pruned":
            told.end(event, "KILLED", {"state": "pruned"} | release_tags(body))
        elif event.kind == "failed":
            tags = {"state": body.get("state", "failed"), "reason": body["reason"], "log": body["log"]}
            told.end(event, "FAILED", tags | release_tags(body))
        elif event.kind == "interrupted":
            told.end(event, "KILLED", {"state": body.get("state", "interrupted")} | release_tags(body))

    def _end_tags(self, key: str, body: dict[str, Any]) -> dict[str, str]:
        """How a trial ended, why, and what it was made with."""
        return {"state": body["state"]} | reason(self._ledger, key, body) | release_tags(body) | taken_tags(body)


def _best(metrics: list[Any]) -> dict[str, float]:
    """What is told of a trial's best epoch and for its charts, the last of each number."""
    return {metric.key: metric.value for metric in metrics if may_change(metric.key)}
