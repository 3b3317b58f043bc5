"""A trial's student as an MLflow server has it: the graph of its forward pass, which runs nobody's code.

What :mod:`sweep.tracking.models` has logged is read as data. A server may belong to others, and MLflow's models may be
pickles, which run code when they are read: so two files are fetched, by their names, and are read where they hold no
more than text and tensors. A network of a user's own needs none of its user's code.
"""

from __future__ import annotations

import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.results.read import Trial
from sweep.text import first_line, without_password
from sweep.tracking import mlflow_internals
from sweep.tracking.address import quiet_mlflow
from sweep.tracking.model_files import ABOUT, GRAPH, images_of
from sweep.tracking.paging import pages
from sweep.tracking.server import parent_of
from sweep.tracking.trouble import stopped, trouble
from trainers.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from torch import nn


def fetch(name: str, uri: str, trial: Trial) -> tuple[nn.Module, dict[str, Any]]:
    """A finished trial's network, on the CPU, and what its images go through.

    Args:
        name: of the sweep.
        uri: of the server, or of its database.
        trial: of the sweep, as :func:`sweep.tracking.read_back.read` gives it.

    Returns:
        The pass in evaluation mode of float32 ``[B, 3, H, W]``, normalised; and `size`, `mean` and `std` of its images,
        as a plan has them.

    Raises:
        InputError: where the server has no model of this trial; it says which it has.
        CheckpointError: where the model's files are gone, or are none that a sweep has logged.
        StorageError: when the server does not answer, or lets nobody in.
    """
    quiet_mlflow()
    with warnings.catch_warnings(action="ignore"):  # MLflow warns of type hints of its own while it is imported
        from mlflow import MlflowClient

        try:
            model = _found(MlflowClient(tracking_uri=uri), name, uri, trial)
        except InputError:
            raise
        except Exception as error:  # whatever MLflow, its store or the network raise
            raise stopped(uri, error) from error
        with tempfile.TemporaryDirectory(prefix="sweep-model-") as folder:
            return _read(model, Path(folder), uri, f"the model of {trial.slot.name} on MLflow at {_shown(uri)}")


def _found(client: MlflowClient, name: str, uri: str, trial: Trial) -> LoggedModel:
    """The model that was logged last of a trial. Raises InputError where there is none."""
    parent = parent_of(client, name)
    if parent is None:
        raise InputError(f"MLflow at {_shown(uri)} knows no sweep '{name}' any more")
    some = _models(client, parent, f" AND tags.`sweep.model` = '{trial.key}'")
    if not some:
        raise InputError(
            f"MLflow at {_shown(uri)} has no model of {trial.slot.name}{_refused(client, parent, trial)}; it has"
            f" {_others(client, parent)}. `tracking: {{models: all}}` in the spec logs all students, when it runs again"
            f" or by sweep sync {name}; where it ran, sweep.open('{name}', root=…) has it"
        )
    return max(some, key=lambda model: model.creation_timestamp)


def _models(client: MlflowClient, parent: Run, more: str = "") -> list[LoggedModel]:
    """The whole models of a parent's sweep."""
    from mlflow.entities import LoggedModelStatus

    query = f"tags.`sweep.id` = '{parent.data.tags['sweep.id']}'{more}"
    search = partial(client.search_logged_models, [parent.info.experiment_id], query)
    found = pages(lambda token: search(page_token=token))
    return [model for model in found if model.status == LoggedModelStatus.READY]


def _others(client: MlflowClient, parent: Run) -> str:
    """The students that a server has."""
    tags = [model.tags for model in _models(client, parent) if "label" in model.tags]
    told = sorted({" · ".join((one["pair"], one["label"], f"seed {one['seed']}")) for one in tags})
    return f"those of {', '.join(told)}" if told else "none of this sweep's students"


def _refused(client: MlflowClient, parent: Run, trial: Trial) -> str:
    """Why a trial's network could not be logged, where its run tells."""
    query = f"tags.`sweep.id` = '{parent.data.tags['sweep.id']}' AND tags.`sweep.key` = '{trial.key}'"
    told = [run.data.tags.get("model") for run in client.search_runs([parent.info.experiment_id], query, max_results=1)]
    return "".join(f" ({why})" for why in told if why)


def _read(model: LoggedModel, folder: Path, uri: str, what: str) -> tuple[nn.Module, dict[str, Any]]:
    """A model's graph and images, from files that are fetched into `folder`."""
    from mlflow.artifacts import download_artifacts

    try:
        for file in (ABOUT, GRAPH):
            place = folder / file
            place.parent.mkdir(exist_ok=True)
            download_artifacts(f"{model.artifact_location}/{file}", dst_path=str(place.parent), tracking_uri=uri)
    except Exception as error:  # whatever MLflow, its store or the network raise
        found = trouble(error)
        if found.kind != "refused":
            raise stopped(uri, error) from error
        raise CheckpointError(f"{what} cannot be fetched: {found.why}") from error
    try:
        return mlflow_internals.read_graph(folder / GRAPH), images_of(folder / ABOUT)
    except Exception as error:  # whatever a file of somebody else's makes torch, MLflow or a parser raise
        raise CheckpointError(f"{what} is none that a sweep has logged: {first_line(error)}") from error


def _shown(uri: str) -> str:
    return without_password(uri)
