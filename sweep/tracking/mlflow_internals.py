"""What a sweep uses of MLflow that MLflow does not promise; read in MLflow 3.17 (3.17.2), which bounds the dependency.

- names of the tags and lengths of their values that MLflow's server and page know;
- its REST interface, asked past its client: the path, and the functions that send its login along;
- the tables of its database: who reads them directly, and how the file is written;
- how it tells that a graph of `torch.export` holds no pickle that could run code;
- the command line that its server is started with, and the application in it.

The state of a view of MLflow's page is one more thing of this kind; it is in :mod:`sweep.tracking.view_state`. All else
that is used of MLflow is its documented client. `tests/sweep/tracking/test_mlflow_internals.py` holds the installed
release to what is here. MLflow is imported in the functions: importing it takes seconds, and has to be prepared
(:func:`sweep.tracking.address.quiet_mlflow`).
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from mlflow.store.entities import PagedList
    from sqlalchemy import Connection, Select, TableClause
    from torch import nn

RELEASE = "3.17"
"""The release that all of this was read in."""

# -- tags that MLflow's server or its page understands -----------------------------------------------------------------

NOTE = "mlflow.note.content"
"""Of a run or an experiment: what the page shows as its description, in Markdown."""
PARENT_RUN = "mlflow.parentRunId"
"""Of a run: the id of the run that it is nested under."""
SOURCE_NAME, SOURCE_TYPE = "mlflow.source.name", "mlflow.source.type"
"""Of a run: the file that it comes from, and of what kind that is (``LOCAL``)."""
SOURCE_COMMIT = "mlflow.source.git.commit"
"""Of a run: the commit that the page shows as the version of its source."""
LOGGED_ARTIFACTS = "mlflow.loggedArtifacts"
"""Of a run: which of its artifacts the page shows as tables, as JSON."""
EXPERIMENT_KIND = "mlflow.experimentKind"
"""Of an experiment: which of its tabs the page opens; ``custom_model_development`` opens the runs."""
SHARED_VIEW = "mlflow.sharedViewState."
"""How an experiment's tags begin that hold a view of its page; the view's name follows."""
MODEL_VERSIONS = "mlflow.modelVersions"
"""Of a logged model: its versions in the registry, as JSON."""
DATA_CONTEXT = "mlflow.data.context"
"""Of a run's data set: what it was used for."""
LONGEST_TAG = 8_000
"""Characters that MLflow keeps of the value of a run's tag."""
LONGEST_EXPERIMENT_TAG = 20_000
"""Characters that the value of an experiment's tag may have; a longer one is refused."""
LONGEST_PARAM = 6_000
"""Characters that MLflow keeps of the value of a parameter."""
LONGEST_RUN_NAME = 250
"""Characters that MLflow's database has for the name of a run; all but SQLite refuse a longer one."""


def run_name(name: str) -> str:
    """A run's name, as much of it as MLflow has room for; nothing is found by it."""
    return name if len(name) <= LONGEST_RUN_NAME else name[: LONGEST_RUN_NAME - 1] + "…"


# -- the REST interface, past MLflow's client --------------------------------------------------------------------------

SEARCH = "/api/2.0/mlflow/runs/search"
"""The path that answers with a page of runs."""


def search_runs(uri: str, asked: dict[str, Any], token: str | None) -> PagedList[dict[str, Any]]:
    """A page of runs as the server's JSON has them; MLflow's client takes ten times as long to make objects of them.

    Args:
        uri: of an HTTP server.
        asked: `experiment_ids`, `filter` and `max_results`.
        token: of the page; None for the first.

    Raises:
        MlflowException: when the server does not answer, or refuses.
    """
    from mlflow.store.entities import PagedList
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    host = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    body = asked | ({"page_token": token} if token else {})
    answer = http_request(host, SEARCH, "POST", json=body)  # type: ignore[no-untyped-call]
    page = verify_rest_response(answer, SEARCH).json()
    return PagedList(page.get("runs", ()), page.get("next_page_token"))


REST_ERROR = r"failed with error code (\d+) != \d+\. Response body: '(.*)'"
"""What MLflow's client says of an HTTP answer that is no success and no error of MLflow's own."""
GIVEN_UP = r"too many (\d+) error responses"
"""What it says of one after which it would have tried again, if it were let; the body is lost."""
NO_JSON = r"response body was not in a valid JSON format\. Response body: '(.*)'"
"""What it says of a success that is no JSON object."""
NO_ANSWER = "API request to "
"""How it begins where there was no answer at all."""


def answer_of(error: BaseException) -> tuple[int | None, str]:
    """Status and body of the HTTP answer that made MLflow's client fail, where it was none that it understands.

    Returns:
        (None, "") where nobody answered, or where MLflow itself has refused: then the error has a code of MLflow's.
    """
    response = getattr(error, "response", None)  # of requests' own error, which artifacts raise
    if isinstance(getattr(response, "status_code", None), int):
        return response.status_code, response.text  # type: ignore[union-attr]
    if not speaks_for_itself(error) or hasattr(error, "json"):
        return None, ""
    for pattern in (REST_ERROR, GIVEN_UP):
        found = re.search(pattern, str(error), re.DOTALL)
        if found:
            return int(found[1]), (found[2] if pattern == REST_ERROR else "")
    page = re.search(NO_JSON, str(error), re.DOTALL)
    return (200, page[1]) if page else (None, "")


def is_unanswered(error: BaseException) -> bool:
    """Whether MLflow's client, or the driver of its database, reached nobody."""
    if type(error).__module__.startswith("sqlalchemy") and type(error).__name__ in ("OperationalError", "TimeoutError"):
        return True
    return speaks_for_itself(error) and not hasattr(error, "json") and str(error).startswith(NO_ANSWER)


def speaks_for_itself(error: BaseException) -> bool:
    """Whether an error is MLflow's own, whose words need no name of its class before them."""
    return any(kind.__module__ == "mlflow.exceptions" for kind in type(error).__mro__)


# -- the database ------------------------------------------------------------------------------------------------------

COLUMNS = {
    "runs": ("run_uuid", "start_time", "lifecycle_stage"),
    "tags": ("run_uuid", "key", "value"),
    "params": ("run_uuid", "key", "value"),
    "latest_metrics": ("run_uuid", "key", "value"),
    "experiments": ("experiment_id", "name", "creation_time", "lifecycle_stage"),
    "experiment_tags": ("experiment_id", "key", "value"),
}
"""All that is read of MLflow's database: columns by table."""
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where it has whole paths of artifacts, which :mod:`sweep.tracking.moved` writes anew: columns by table."""
ACTIVE, DELETED = "active", "deleted"
"""The `lifecycle_stage` of what was not deleted, and of what was."""


def newest_value(connection: Connection, tag: str, having: dict[str, str | None]) -> str | None:
    """A tag's value at the run that was started last of those with certain tags; None where there is no such run.

    Args:
        connection: to a database of MLflow's.
        tag: whose value is wanted.
        having: tags that the run must have, with their values; None for any value.
    """
    import sqlalchemy as sql

    runs, wanted = _table("runs"), _table("tags").alias()
    query = sql.select(wanted.c.value).join_from(runs, wanted, wanted.c.run_uuid == runs.c.run_uuid)
    query = query.where(runs.c.lifecycle_stage == ACTIVE, wanted.c.key == tag)
    for key, value in having.items():
        other = _table("tags").alias()
        query = query.join(other, other.c.run_uuid == runs.c.run_uuid)
        query = query.where(other.c.key == key, sql.true() if value is None else other.c.value == value)
    value = connection.scalar(query.order_by(runs.c.start_time.desc()).limit(1))
    return None if value is None else str(value)


def started_runs(connection: Connection, tag: str, value: str) -> dict[str, int]:
    """The runs with a tag of this value that were not deleted: when each was started, in milliseconds since 1970."""
    runs = _table("runs")
    query = _of_tagged_runs(runs, ("run_uuid", "start_time"), tag, value).where(runs.c.lifecycle_stage == ACTIVE)
    return {run: int(started) for run, started in connection.execute(query)}


def values_of_runs(
    connection: Connection, table: str, tag: str, value: str, names: Iterable[str] | None = None
) -> Iterator[tuple[str, str, Any]]:
    """Run, name and value of each entry of a table, for the runs with a tag of this value, deleted ones among them.

    Args:
        connection: to a database of MLflow's.
        table: ``tags``, ``params`` or ``latest_metrics``.
        tag: which the runs have.
        value: of that tag.
        names: of the entries that are wanted; None for all.
    """
    entries = _table(table)
    query = _of_tagged_runs(entries, COLUMNS[table], tag, value)
    wanted = query if names is None else query.where(entries.c.key.in_(tuple(names)))
    yield from connection.execute(wanted)


def tagged_experiments(database: Path, tag: str, most: int) -> list[tuple[str, str]]:
    """Name and id of the experiments with a tag that were not deleted, the latest first.

    Raises:
        sqlite3.DatabaseError: when the file is not there, or no database of MLflow's; it is only read.
    """
    query = (
        "SELECT e.name, e.experiment_id FROM experiments e JOIN experiment_tags t ON t.experiment_id = e.experiment_id"
        " WHERE e.lifecycle_stage = ? AND t.key = ? ORDER BY e.creation_time DESC LIMIT ?"
    )
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as opened:
        rows = opened.execute(query, (ACTIVE, tag, most)).fetchall()
    return [(name, str(experiment)) for name, experiment in rows]


def make_whole(database: Path) -> None:
    """Make MLflow's SQLite file where there is none: beside its place, and moved there when it is complete.

    MLflow makes it in dozens of steps, which SQLite does not take back together; a process that is killed between two
    would leave a file that no later one can use.
    """
    from mlflow import MlflowClient

    if has_tables(database):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{database.name}.", dir=database.parent) as folder:
        new = Path(folder) / database.name
        MlflowClient(tracking_uri=f"sqlite:///{new.absolute()}").search_experiments(max_results=1)
        if not has_tables(database):  # another driver may have been quicker
            new.replace(database)


def has_tables(database: Path) -> bool:
    """Whether there is a database in a SQLite file; MLflow will say what is wrong with one that cannot be read."""
    if not database.exists():
        return False
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(database)) as db:
        return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    return True


def is_half_made(error: BaseException) -> bool:
    """Whether MLflow failed since a file of its own was left between two steps of its making."""
    done_before = ("already exists", "duplicate column name")
    return type(error).__name__ == "OperationalError" and any(words in str(error) for words in done_before)


def enter_wal_mode(database: Path) -> None:
    """Have writing to a SQLite file cost less, and not wait for who reads it. It is remembered in the file."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(database)) as db:  # MLflow will say what is wrong
        db.execute("PRAGMA journal_mode=WAL")


def _table(name: str) -> TableClause:
    import sqlalchemy as sql

    return sql.table(name, *map(sql.column, COLUMNS[name]))


def _of_tagged_runs(table: TableClause, columns: Iterable[str], tag: str, value: str) -> Select[Any]:
    """A table's rows that belong to the runs with a tag of this value."""
    import sqlalchemy as sql

    own = _table("tags").alias()
    query = sql.select(*(table.c[name] for name in columns))
    query = query.join_from(table, own, own.c.run_uuid == table.c.run_uuid)
    return query.where(own.c.key == tag, own.c.value == value)


# -- graphs of torch.export --------------------------------------------------------------------------------------------


def read_graph(path: Path) -> nn.Module:
    """The pass of a network that `torch.export` has written, in evaluation mode, on the CPU.

    Torch would unpickle what stands in such an archive, whatever it is. So MLflow looks at it first, as its own loader
    does where it is told to read no pickles; that it is told by a variable, for the whole process.

    Raises:
        MlflowException: where the archive holds more than text and tensors.
        ValueError: where it takes one number of images alone.
        Exception: whatever torch raises of an archive that it cannot read.
    """
    import torch
    from mlflow.pytorch import _validate_pt2_archive_is_pickle_free

    _validate_pt2_archive_is_pickle_free(str(path))
    program = torch.export.load(path)
    (read,) = (node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    count = read.meta["val"].shape[0]
    if isinstance(count, int):
        raise ValueError(f"its graph takes {count} images at a time alone: its forward asks a tensor for its len()")
    return program.module()


# -- its server --------------------------------------------------------------------------------------------------------

APPLICATION = "mlflow.server.fastapi_app:app"
"""MLflow's web application, as uvicorn is told of it."""


def application() -> Any:
    """The web application itself, which speaks ASGI."""
    from mlflow.server.fastapi_app import app

    return app


def change_server_command(change: Callable[[list[str]], list[str]]) -> None:
    """Let the server that ``mlflow server`` starts from now on, in this process, have another command line.

    Args:
        change: makes it of uvicorn's, whose last word is :data:`APPLICATION`.
    """
    import mlflow.server

    build: Callable[..., list[str]] = mlflow.server._build_uvicorn_command
    mlflow.server._build_uvicorn_command = lambda *given, **named: change(build(*given, **named))
