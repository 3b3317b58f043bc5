"""The runs of one sweep, fetched from an MLflow server or straight from its database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.tracking import mlflow_internals
from sweep.tracking.paging import pages
from sweep.tracking.run_content import PARENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from sqlalchemy import Connection

PAGE = 1000
"""Runs per request."""
PATIENCE_SECONDS = 60
"""For a page; unless ``MLFLOW_HTTP_REQUEST_TIMEOUT`` says otherwise. A server takes seconds for a thousand runs."""
METRICS = ("test_acc", "val_acc", "best_test_acc")


@dataclass
class Tracked:
    """A run, as far as it is read."""

    started: int
    """Milliseconds since 1970."""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last of each."""


def served(name: str | None, uri: str) -> list[Tracked]:
    """The runs of a sweep, its parent among them, from an HTTP server; none where there is no such sweep."""
    from mlflow import MlflowClient

    parent = parent_of(MlflowClient(tracking_uri=uri), name)
    return [] if parent is None else list(_runs_of(uri, parent))


def parent_of(client: MlflowClient, name: str | None) -> Run | None:
    """The parent run that was started last of a sweep, or of all; None where there is none."""
    named = client.get_experiment_by_name(name) if name else None
    some = ([named] if named else []) if name else client.search_experiments()
    query, order = f"tags.`sweep.key` = '{PARENT}'", ["attributes.start_time DESC"]
    places = [experiment.experiment_id for experiment in some]
    parents = client.search_runs(places, query, max_results=1, order_by=order) if places else []
    return next(iter(parents), None)


def _runs_of(uri: str, parent: Run) -> Iterator[Tracked]:
    """The runs of a parent's sweep, itself among them."""
    query = f"tags.`sweep.id` = '{parent.data.tags['sweep.id']}'"
    asked = {"experiment_ids": [parent.info.experiment_id], "filter": query, "max_results": PAGE}
    return map(_of_json, pages(lambda token: mlflow_internals.search_runs(uri, asked, token)))


def _of_json(run: dict[str, Any]) -> Tracked:
    data = (run["data"].get(part, ()) for part in ("tags", "params", "metrics"))
    parts = ({entry["key"]: entry["value"] for entry in entries} for entries in data)
    return Tracked(int(run["info"]["start_time"]), *parts)


def stored(name: str | None, uri: str) -> list[Tracked]:
    """The same straight from a database: MLflow's own way makes an object of every tag, parameter and metric."""
    import sqlalchemy as sql

    url = sql.make_url(uri)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise FileNotFoundError(f"there is no file {url.database}")  # SQLite would make one
    engine = sql.create_engine(uri)
    try:
        with engine.connect() as connection:
            parent = {"sweep.key": PARENT, "sweep.name": name or None}
            sweep = mlflow_internals.newest_value(connection, "sweep.id", parent)
            return _of_sweep(connection, sweep) if sweep is not None else []
    finally:
        engine.dispose()


def _of_sweep(connection: Connection, sweep: str) -> list[Tracked]:
    """The runs of a sweep, by its id."""
    ours = ("sweep.id", sweep)
    runs = {run: Tracked(time) for run, time in mlflow_internals.started_runs(connection, *ours).items()}
    for table, names in (("tags", None), ("params", None), ("latest_metrics", METRICS)):
        for run, name, value in mlflow_internals.values_of_runs(connection, table, *ours, names):
            if run in runs:
                getattr(runs[run], table.removeprefix("latest_"))[name] = value
    return list(runs.values())
