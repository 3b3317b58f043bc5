"""What an MLflow store holds of a sweep, to compare; and stores that refuse, answer too late, or forget."""

from __future__ import annotations

import functools
import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest

from sweep.layout import SweepPaths
from sweep.tracking.mlflow_internals import NOTE, PARENT_RUN, SHARED_VIEW
from sweep.tracking.runs import TOLD

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Fault = Literal["lost", "late", "refused", "failed"]
"""What becomes of a request: it never arrives; it is carried out, but the answer comes too late; it is refused; the
server says that it is at fault."""
Decide = Callable[[str, tuple[Any, ...]], Fault | None]
"""What becomes of a request, by its name and what it is given; None where it is answered."""
REQUESTS = (
    *("get_experiment_by_name", "create_experiment", "get_experiment", "set_experiment_tag", "search_runs", "get_run"),
    *("create_run", "update_run", "delete_run", "log_batch", "set_tag", "log_inputs", "set_terminated"),
    *("log_text", "log_artifact", "log_image"),
)
"""Of MLflow's client, all that a delivery makes."""
SQLITE = "sqlite:///"
OF_RUNS = {"tags": "run_uuid", "params": "run_uuid", "metrics": "run_uuid", "latest_metrics": "run_uuid"}
"""Tables that hold what a run holds, and the column that says whose it is."""


def client_of(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(uri: str, *, deleted: bool = True) -> dict[str, Run]:
    """All runs of a store, by default deleted ones too, by `sweep.key`; there may be only one of each."""
    from mlflow.entities import ViewType

    client, which = client_of(uri), ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    experiments = [found.experiment_id for found in client.search_experiments()]
    found = client.search_runs(experiments, run_view_type=which, max_results=1000)
    by_key = {run.data.tags["sweep.key"]: run for run in found}
    assert len(by_key) == len(found)
    return by_key


def points(uri: str, run: Run) -> dict[str, list[tuple[int, int, float]]]:
    """Every stored point of a run's metrics: step, time, value."""
    if uri.startswith(SQLITE):
        return _stored_points(uri.removeprefix(SQLITE), run)
    client = client_of(uri)
    histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return {name: [(point.step, point.timestamp, point.value) for point in some] for name, some in histories.items()}


def _stored_points(database: str, run: Run) -> dict[str, list[tuple[int, int, float]]]:
    """The same out of a file, in one question for all metrics of the run instead of ten for each."""
    asked = "SELECT key, step, timestamp, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY timestamp, step, value"
    found: dict[str, list[tuple[int, int, float]]] = {name: [] for name in run.data.metrics}
    with closing(sqlite3.connect(database)) as opened:
        for key, step, timestamp, value, is_nan in opened.execute(asked, (run.info.run_id,)):
            found[key].append((step, timestamp, math.nan if is_nan else value))
    return found


def picture(uri: str) -> dict[str, Any]:
    """All that a store holds, to compare; not how often it was told."""
    return {
        key: (
            run.info.run_id,
            run.info.run_name,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            run.data.params,
            {tag: value for tag, value in run.data.tags.items() if tag != TOLD},
            points(uri, run),
            [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs],
        )
        for key, run in runs(uri).items()
    }


def same_everywhere(uri: str) -> dict[str, Any]:
    """What a store holds, less what each store names in its own way: run ids, and the tags that hold one."""
    return {key: (*one[1:6], *one[7:]) for key, one in picture(uri).items()}


def content(uri: str) -> dict[str, Any]:
    """All that a store holds of one sweep, less what it draws by lot (ids of runs, and links that hold them), what says
    nothing (empty tags), and when a run that goes on has once ended."""
    found: dict[str, Any] = {}
    client = client_of(uri)
    for key, run in runs(uri, deleted=False).items():
        ended = None if run.info.status == "RUNNING" else run.info.end_time
        tags = {tag: value for tag, value in run.data.tags.items() if value and tag not in (PARENT_RUN, NOTE, TOLD)}
        used = sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs)
        info = (run.info.run_name, run.info.status, run.info.start_time, ended)
        numbers = {name: sorted(some) for name, some in points(uri, run).items()}
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        found[key] = (*info, run.data.params, tags, numbers, used, files)
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    found["views"] = {tag: value for tag, value in experiment.tags.items() if tag.startswith(SHARED_VIEW)}
    return found


def forget(paths: SweepPaths) -> None:
    """As if the driver had died before it noted what was delivered."""
    with closing(sqlite3.connect(paths.ledger)) as database, database:
        database.execute("DELETE FROM facts WHERE name LIKE 'delivered:%'")


# -- faults ---------------------------------------------------------------------------------------------------------


@contextmanager
def faults(decide: Decide) -> Iterator[list[str]]:
    """MLflow's client with a server behind it that does not always do what it should; the requests that were made."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    made: list[str] = []

    def faulty(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def request(*given: Any, **named: Any) -> Any:
            made.append(name)
            fault = decide(name, (*given[1:], *named.values()))
            if fault == "refused":
                raise MlflowException("not of my liking", INVALID_PARAMETER_VALUE)
            if fault == "failed":
                raise MlflowException("API request to here failed (Caused by too many 500 error responses)")
            if fault == "lost":
                raise ConnectionResetError("gone")
            answer = real(*given, **named)
            if fault == "late":
                raise TimeoutError("timed out")
            return answer

        return request

    with pytest.MonkeyPatch.context() as patch:
        for name in REQUESTS:
            patch.setattr(MlflowClient, name, faulty(name, getattr(MlflowClient, name)))
        yield made


def lose_run(database: str, run: str) -> None:
    """A store loses a run, as if it had never been."""
    with closing(sqlite3.connect(database)) as opened, opened:
        for table, column in OF_RUNS.items():
            opened.execute(f"DELETE FROM {table} WHERE {column} = ?", (run,))
        opened.execute("DELETE FROM inputs WHERE destination_id = ?", (run,))
        opened.execute("DELETE FROM runs WHERE run_uuid = ?", (run,))


def copy_store(source: str, target: str) -> None:
    """What one SQLite file holds, in another, which may be open."""
    with closing(sqlite3.connect(source)) as ours, closing(sqlite3.connect(target)) as theirs:
        ours.backup(theirs)
