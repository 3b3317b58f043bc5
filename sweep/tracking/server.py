"""The runs of one sweep, fetched from an MLflow server or straight from its database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.tracking.run_content import PARENT

if TYPE_CHECKING:
    from mlflow.entities import Run
    from sqlalchemy import Connection

PAGE = 1000
"""Runs per request."""
PATIENCE_SECONDS = 60
"""For a page; unless ``MLFLOW_HTTP_REQUEST_TIMEOUT`` says otherwise. A server takes seconds for a thousand runs."""
TABLES = {"runs": ("run_uuid", "start_time", "lifecycle_stage"), "tags": ("run_uuid", "key", "value")}
"""What is read of MLflow's database; `params` and `latest_metrics` have the columns of `tags`."""
SEARCH = "/api/2.0/mlflow/runs/search"
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
