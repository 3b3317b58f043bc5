"""Every epoch of a sweep that ran elsewhere, from the curves that its MLflow server has of its runs.

A request for each curve: a sweep of a thousand trials takes a minute or more.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from sweep.ledger.origin import origin_of
from sweep.plan.labels import student_of, teacher_of
from sweep.results.export import OF_TRIAL, PARTS, as_table, schema
from sweep.results.read import Results, Trial
from sweep.tracking.paging import pages
from sweep.tracking.run_content import EPOCH_METRICS, PARENT
from sweep.tracking.trouble import stopped

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow import MlflowClient
    from mlflow.entities import Run

NAMED = {"term/": "term.", "diagnostics/": "diagnostic."}
"""How the names of loss terms and diagnostics begin on the server, and in the table."""
MEASURED = (*EPOCH_METRICS, "images_per_second")


def read(results: Results, uri: str) -> pa.Table:
    """What :func:`sweep.results.export.epochs` gives of a ledger. Columns of what a server is not told are empty:
    `config`, `seconds` and `teacher_images`.

    Args:
        results: of the sweep, as :func:`sweep.tracking.read_back.read` has them.
        uri: of the server, or of its database.

    Raises:
        StorageError: when it does not answer, or lets nobody in.
    """
    from mlflow import MlflowClient

    trials = {trial.key: trial for trial in reversed(results.trials) if trial.key}
    try:
        client = MlflowClient(tracking_uri=uri)
        told = [line for run in _runs(client, results.plan.name) for line in _lines(client, run, trials)]
    except Exception as error:  # whatever MLflow, its store or the network raise
        raise stopped(uri, error) from error
    named = {name for line in told for name in line}
    columns = {part: sorted(_ending(named, f"{word}.")) for part, word in PARTS.items()}
    shape = schema(columns)
    whole = [{field.name: None for field in shape} | {"sweep": results.plan.name} | line for line in told]
    return as_table(sorted(whole, key=lambda line: (line["trial"], line["epoch"])), shape)


def _ending(names: set[str], start: str) -> list[str]:
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def _runs(client: MlflowClient, name: str) -> Iterator[Run]:
    """The trials' runs of the sweep of that name that was started last."""
    experiment = client.get_experiment_by_name(name)
    places = [experiment.experiment_id] if experiment else []
    search = partial(client.search_runs, places)
    order = ["attributes.start_time DESC"]
    for parent in search(f"tags.`sweep.key` = '{PARENT}'", max_results=1, order_by=order):
        query = f"tags.`sweep.id` = '{parent.data.tags['sweep.id']}' AND tags.`sweep.key` != '{PARENT}'"
        yield from pages(lambda token, query=query: search(query, page_token=token))  # type: ignore[misc]


def _lines(client: MlflowClient, run: Run, trials: dict[str, Trial]) -> list[dict[str, Any]]:
    """A line for each epoch of a trial's run; none of a run that is no trial's of the sweep."""
    trial = trials.get(run.data.tags["sweep.key"])
    if trial is None:
        return []
    about, epochs = _about(trial), dict[int, dict[str, Any]]()
    for metric in run.data.metrics:
        column = _column(metric)
        for point in client.get_metric_history(run.info.run_id, metric) if column else ():
            line = epochs.setdefault(point.step, about | {"epoch": point.step, "time": point.timestamp})
            line[column] = point.value
    return list(epochs.values())


def _column(metric: str) -> str:
    """A metric's column; empty for what is no number of an epoch."""
    for start, ours in NAMED.items():
        if metric.startswith(start):
            return ours + metric.removeprefix(start)
    return metric if metric in MEASURED else ""


def _about(trial: Trial) -> dict[str, Any]:
    """What stands in each of a trial's lines."""
    slot = trial.slot
    teacher, student = teacher_of(slot.pair), student_of(slot.pair)
    known: dict[str, Any] = {name: getattr(slot, name) for name in OF_TRIAL if hasattr(slot, name)}
    own = {"trial": trial.key, "state": trial.state, "seed": slot.seed, "config": None}
    origin = origin_of(trial.body)
    own["taken_from"] = origin.sweep if origin else None
    return known | own | {"teacher": teacher if student else None, "student": student or teacher}
