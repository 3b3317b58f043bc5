"""The parent run: what a whole sweep is in MLflow, told event by event, and the description that follows the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from sweep.exit_codes import RUN_STATUS
from sweep.formats import Format
from sweep.layout import SweepPaths
from sweep.ledger.store import Event, Ledger
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.results import board, draw
from sweep.results.board import Leaderboard
from sweep.results.headline import headline
from sweep.tracking import mlflow_internals, views
from sweep.tracking.mlflow_internals import LONGEST_EXPERIMENT_TAG, NOTE
from sweep.tracking.places import slot_of
from sweep.tracking.progress import Progress
from sweep.tracking.run_content import (
    CHOSEN,
    PARENT,
    both_tag,
    dataset_input,
    described,
    milliseconds,
    order_tags,
    origin_tags,
    table_tag,
)
from sweep.tracking.runs import TOLD, Runs
from sweep.tracking.teller import Teller
from trainers.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from PIL import Image

Given = ParamSpec("Given")

ITSELF = "the run of the sweep itself"
SMALL_FIGURE, FIGURE_PIXELS = "figure-small.png", 800
"""The figure as the description shows it, and how wide that is: the page has room for no more."""


def shrunk(figure: Path) -> Image.Image:
    """A picture, at most :data:`FIGURE_PIXELS` wide."""
    from PIL import Image

    with Image.open(figure) as picture:
        picture.thumbnail((FIGURE_PIXELS, picture.height))
        return picture.copy()


class ParentRun:
    """The run of a sweep itself, and the views of its experiment."""

    def __init__(
        self,
        paths: SweepPaths,
        ledger: Ledger,
        client: MlflowClient,
        runs: Runs,
        teller: Teller,
        progress: Progress,
    ) -> None:
        self._paths, self._ledger, self._client = paths, ledger, client
        self._runs, self._teller, self._progress = runs, teller, progress
        self._described, self._told = "", ""
        self._views: dict[str, str] = {}

    def tell(self, event: Event) -> None:
        """Tell an event that is of no trial."""
        self.make()
        if event.kind == "sweep":
            self._ask("that it runs", self._client.update_run, self._id, status="RUNNING")
            self._come_from(event.body)
            self._ask("spec.yaml", self._client.log_text, self._id, event.body["spec"], "spec.yaml")
        elif event.kind == "plan":
            self._plan(Plan.from_json(event.body))
        elif event.kind == "chosen":
            self._won(event)
        elif event.kind == "report":
            self._report(event.body)
        elif event.kind == "stop":
            status = RUN_STATUS.get(event.body["exit_code"], "FAILED")
            self._ask("that it has ended", self._client.set_terminated, self._id, status, milliseconds(event.time))

    def make(self) -> str:
        """The run's id; it is made where there is none, as begun with the ledger.

        Raises:
            StorageError: when the server refuses it: without it there is nothing to tell the others of.
        """
        if PARENT not in self._runs.ids:
            mark = self._progress.new_mark()
            tags = {"stage": "sweep", TOLD: mark} | self.source
            make = partial(self._runs.make, PARENT, self._paths.folder.name, self._began, tags)
            if not self._teller.make(PARENT, ITSELF, make):
                why = next(one.why for one in self._progress.refused if one.what == ITSELF)
                raise StorageError(f"MLflow refuses {ITSELF}, so that nothing can be told of it: {why}")
            self._progress.marked(self._runs.mark)
        return self._id

    @cached_property
    def _began(self) -> float:
        """When the ledger's first event was written."""
        return next(self._ledger.events(limit=1)).time

    @cached_property
    def source(self) -> dict[str, str]:
        """What MLflow shows as a run's source: the spec."""
        started = self._ledger.latest("sweep")
        source = started.body.get("source") if started else None
        return {mlflow_internals.SOURCE_NAME: source, mlflow_internals.SOURCE_TYPE: "LOCAL"} if source else {}

    def describe(self) -> None:
        """Put the table as the ledger has it now into the description, where the last report is older."""
        report, plan = self._ledger.latest("report"), self._ledger.latest("plan")
        after = report.seq if report else 0
        ends = self._ledger.events("final", "failed", "pruned", "interrupted", "chosen", "plan", after=after)
        if plan is None or next(ends, None) is None or PARENT not in self._runs.ids:
            return
        figure = report.body["figure"] if report else None
        table = board.leaderboard(self._ledger)
        came_out = headline(table)
        note = self._description(came_out, draw.render(table, Format.MARKDOWN), figure)
        if note != self._described:
            self._ask("the description", self._client.set_tag, self._id, NOTE, note)
            self._described = note
            self._tell_experiment(Plan.from_json(plan.body), came_out)
            self._draw(table)

    @property
    def _id(self) -> str:
        return self._runs.ids[PARENT]

    def _come_from(self, body: dict[str, Any]) -> None:
        """Where a run of the driver comes from, where that is noted."""
        tags = origin_tags(body)
        if tags:
            self._teller.tag(PARENT, "the sweep", tags)

    def _plan(self, plan: Plan) -> None:
        """What all trials share, and the views of the experiment."""
        facts = {"dataset": plan.dataset, "protocol": plan.protocol, "baseline": plan.baseline}
        first: Slot | SearchedCell = plan.slots[0] if plan.slots else plan.cells[0]
        self._teller.tag(PARENT, "the sweep", facts | order_tags(plan) | table_tag(plan) | both_tag(plan))
        used = [dataset_input(first.config["dataset"])]
        self._ask("the data set", self._client.log_inputs, self._id, used)
        report = self._ledger.latest("report")
        self._tell_experiment(plan, report.body.get("headline", "") if report else "")

    def show_views(self) -> None:
        """Bring the views of the experiment to what the ledger and this release make of them, whatever release has told
        of the sweep before; views that somebody made in MLflow's page have other names, and stay."""
        if self._ledger.latest("plan") is not None and PARENT in self._runs.ids:
            self._views = self._runs.experiment_tags()
            results = board.leaderboard(self._ledger)
            both = both_tag(results.plan)
            if any(both.values()):  # earlier releases did not tell it with the plan
                self._teller.tag(PARENT, "the sweep", both)
            self._draw(results)

    def _draw(self, results: Leaderboard) -> None:
        """Tell of the views that differ from those that are there."""
        for view in views.views(results.plan, views.reached(results)):
            if self._views.get(view.tag) != view.value:
                self._tag_experiment(f"the view '{view.name}'", view.tag, view.value)
                self._views[view.tag] = view.value

    def _tell_experiment(self, plan: Plan, came_out: str) -> None:
        """Put into the experiment's description what it is, where it is not that yet."""
        about = self._about(plan, came_out)
        if about != self._told:
            self._tag_experiment("the experiment's description", NOTE, about)
            self._told = about

    def _about(self, plan: Plan, came_out: str) -> str:
        """What the experiment says of itself: what came out of it, what it is for, and where to look."""
        parent = f"[the sweep's table and figures](#/experiments/{self._runs.experiment}/runs/{self._id})"
        where = f"Start at {parent}, or look at {views.links(plan, self._runs.experiment)}"
        room = LONGEST_EXPERIMENT_TAG - len(where) - len(came_out) - 5
        about = plan.description if len(plan.description) <= room else plan.description[: max(room, 0)] + "…"
        return "\n\n".join(part for part in (came_out, about, where) if part)

    def _tag_experiment(self, what: str, tag: str, value: str) -> None:
        self._ask(what, self._client.set_experiment_tag, self._runs.experiment, tag, value)

    def _won(self, event: Event) -> None:
        """What a search has won."""
        content = won(self._ledger, event.body)
        if content is not None:
            self._teller.tag(PARENT, "the sweep", {CHOSEN + event.body["cell"]: json.dumps(content)})

    def _report(self, body: dict[str, Any]) -> None:
        """Leaderboard as table artifact and description, what came out also as the experiment's, figure and page."""
        records = body["records"]
        columns = list(records[0]) if records else []
        table = {"columns": columns, "data": [[record[column] for column in columns] for record in records]}
        texts = {"leaderboard.md": body["markdown"], "leaderboard.json": json.dumps(table, ensure_ascii=False)}
        for name, text in texts.items():
            self._ask(name, self._client.log_text, self._id, text, name)
        self._files(body["figure"], body.get("page", {}).get("file"))
        came_out, plan = body.get("headline", ""), self._ledger.latest("plan")
        self._described = self._description(came_out, body["markdown"], body["figure"])
        shown = json.dumps([{"path": "leaderboard.json", "type": "table"}])
        self._teller.tag(PARENT, "the sweep", {NOTE: self._described, mlflow_internals.LOGGED_ARTIFACTS: shown})
        if plan is not None:
            self._tell_experiment(Plan.from_json(plan.body), came_out)

    def _files(self, figure: str | None, page: str | None) -> None:
        """The figure, the page and the user's code, as far as they are in the folder, and the figure in small."""
        there = {name: self._paths.folder / name for name in (figure, page) if name}
        there = {name: path for name, path in there.items() if path.is_file()}
        for name, path in there.items():
            self._ask(name, self._client.log_artifact, self._id, str(path))
        if self._paths.code.is_dir():
            self._ask("the code", self._client.log_artifacts, self._id, str(self._paths.code), self._paths.code.name)
        if figure and figure in there:
            self._ask(SMALL_FIGURE, lambda: self._client.log_image(self._id, shrunk(there[figure]), SMALL_FIGURE))

    def _description(self, came_out: str, markdown: str, figure: str | None) -> str:
        """What came out in a sentence, where else to look, the figure, and the table."""
        plan = self._ledger.latest("plan")
        links = views.links(Plan.from_json(plan.body), self._runs.experiment) if plan else ""
        drawn = f"![accuracy by method](get-artifact?path={SMALL_FIGURE}&run_uuid={self._id})" if figure else ""
        return described(markdown.removeprefix(f"{came_out}\n\n"), [part for part in (came_out, links, drawn) if part])

    def _ask(self, what: str, request: Callable[Given, object], *given: Given.args, **named: Given.kwargs) -> None:
        self._teller.ask(PARENT, what, request, *given, **named)


def won(ledger: Ledger, body: dict[str, Any]) -> dict[str, Any] | None:
    """What the parent run's tag tells of a search that has come to its end; None of one that no plan holds.

    That is `cell`, how its trials ended as `states`, and as `chosen` those that won, best first: what the ledger has of
    each, the `key` of the search's trial, and the `label` and the `row` that it counts for in the table. Where its best
    have raced, `race` says how that went.
    """
    cell = _cell(ledger, body["cell"])
    if cell is None:
        return None
    asked = [event for event in ledger.events("ask") if event.body["cell"] == body["cell"]]
    keys = {event.body["number"]: event.trial for event in asked}
    slots = [Slot(**slot) for slot in body["slots"]]
    winners = []
    for winner in body["chosen"]:
        slot = slot_of(winner, slots)
        winners.append(winner | {"key": keys[winner["number"]], "label": slot.label, "row": slot.row})
    raced = {"race": body["race"]} if "race" in body else {}
    return {"cell": cell | {"config": {}}, "states": body["states"], "chosen": winners} | raced


def _cell(ledger: Ledger, cell: str) -> dict[str, Any] | None:
    """A searched cell as the last plan has it that holds it."""
    latest = ledger.latest("plan")
    held = _held(latest, cell) if latest else None
    if held is not None or latest is None:
        return held
    earlier = [_held(plan, cell) for plan in ledger.events("plan")]
    return next((one for one in reversed(earlier) if one is not None), None)


def _held(plan: Event, cell: str) -> dict[str, Any] | None:
    return next((one for one in plan.body.get("cells", ()) if one["id"] == cell), None)
