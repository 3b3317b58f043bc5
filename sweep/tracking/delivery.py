"""The ledger's events as MLflow runs: one parent run per sweep, one nested run per trial.

Delivery is idempotent: a run is found again by its tags `sweep.id` and `sweep.key`, metrics carry the ledger's own
timestamps (MLflow stores equal ones once), and the ledger remembers how far each server has been told. So it can be
broken off anywhere and repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sweep.exit_codes import RUN_STATUS
from sweep.formats import Format
from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Event, Ledger
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.results import board, draw
from sweep.tracking import mlflow_internals, views
from sweep.tracking.mlflow_internals import NOTE
from sweep.tracking.news import STATUS, News
from sweep.tracking.paging import pages
from sweep.tracking.run_content import (
    CHOSEN,
    PARENT,
    dataset_input,
    described,
    epoch_metrics,
    metrics_at,
    milliseconds,
    order_tags,
    parameters,
    run_tags,
    start_tags,
)
from trainers.storage.content import content_key

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from PIL import Image

BATCH = 500
"""Events per delivery."""
METRICS_PER_REQUEST = RUNS_PER_REQUEST = 1000
SMALL_FIGURE, FIGURE_PIXELS = "figure-small.png", 800
"""The figure as the description shows it, and how wide that is: the page has room for no more."""


def shrunk(figure: Path) -> Image.Image:
    """A picture, at most :data:`FIGURE_PIXELS` wide."""
    from PIL import Image

    with Image.open(figure) as picture:
        picture.thumbnail((FIGURE_PIXELS, picture.height))
        return picture.copy()


def delivered(ledger: Ledger, uri: str) -> int:
    """`seq` of the last event that a server has been told."""
    return int(ledger.fact(fact(uri)) or 0)


def fact(uri: str) -> str:
    """The ledger's name for how far a server has been told."""
    return f"delivered:{content_key(uri)}"


class Delivery:
    """One connection to a tracking server; see the module's docstring for what makes it repeatable.

    Set MLflow up first (:func:`sweep.tracking.address.quiet_mlflow`).
    """

    def __init__(self, root: Root, paths: SweepPaths, ledger: Ledger, uri: str) -> None:
        from mlflow import MlflowClient

        self._ledger, self._paths, self._uri = ledger, paths, uri
        self.client: MlflowClient = MlflowClient(tracking_uri=uri)
        self._sweep = paths.folder.name
        self.experiment = self._find_experiment(root)
        self.runs = self._known_runs()
        """Ids of the sweep's runs by `sweep.key`."""
        self._described = ""
        if PARENT not in self.runs:  # a new server, or one that lost its data: it is told everything
            ledger.set_fact(fact(uri), "0")

    def deliver(self) -> bool:
        """Deliver the next events; False when there is none left."""
        events = list(self._ledger.events(after=delivered(self._ledger, self._uri), limit=BATCH))
        for of_trials, some in groupby(events, key=lambda event: event.trial is not None):
            if of_trials:
                self._trials_events(some)
            else:
                for event in some:
                    self._parent_event(event)
        if events:
            self._ledger.set_fact(fact(self._uri), str(events[-1].seq))
        return bool(events)

    def describe(self) -> None:
        """Put the table as the ledger has it now into the parent run's description, where its last report is older."""
        report, plan = self._ledger.latest("report"), self._ledger.latest("plan")
        after = report.seq if report else 0
        ends = self._ledger.events("final", "failed", "pruned", "interrupted", "chosen", "plan", after=after)
        if plan is None or next(ends, None) is None or PARENT not in self.runs:
            return
        figure = report.body["figure"] if report else None
        note = self._description(draw.render(board.leaderboard(self._ledger), Format.MARKDOWN), figure)
        if note != self._described:
            self.client.set_tag(self.runs[PARENT], NOTE, note)
            self._described = note

    # -- runs -------------------------------------------------------------------------------------------------------

    def _find_experiment(self, root: Root) -> str:
        known = self.client.get_experiment_by_name(self._sweep)
        if known is not None:
            return str(known.experiment_id)
        served = urlsplit(self._uri).scheme in ("http", "https")  # a database says nothing of where artifacts go
        place = None if served else (root.artifacts / self._sweep).absolute().as_uri()
        # the UI then opens on runs, not on GenAI traces
        tags = {mlflow_internals.EXPERIMENT_KIND: "custom_model_development"}
        return str(self.client.create_experiment(self._sweep, artifact_location=place, tags=tags))

    def _known_runs(self) -> dict[str, str]:
        query = f"tags.`sweep.id` = '{self._ledger.id}'"
        place, most = [self.experiment], RUNS_PER_REQUEST
        runs = pages(lambda token: self.client.search_runs(place, query, max_results=most, page_token=token))
        return {run.data.tags["sweep.key"]: run.info.run_id for run in runs}

    def _run(self, key: str, name: str, time: float, tags: dict[str, str]) -> str:
        """The run of a trial (or the parent), made when there is none."""
        if key not in self.runs:
            identity = {"sweep.id": self._ledger.id, "sweep.key": key, "sweep.name": self._sweep}
            run = self.client.create_run(self.experiment, milliseconds(time), tags | identity, name)
            self.runs[key] = run.info.run_id
        return self.runs[key]

    # -- the parent run ---------------------------------------------------------------------------------------------

    def _parent_event(self, event: Event) -> None:
        run = self._parent(event.time)
        if event.kind == "sweep":
            self.client.update_run(run, status="RUNNING")
            self.client.log_text(run, event.body["spec"], "spec.yaml")
        elif event.kind == "plan":
            self._plan(run, Plan.from_json(event.body))
        elif event.kind == "chosen":
            self._chosen(run, event)
        elif event.kind == "report":
            self._report(run, event.body)
        elif event.kind == "stop":
            status = RUN_STATUS.get(event.body["exit_code"], "FAILED")
            self.client.set_terminated(run, status, milliseconds(event.time))

    def _parent(self, time: float) -> str:
        return self._run(PARENT, self._sweep, time, {"stage": "sweep"} | self._source)

    @cached_property
    def _source(self) -> dict[str, str]:
        """What MLflow shows as a run's source: the spec."""
        started = self._ledger.latest("sweep")
        source = started.body.get("source") if started else None
        return {mlflow_internals.SOURCE_NAME: source, mlflow_internals.SOURCE_TYPE: "LOCAL"} if source else {}

    def _plan(self, run: str, plan: Plan) -> None:
        """What all trials share, and the views of the experiment."""
        facts = {"dataset": plan.dataset, "protocol": plan.protocol, "baseline": plan.baseline}
        first: Slot | SearchedCell = plan.slots[0] if plan.slots else plan.cells[0]
        self.client.log_batch(run, tags=run_tags(facts | order_tags(plan)))
        self.client.log_inputs(run, [dataset_input(first.config["dataset"])])
        for view in views.views(plan):
            self.client.set_experiment_tag(self.experiment, view.tag, view.value)
        about = f"{plan.description}\n\n" if plan.description else ""
        parent = f"[the sweep's table and figures](#/experiments/{self.experiment}/runs/{run})"
        note = f"{about}Start at {parent}, or look at {views.links(plan, self.experiment)}"
        self.client.set_experiment_tag(self.experiment, NOTE, note)

    def _chosen(self, run: str, event: Event) -> None:
        """What a search has won, and the row of the table that each of its winners' trials counts for."""
        won = self._won(event.body)
        self.client.set_tag(run, CHOSEN + event.body["cell"], json.dumps(won))
        rows = {winner["key"]: winner["row"] for winner in won["chosen"]}
        for earlier in self._ledger.events("chosen"):
            if earlier.seq < event.seq and earlier.body["cell"] == event.body["cell"]:
                rows = dict.fromkeys((winner["key"] for winner in self._won(earlier.body)["chosen"]), "") | rows
        for key, row in rows.items():
            self.client.set_tag(self._run_of(key), "row", row)

    def _won(self, body: dict[str, Any]) -> dict[str, Any]:
        """What the parent run's tag tells of a search that has come to its end.

        That is `cell`, how its trials ended as `states`, and as `chosen` those that won, best first: what the ledger
        has of each, the `key` of the search's trial, and the `label` and the `row` that it counts for in the table.
        """
        asked = [event for event in self._ledger.events("ask") if event.body["cell"] == body["cell"]]
        keys = {event.body["number"]: event.trial for event in asked}
        plan = self._ledger.latest("plan")
        cells = [cell for cell in plan.body["cells"] if cell["id"] == body["cell"]] if plan else []
        slots = [Slot(**slot) for slot in body["slots"]]
        won = []
        for winner in body["chosen"]:
            slot = next(slot for slot in slots if winner["params"].items() <= slot.varied.items())  # of any seed
            won.append(winner | {"key": keys[winner["number"]], "label": slot.label, "row": slot.row})
        return {"cell": cells[0] | {"config": {}}, "states": body["states"], "chosen": won}

    def _report(self, run: str, body: dict[str, Any]) -> None:
        """Leaderboard as table artifact and description, the figure, and the page."""
        self.client.log_text(run, body["markdown"], "leaderboard.md")
        records = body["records"]
        columns = list(records[0]) if records else []
        table = {"columns": columns, "data": [[record[column] for column in columns] for record in records]}
        self.client.log_text(run, json.dumps(table, ensure_ascii=False), "leaderboard.json")
        self._files(run, body["figure"], body.get("page", {}).get("file"))
        self._described = self._description(body["markdown"], body["figure"])
        shown = json.dumps([{"path": "leaderboard.json", "type": "table"}])
        notes = {NOTE: self._described, mlflow_internals.LOGGED_ARTIFACTS: shown}
        self.client.log_batch(run, tags=run_tags(notes))

    def _files(self, run: str, figure: str | None, page: str | None) -> None:
        """The figure and the page, as far as they are in the sweep's folder, and the figure once more in small."""
        there = {name: self._paths.folder / name for name in (figure, page) if name}
        there = {name: path for name, path in there.items() if path.is_file()}
        for path in there.values():
            self.client.log_artifact(run, str(path))
        if figure and figure in there:
            self.client.log_image(run, shrunk(there[figure]), SMALL_FIGURE)

    def _description(self, markdown: str, figure: str | None) -> str:
        """The parent run's: the figure, the table, and where else to look."""
        plan = self._ledger.latest("plan")
        links = views.links(Plan.from_json(plan.body), self.experiment) if plan else ""
        drawn = (
            f"![accuracy by method](get-artifact?path={SMALL_FIGURE}&run_uuid={self.runs[PARENT]})" if figure else ""
        )
        return described(markdown, [part for part in (links, drawn) if part])

    # -- nested runs ------------------------------------------------------------------------------------------------

    def _trials_events(self, events: Iterable[Event]) -> None:
        """Events of trials that ran side by side, trial by trial."""
        by_trial: dict[str, list[Event]] = {}
        for event in events:
            by_trial.setdefault(event.trial or "", []).append(event)
        for key, some in by_trial.items():
            self._trial_events(key, some)

    def _trial_events(self, key: str, events: list[Event]) -> None:
        """Events of one trial, in as few requests as they go into."""
        if next(self._ledger.events("start", trial=key, limit=1), None) is None:
            return  # it never started: there is no run to tell
        told = News()
        for event in events:
            self._add(told, event)
        if key not in self.runs and not told.started:  # somebody deleted it
            before = News()
            for event in self._ledger.events("start", trial=key):
                self._add(before, event)
            told = before.followed_by(told)
        self._tell(key, told)

    def _add(self, told: News, event: Event) -> None:
        """What an event of a trial adds to the news of it."""
        body = event.body
        if event.kind == "start":
            tags = {mlflow_internals.PARENT_RUN: self._parent(event.time)} | start_tags(body) | self._source
            told.start(event.time, body["name"], tags, parameters(body["config"]), body["config"]["dataset"])
        elif event.kind == "epoch":
            told.metrics += metrics_at(epoch_metrics(body), event.time, event.epoch or 0)
        elif event.kind == "final":
            told.end(event, STATUS[body["state"]], {"state": body["state"]} | self._reason(event.trial or "", body))
        elif event.kind == "pruned":
            told.end(event, "KILLED", {"state": "pruned"})
        elif event.kind == "failed":
            tags = {"state": body.get("state", "failed"), "reason": body["reason"], "log": body["log"]}
            told.end(event, "FAILED", tags)
        elif event.kind == "interrupted":
            told.end(event, "KILLED", {"state": "interrupted"})

    def _tell(self, key: str, told: News) -> None:
        """Make the run where there is none, and tell it everything."""
        new = key not in self.runs
        if new:
            self._run(key, told.name, told.began, {tag.key: tag.value for tag in run_tags(told.tags)})
        run = self.runs[key]
        if told.started and not new:
            self.client.update_run(run, status="RUNNING", name=told.name)
        tags = [] if new else run_tags(told.tags)
        for start in range(0, max(len(told.metrics), 1), METRICS_PER_REQUEST):
            some = told.metrics[start : start + METRICS_PER_REQUEST]
            params, now = (told.params, tags) if start == 0 else ([], [])
            if some or params or now:
                self.client.log_batch(run, some, params, now)
        if told.dataset is not None:
            self.client.log_inputs(run, [dataset_input(told.dataset)])
        if told.status:
            self.client.set_terminated(run, told.status, milliseconds(told.ended))

    def _reason(self, key: str, body: dict[str, Any]) -> dict[str, str]:
        """Why a trial ended as it did; where an earlier attempt broke, that is no reason any more."""
        broke = next(self._ledger.events("failed", trial=key, limit=1), None)
        return {"reason": body.get("reason", "")} if "reason" in body or broke else {}

    def _run_of(self, key: str) -> str:
        """A started trial's run; made anew where somebody deleted it."""
        if key not in self.runs:
            self._trial_events(key, list(self._ledger.events("start", trial=key)))
        return self.runs[key]
