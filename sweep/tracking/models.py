"""Trained networks as MLflow models, and teachers as versions in its model registry.

When a sweep has ended, never while it trains, the driver logs the networks that the spec's `tracking` asks for. What is
there is found again by the trial's key, and of a teacher by the content hash of its weights, so this can be broken off
and repeated (`sweep sync`).

A logged model is the graph of the network's forward pass as `torch.export` writes it: JSON and tensors, no pickle.
``mlflow.pytorch.load_model`` reads it without this package.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.results import read
from sweep.text import first_line
from sweep.tracking import mlflow_internals
from sweep.tracking.candidates import Candidate, candidates, fact, last_accuracies, registered_name, signature
from sweep.tracking.model_files import save
from sweep.tracking.paging import pages
from sweep.tracking.patience import made_once, patiently
from sweep.tracking.run_content import PARENT, metrics_at
from sweep.tracking.trouble import trouble
from trainers.errors import CheckpointError, StorageError
from trainers.storage.content import canonical_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

    from trainers.models import Network
    from trainers.teacher.passport import Passport


@dataclass
class Outcome:
    """What became of the networks of a sweep."""

    logged: int = 0
    """New models."""
    refused: list[str] = field(default_factory=list)
    """Which could not be logged, and why."""


def passport_tags(passport: Passport) -> dict[str, str]:
    """A passport as tags of a version in the registry."""
    from trainers.config import TrialConfig

    origin = passport.origin
    tags = {
        "hash": passport.hash,
        "architecture": passport.architecture,
        "dataset": passport.dataset.name,
        "dataset_content": passport.dataset.content,
        "test_acc": f"{passport.test_acc:.2f}",
        "probe_acc": f"{passport.probe_acc:.2f}",
        "origin": passport.came_from,
        "file_sha256": passport.file_sha256,
    }
    if passport.val_acc is not None:
        tags["val_acc"] = f"{passport.val_acc:.2f}"
    if passport.normalisation is not None:
        tags["normalisation"] = str(passport.normalisation)
    if isinstance(origin, TrialConfig):
        recipe = canonical_json(origin.recipe.model_dump(mode="json"))
        return tags | {"epochs": str(passport.epochs), "seed": str(origin.seed), "recipe": recipe}
    return tags | {"recipe": f"imported: {origin.form}", "notes": "; ".join(origin.notes)}


class ModelDelivery:
    """Logs the networks of one sweep on one server; see the module's docstring for what makes it repeatable."""

    def __init__(
        self, paths: SweepPaths, ledger: Ledger, client: MlflowClient, experiment: str, runs: dict[str, str]
    ) -> None:
        """`runs`: the ids of the sweep's runs, by `sweep.key`."""
        self._paths, self._ledger, self._client = paths, ledger, client
        self._experiment, self._runs = experiment, runs
        self._plan = read.planned(ledger)

    @property
    def _root(self) -> Root:
        return self._paths.root

    def deliver(self, uri: str, tell: Callable[[str], None]) -> Outcome:
        """Log what is wanted and not there yet.

        Args:
            uri: of the server, to remember that it has them all.
            tell: hears how many are about to be logged.

        Returns:
            How many were, and what could not be: weights that are gone or damaged, a network that cannot be exported.
        """
        wanted, outcome = candidates(self._ledger), Outcome()
        if not wanted or not self._try("the models", lambda: self._known, outcome):
            return outcome
        missing = [candidate for candidate in wanted if candidate.run in self._runs and self._lacks(candidate)]
        if missing:
            tell(f"logging {len(missing)} model{'s' if len(missing) > 1 else ''} in MLflow")
        taken = [self._try(_shown(one), partial(self._deliver, one, outcome), outcome) for one in missing]
        taken.append(self._try("the labels of the models", partial(self._bring_up_to_date, wanted), outcome))
        if all(taken):
            self._ledger.set_fact(fact(uri), signature(wanted, self._ledger))
        return outcome

    def _try(self, what: str, request: Callable[[], object], outcome: Outcome) -> bool:
        """Make a request; that the server refuses it stops nothing else. Whether it did not."""
        try:
            request()
        except Exception as error:  # told apart by what it means
            outcome.refused.append(f"{what}: {self._refusal(error)}")
            return False
        return True

    def _refusal(self, error: Exception) -> str:
        """Why the server refused what it was asked; the error itself is raised where it did not."""
        found = trouble(error)
        if isinstance(error, StorageError) or not (found.kind == "refused" or found.perhaps_of_one_route):
            raise error
        if found.perhaps_of_one_route:
            patiently(self._client.get_experiment, self._experiment)  # raises where the server lets nothing in
        return found.why

    def _bring_up_to_date(self, wanted: list[Candidate]) -> None:
        """A sweep that grows may prefer others than it has logged before, and name its rows otherwise."""
        by_id = {candidate.id: candidate for candidate in wanted}
        for candidate, model in self._known.items():
            now = by_id.get(candidate)
            tags = dict(now.tags) if now else {}
            if "best" in model.tags:
                tags["best"] = "true" if now and now.best else "false"
            changed = {name: value for name, value in tags.items() if model.tags.get(name) != value}
            if changed:
                patiently(self._client.set_logged_model_tags, model.model_id, changed)

    def _lacks(self, candidate: Candidate) -> bool:
        """Whether the server does not have it, or does not say: then the attempt to log it tells why."""
        try:
            return not self._is_there(candidate)
        except Exception as error:  # told apart by what it means
            self._refusal(error)
            return True

    def _is_there(self, candidate: Candidate) -> bool:
        if candidate.is_teacher:
            return self._version(candidate) is not None
        return candidate.id in self._linked(candidate.run)

    def _deliver(self, candidate: Candidate, outcome: Outcome) -> None:
        model = self._known.get(candidate.id)
        if model is None:
            with tempfile.TemporaryDirectory(prefix=".model-", dir=self._paths.folder) as folder:
                place = Path(folder) / "model"
                why = self._saved(candidate, place)
                if why:
                    outcome.refused.append(f"{_shown(candidate)}: {why}")
                    patiently(self._client.set_tag, self._runs[candidate.run], "model", f"not logged: {why}")
                    return
                model = self._uploaded(candidate, place)
            outcome.logged += 1
        if candidate.id not in self._linked(candidate.run):
            self._link(candidate, model)
        if candidate.is_teacher:
            self._register(candidate, model)

    def _saved(self, candidate: Candidate, place: Path) -> str:
        """Write the model; why not, where that was not possible."""
        try:
            network = self._network(candidate)
        except CheckpointError as error:
            return str(error)
        try:
            save(network, self._plan.images, place, {"sweep": self._plan.name, "id": candidate.id})
        except Exception as error:  # whatever torch.export says of a graph that it cannot follow
            return first_line(error)
        return ""

    def _network(self, candidate: Candidate) -> Network:
        from trainers.config import Normalisation
        from trainers.exported import read_network
        from trainers.teacher.store import TeacherStore

        if candidate.is_teacher:
            store = TeacherStore(self._root.teachers, self._root.storage)
            given = Normalisation.model_construct(**{name: self._plan.images[name] for name in ("mean", "std")})
            return store.network(store.passport(candidate.id), given)
        height, width = self._plan.images["size"]
        path = self._paths.trial(candidate.id) / "weights.pt"
        self._root.storage.pull(path)
        return read_network(path, self._plan.images["classes"], (height, width))

    # -- logged models ----------------------------------------------------------------------------------------------

    @cached_property
    def _known(self) -> dict[str, LoggedModel]:
        """The sweep's models that are whole, by candidates' ids; halves of a broken delivery are removed, and those of
        trials that were trained again since."""
        from mlflow.entities import LoggedModelStatus

        query = f"tags.`sweep.id` = '{self._ledger.id}'"
        known: dict[str, LoggedModel] = {}
        search = partial(self._client.search_logged_models, [self._experiment], query)
        again = {event.trial for event in self._ledger.events("again")}
        for model in list(pages(lambda token: patiently(search, page_token=token))):
            former = model.tags["sweep.model"] in again and model.source_run_id not in self._runs.values()
            if model.status == LoggedModelStatus.READY and not former:
                known[model.tags["sweep.model"]] = model
            else:
                patiently(self._client.delete_logged_model, model.model_id)
        return known

    def _uploaded(self, candidate: Candidate, place: Path) -> LoggedModel:
        identity = {"sweep.id": self._ledger.id, "sweep.model": candidate.id, "sweep.name": self._plan.name}
        tags = candidate.tags | identity
        tags |= {} if candidate.is_teacher else {"best": "true" if candidate.best else "false"}
        make = partial(
            self._client.create_logged_model,
            self._experiment,
            candidate.name,
            self._runs[candidate.run],
            tags,
            candidate.params,
            "teacher" if candidate.is_teacher else "student",
        )
        made = made_once(lambda: self._begun(candidate), make)
        patiently(self._client.log_model_artifacts, made.model_id, str(place))
        return patiently(self._client.finalize_logged_model, made.model_id, "READY")

    def _begun(self, candidate: Candidate) -> LoggedModel | None:
        """The model, where the server has made it though it did not say so; all others of its kind are gone by then."""
        query = f"tags.`sweep.id` = '{self._ledger.id}' AND tags.`sweep.model` = '{candidate.id}'"
        return next(iter(self._client.search_logged_models([self._experiment], query)), None)

    def _linked(self, run: str) -> set[str]:
        """Ids of the candidates whose models a run shows."""
        outputs = patiently(self._client.get_run, self._runs[run]).outputs
        shown = {output.model_id for output in outputs.model_outputs} if outputs else set()
        return {candidate for candidate, model in self._known.items() if model.model_id in shown}

    def _link(self, candidate: Candidate, model: LoggedModel) -> None:
        """Show the model at its run, with the run's accuracies."""
        from mlflow.entities import LoggedModelOutput

        run = self._runs[candidate.run]
        if candidate.run != PARENT and not model.metrics:  # a point that is there already is an error
            for time, epoch, values in last_accuracies(self._ledger, candidate.run):
                numbers = metrics_at(values, time, epoch, model.model_id)
                made_once(lambda: self._numbers(model), partial(self._client.log_batch, run, numbers))
        self._known[candidate.id] = model
        shown = partial(self._client.log_outputs, run, [LoggedModelOutput(model.model_id, 0)])
        made_once(lambda: candidate.id in self._linked(candidate.run) or None, shown)

    def _numbers(self, model: LoggedModel) -> bool | None:
        """Whether a model has its accuracies already."""
        return bool(self._client.get_logged_model(model.model_id).metrics) or None

    # -- the registry -----------------------------------------------------------------------------------------------

    def _version(self, candidate: Candidate) -> Any:
        """The teacher's version in the registry, whichever sweep has put it there."""
        query = f"name = '{registered_name(candidate.architecture, self._plan.dataset)}'"
        search = partial(self._client.search_model_versions, query)
        versions = pages(lambda token: patiently(search, page_token=token))
        return next((version for version in versions if version.tags.get("hash") == candidate.id), None)

    def _register(self, candidate: Candidate, model: LoggedModel) -> None:
        from trainers.teacher.store import TeacherStore

        passport = TeacherStore(self._root.teachers, self._root.storage).passport(candidate.id)
        name = registered_name(passport.architecture, self._plan.dataset)
        self._make_name(name, passport)
        make = partial(
            self._client.create_model_version,
            name,
            self._source(model),
            run_id=self._runs[candidate.run],
            tags=passport_tags(passport),
            description=f"{passport.test_acc:.2f} % test accuracy; from {passport.came_from}",
            await_creation_for=0,
            model_id=model.model_id,
        )
        version = made_once(lambda: self._version(candidate), make)
        shown = json.dumps([{"name": name, "version": version.version}])
        patiently(self._client.set_logged_model_tags, model.model_id, {mlflow_internals.MODEL_VERSIONS: shown})

    def _source(self, model: LoggedModel) -> str:
        """Where a version's files lie. MLflow looks a model's id up on the server of its whole process, which for a
        database need not be this one; a server that is asked over HTTP is its own, and takes nothing else."""
        served = self._client.tracking_uri.startswith(("http:", "https:"))
        return f"models:/{model.model_id}" if served else str(model.artifact_location)

    def _make_name(self, name: str, passport: Passport) -> None:
        from mlflow.exceptions import MlflowException

        what = (
            f"Teachers: {passport.architecture} trained on {passport.dataset.name}. A version for each set of weights."
        )
        tags = {"architecture": passport.architecture, "dataset": passport.dataset.name}
        try:
            patiently(self._client.create_registered_model, name, tags, what)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _shown(candidate: Candidate) -> str:
    """A network, as the user should read it."""
    return f"{candidate.name} ({candidate.id})"
