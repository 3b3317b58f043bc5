"""The results of a sweep that ran elsewhere, read back from the MLflow server that it was tracked on.

What :mod:`sweep.tracking` wrote there becomes the same :class:`~sweep.results.Results` that the ledger gives. The runs
tell of every trial that was ever started under this sweep, planned still or not; of trials that were not started, and
of searches that go on, they do not. Only tags, parameters and last metrics are asked for, in pages; no curve is read.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.delivery import CHOSEN
from sweep.events import first_line
from sweep.plan import TUNED, Cell, Plan, Slot, Stage
from sweep.results import Results, Searched, Trial, trained_teachers
from sweep.run_content import ORDER, PARENT, PLACES, row_key
from sweep.tracking import quiet_mlflow, without_password
from trainers.errors import InputError, StorageError

if TYPE_CHECKING:
    from mlflow.entities import Run
    from sqlalchemy import Connection

PAGE = 1000
"""Runs per request."""
PATIENCE_SECONDS = 60
"""For a page; unless ``MLFLOW_HTTP_REQUEST_TIMEOUT`` says otherwise. A server takes seconds for a thousand runs."""
NO_HYPERPARAMETERS = (*PLACES, "dataset", "teacher_hash")
"""Parameters of a run that are its place; the last two are tags by now, but servers have them of older sweeps."""
TABLES = {"runs": ("run_uuid", "start_time", "lifecycle_stage"), "tags": ("run_uuid", "key", "value")}
"""What is read of MLflow's database; `params` and `latest_metrics` have the columns of `tags`."""
SEARCH = "/api/2.0/mlflow/runs/search"
METRICS = ("test_acc", "val_acc", "best_test_acc")
STAGES: dict[str, Stage] = {"teacher": "teacher", "search": "search", "confirm": "confirm"}


@dataclass
class Tracked:
    """A run, as far as it is read."""

    started: int
    """Milliseconds since 1970."""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last of each."""


def read(name: str | None, uri: str) -> Results:
    """The results of a sweep as a server has them.

    Args:
        name: of the sweep; None for the one that was started last.
        uri: of the server, or of its database.

    Raises:
        InputError: when the server knows no such sweep.
        StorageError: when it does not answer.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(PATIENCE_SECONDS))
    quiet_mlflow()
    try:
        runs = (served if uri.startswith("http") else stored)(name, uri)
    except Exception as error:  # whatever MLflow, its store or the network raise
        why = first_line(error, without_password)
        raise StorageError(f"MLflow at {without_password(uri)} does not answer ({why}); try again later") from error
    if not runs:
        raise InputError(f"MLflow at {without_password(uri)} knows no sweep{f' {name!r}' if name else ''}")
    return results(runs)


def served(name: str | None, uri: str) -> list[Tracked]:
    """The runs of a sweep, its parent among them, from an HTTP server; none where there is no such sweep."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    named = client.get_experiment_by_name(name) if name else None
    some = ([named] if named else []) if name else client.search_experiments()
    query, order = f"tags.`sweep.key` = '{PARENT}'", ["attributes.start_time DESC"]
    places = [experiment.experiment_id for experiment in some]
    parents = client.search_runs(places, query, max_results=1, order_by=order) if places else []
    return [run for parent in parents for run in _pages(uri, parent)]


def _pages(uri: str, parent: Run) -> Iterator[Tracked]:
    """The pages as JSON: MLflow's client takes ten times as long to make objects of them."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    host = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    query = f"tags.`sweep.id` = '{parent.data.tags['sweep.id']}'"
    asked = {"experiment_ids": [parent.info.experiment_id], "filter": query, "max_results": PAGE}
    while True:
        answer = http_request(host, SEARCH, "POST", json=asked)  # type: ignore[no-untyped-call]
        page = verify_rest_response(answer, SEARCH).json()
        yield from (_of_json(run) for run in page.get("runs", ()))
        if not page.get("next_page_token"):
            return
        asked["page_token"] = page["next_page_token"]


def _of_json(run: dict[str, Any]) -> Tracked:
    parts = ({one["key"]: one["value"] for one in run["data"].get(part, ())} for part in ("tags", "params", "metrics"))
    return Tracked(int(run["info"]["start_time"]), *parts)


def stored(name: str | None, uri: str) -> list[Tracked]:
    """The same straight from a database: MLflow's own way makes an object of every tag, parameter and metric."""
    import sqlalchemy as sql

    url = sql.make_url(uri)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise FileNotFoundError(f"there is no file {url.database}")  # SQLite would make one
    runs, tags = (sql.table(table, *map(sql.column, columns)) for table, columns in TABLES.items())
    engine = sql.create_engine(uri)
    try:
        with engine.connect() as connection:
            key, its_name, its_id = tags.alias(), tags.alias(), tags.alias()
            parent = (
                sql.select(its_id.c.value)
                .join_from(runs, key, key.c.run_uuid == runs.c.run_uuid)
                .join(its_name, its_name.c.run_uuid == runs.c.run_uuid)
                .join(its_id, its_id.c.run_uuid == runs.c.run_uuid)
                .where(runs.c.lifecycle_stage == "active", key.c.key == "sweep.key", key.c.value == PARENT)
                .where(its_name.c.key == "sweep.name", its_id.c.key == "sweep.id")
                .where(its_name.c.value == name if name else sql.true())
                .order_by(runs.c.start_time.desc())
            )
            sweep = connection.scalar(parent.limit(1))
            return _rows(connection, sweep) if sweep is not None else []
    finally:
        engine.dispose()


def _rows(connection: Connection, sweep: str) -> list[Tracked]:
    """The runs of a sweep, by its id."""
    import sqlalchemy as sql

    runs, tags = (sql.table(table, *map(sql.column, columns)) for table, columns in TABLES.items())
    own = tags.alias()
    ours = (own.c.key == "sweep.id", own.c.value == sweep)
    query = sql.select(runs.c.run_uuid, runs.c.start_time).join_from(runs, own, own.c.run_uuid == runs.c.run_uuid)
    started = connection.execute(query.where(*ours, runs.c.lifecycle_stage == "active"))
    found = {run: Tracked(time) for run, time in started}
    for part, wanted in (("tags", None), ("params", None), ("latest_metrics", METRICS)):
        table = sql.table(part, *map(sql.column, TABLES["tags"]))
        lines = sql.select(table.c.run_uuid, table.c.key, table.c.value)
        lines = lines.join_from(table, own, own.c.run_uuid == table.c.run_uuid).where(*ours)
        for run, name, value in connection.execute(lines.where(table.c.key.in_(wanted)) if wanted else lines):
            if run in found:
                getattr(found[run], part.removeprefix("latest_"))[name] = value
    return list(found.values())


def results(runs: Iterable[Tracked]) -> Results:
    """The results that a sweep's runs tell, in the plan's order; what it dropped comes last, as it was started."""
    started = sorted(runs, key=lambda run: (run.started, run.tags["sweep.key"]))
    parent = next(run for run in started if run.tags["sweep.key"] == PARENT)
    found = [_trial(run) for run in started if run is not parent]
    chosen = [json.loads(value) for tag, value in parent.tags.items() if tag.startswith(CHOSEN)]
    cells = [Cell(**one["cell"]) for one in chosen]
    place = _places(parent, cells, chosen)
    cells = sorted(cells, key=lambda cell: (place(cell), cell.name))
    found = sorted(_shared(_varied(_confirmed(found, cells, chosen), cells)), key=lambda trial: place(trial.slot))
    plan = _plan(parent, found, cells)
    searches = {one["cell"]["id"]: _searched(one) for one in chosen}
    return Results(plan, found, searches, trained_teachers(found))


def _places(
    parent: Tracked, cells: list[Cell], chosen: list[dict[str, Any]]
) -> Callable[[Slot | Cell], tuple[int, int]]:
    """Where a row stands in the table. What a search has won stands in the search's place, best first."""
    tags = sorted((int(tag.removeprefix(ORDER)), keys) for tag, keys in parent.tags.items() if tag.startswith(ORDER))
    rows = dict.fromkeys(key for _, keys in tags for key in keys.split())
    places = {key: (number, 0) for number, key in enumerate(rows)}
    last = (len(places), 0)
    for cell, one in zip(cells, chosen, strict=True):
        its, _ = places.get(row_key(cell), last)
        for rank, won in enumerate(one["chosen"]):
            places.setdefault(row_key(replace(cell, label=won["label"])), (its, rank))
    return lambda row: places.get(row_key(row), last)


def _plan(parent: Tracked, found: list[Trial], cells: list[Cell]) -> Plan:
    tags = parent.tags
    return Plan(
        name=tags["sweep.name"],
        description="",
        dataset=tags["dataset"],
        protocol="paper" if tags["protocol"] == "paper" else "validation",
        baseline=tags["baseline"],
        compute={},
        slots=tuple(trial.slot for trial in found if trial.slot.stage != "search" and TUNED not in trial.slot.label),
        cells=tuple(cells),
        seeds=tuple(cells[0].seeds) if cells else (),
    )


def _searched(one: dict[str, Any]) -> Searched:
    return Searched(sum(one["states"].values()), one["states"], tuple(one["chosen"]), ended=True)


def _trial(run: Tracked) -> Trial:
    tags, key = run.tags, run.tags["sweep.key"]
    slot = Slot(
        id=key,
        stage=STAGES[tags["stage"]],
        pair=tags["pair"],
        method=tags["method"],
        label=tags["label"],
        varied={},
        recipe=tags["recipe"],
        seed=int(tags["seed"]),
        config=config(run.params),
    )
    return Trial(slot, key, tags["state"], _body(tags["state"], run.metrics), 0)


def _body(state: str, metrics: dict[str, float]) -> dict[str, Any]:
    """The final event's numbers, as far as the table reads them."""
    if state != "finished":
        return {}
    best = metrics["best_test_acc"]
    last = metrics.get("test_acc", best)  # a stored teacher has no epochs here
    return {"last": {"test_acc": last, "val_acc": metrics.get("val_acc")}, "best": {"test_acc": best}}


def config(params: dict[str, str]) -> dict[str, Any]:
    """A trial's config back from its flat parameters, without teacher and data; see :func:`run_content.parameters`."""
    values = {name: value_of(text) for name, text in sorted(params.items())}
    recipe = {name.removeprefix("recipe."): value for name, value in values.items() if name.startswith("recipe.")}
    own = {
        name: value
        for name, value in values.items()
        if name not in NO_HYPERPARAMETERS and not name.startswith("recipe.")
    }
    return {"model": params["model"], "method": {"name": params["method"], "params": own}, "recipe": recipe}


@lru_cache(maxsize=4096)
def value_of(text: str) -> Any:
    """A parameter's value: numbers, lists, true, false and null back from Python's notation, text as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _confirmed(found: list[Trial], cells: list[Cell], chosen: list[dict[str, Any]]) -> list[Trial]:
    """The trials, and once more those search trials that count for a tuned row: a search's seed is one of its seeds."""
    by_key = {trial.key: trial for trial in found}
    by_id = {cell.id: cell for cell in cells}
    again = []
    for one in chosen:
        for won in one["chosen"]:
            trial = by_key.get(won["key"])
            if trial is not None and trial.slot.stage == "search":
                varied = by_id[one["cell"]["id"]].varied | won["params"]
                slot = replace(trial.slot, stage="confirm", label=won["label"], varied=varied)
                again.append(replace(trial, slot=slot))
    return [*found, *again]


def _varied(found: list[Trial], cells: list[Cell]) -> list[Trial]:
    """The trials with the hyperparameters in which they differ: those of a search, or of the other rows of a method."""
    groups: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in found:
        groups.setdefault((trial.slot.recipe, trial.slot.pair, trial.slot.method), []).append(trial)
    names = {place: _differing(some) for place, some in groups.items()}

    def of(slot: Slot) -> list[str]:
        cell = next((c for c in cells if (c.recipe, c.pair) == (slot.recipe, slot.pair) and _in(slot, c)), None)
        return [*cell.varied, *cell.space] if cell else names[slot.recipe, slot.pair, slot.method]

    return [
        replace(trial, slot=replace(trial.slot, varied={name: _at(trial.slot, name) for name in of(trial.slot)}))
        for trial in found
    ]


def _in(slot: Slot, cell: Cell) -> bool:
    return slot.stage == "confirm" and slot.label.startswith(cell.label)


def _at(slot: Slot, name: str) -> Any:
    """A hyperparameter's value; those of the recipe are named ``recipe.lr``."""
    place = slot.config["recipe"] if name.startswith("recipe.") else slot.config["method"]["params"]
    return place.get(name.removeprefix("recipe."))


def _differing(some: list[Trial]) -> list[str]:
    """Hyperparameters in which the rows that were not searched differ."""
    points = [
        trial.slot.config["method"]["params"]
        for trial in some
        if trial.slot.stage == "confirm" and TUNED not in trial.slot.label
    ]
    return sorted(name for name in (points or [{}])[0] if any(one.get(name) != points[0][name] for one in points))


def _shared(found: list[Trial]) -> list[Trial]:
    """The trials, and once more those without a teacher under every other pair of the same student.

    Such a trial runs once, under the pair that came first. A pair that brings a recipe of its own has its own.
    """
    students = dict.fromkeys(trial.slot.pair for trial in found if trial.slot.stage == "confirm")
    there = {(trial.slot.recipe, trial.slot.pair, trial.slot.label, trial.slot.seed) for trial in found}
    more = []
    for trial in found:
        slot = trial.slot
        for pair in students if slot.method == "scratch" and slot.stage == "confirm" else ():
            same = pair.partition("→")[2] == slot.pair.partition("→")[2]
            if same and (slot.recipe, pair, slot.label, slot.seed) not in there:
                more.append(replace(trial, slot=replace(slot, pair=pair)))
    return [*found, *more]
