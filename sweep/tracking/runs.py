"""The experiment of a sweep and its runs, as one server has them: found by the ledger's names, made where they are not.

A run is that of a trial (or of the sweep itself) by its tags `sweep.id` and `sweep.key`. A server may have made one
whose answer was lost, may have lost one, or hold one that somebody deleted; here all of that ends in one run for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sweep.text import without_password
from sweep.tracking import mlflow_internals
from sweep.tracking.long_values import joined
from sweep.tracking.paging import pages
from sweep.tracking.patience import made_once, patiently
from sweep.tracking.progress import told_of
from sweep.tracking.run_content import PARENT, may_change, milliseconds
from sweep.tracking.trouble import trouble
from trainers.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

Found = TypeVar("Found")

RUNS_PER_REQUEST = 200
"""A server has a few seconds for each."""
TOLD = "sweep.told"
"""The tag that says up to which of the ledger's events: of the parent, the server has been told everything; of another
run, that has been told all of its trial. Runs that an earlier release has made lack it."""
IDENTITY = ("sweep.id", "sweep.key", "sweep.name")


class GoneError(Exception):
    """A run was deleted, or the server lost it, or its whole experiment."""

    def __init__(self, key: str | None) -> None:
        super().__init__(f"the run of {key} is gone" if key else "the experiment is gone")
        self.key = key
        """Whose run; None of the experiment."""


@dataclass
class Shown:
    """What a run says of its trial that may change with the sweep's plan while the trial stays the same: its place in
    the sweep, its best epoch, and the numbers of its charts."""

    name: str
    tags: dict[str, str]
    best: dict[str, float] = field(default_factory=dict)
    """The metrics that :func:`~sweep.tracking.run_content.may_change` means, as far as it has them."""


class Runs:
    """The experiment and the runs of one sweep on one server.

    Args:
        client: of the server.
        sweep: the ledger's id.
        name: of the sweep, and of its experiment.
        place: where the experiment's artifacts go; None where the server decides.

    Raises:
        StorageError: when the experiment was deleted, here and in :meth:`check`.
        Exception: whatever MLflow, its store or the network raise, here and everywhere.
    """

    def __init__(self, client: MlflowClient, sweep: str, name: str, place: str | None) -> None:
        self._client, self._sweep, self._name = client, sweep, name
        self.experiment = self._find_experiment(place)
        """Its id."""
        self.ids: dict[str, str] = {}
        """Ids of the runs by `sweep.key`."""
        self.shown: dict[str, Shown] = {}
        """What the runs show, by `sweep.key`."""
        self.doubled: set[str] = set()
        """Keys that had several runs, of which one is left: it may lack what another was told."""
        self._told: dict[str, int] = {}
        """How far the runs say that they were told, by `sweep.key`; 0 where one was told its end by half."""
        self._doubtful: set[str] = set()
        """Keys whose run the server may have made though it did not say so."""
        self.mark = ""
        """What the parent says of how far the server was told; empty where there is none, or of an earlier release."""
        self._look()

    def make(self, key: str, name: str, time: float, tags: dict[str, str]) -> None:
        """The run of a trial (or the parent), where there is none."""
        if key in self.ids:
            return
        identity = dict(zip(IDENTITY, (self._sweep, key, self._name), strict=True))
        begun, whole, short = milliseconds(time), tags | identity, mlflow_internals.run_name(name)
        make = partial(self._client.create_run, self.experiment, begun, whole, short)
        there = self._find(key) if key in self._doubtful else None
        self._doubtful.add(key)
        self._know(there or made_once(lambda: self._find(key), make))
        self._doubtful.discard(key)

    def forget(self, key: str) -> None:
        """A run is gone."""
        self.ids.pop(key, None)
        self.shown.pop(key, None)

    def check(self, key: str | None) -> None:
        """Whether a run is still there, and the experiment, after something was refused.

        Raises:
            GoneError: when one of them is not.
        """
        experiment = self._still(None, lambda: self._client.get_experiment(self.experiment))
        self._refuse_deleted(experiment)
        if key is not None and key in self.ids:
            run = self._still(key, lambda: self._client.get_run(self.ids[key]))
            if run.info.lifecycle_stage == mlflow_internals.DELETED:
                raise GoneError(key)

    def lost(self, started: Iterable[str]) -> set[str]:
        """Those trials whose runs the server has lost; not those whose runs somebody has deleted."""
        missing = set(started) - self.ids.keys()
        return missing - {run.data.tags["sweep.key"] for run in self._listed(deleted=True)} if missing else missing

    def lacks(self, key: str, seq: int) -> bool:
        """Whether there is a run that was told less of its trial than up to an event, by what it says itself."""
        return key in self.ids and self._told.get(key, seq) < seq

    def experiment_tags(self) -> dict[str, str]:
        """Of the experiment, at this moment."""
        experiment = self._still(None, lambda: self._client.get_experiment(self.experiment))
        return dict(experiment.tags)

    def mark_now(self) -> str:
        """What the parent says at this moment of how far the server was told."""
        run = self._still(PARENT, lambda: self._client.get_run(self.ids[PARENT]))
        return str(run.data.tags.get(TOLD, ""))

    # -- what is there --------------------------------------------------------------------------------------------

    def _find_experiment(self, place: str | None) -> str:
        # the UI then opens on runs, not on GenAI traces
        tags = {mlflow_internals.EXPERIMENT_KIND: "custom_model_development"}
        known = patiently(self._client.get_experiment_by_name, self._name)
        if known is None:
            make = partial(self._client.create_experiment, self._name, artifact_location=place, tags=tags)
            return made_once(self._named, lambda: str(make()))
        self._refuse_deleted(known)
        if not known.experiment_id:  # an object of JSON, but none of MLflow's
            where = without_password(self._client.tracking_uri)
            raise StorageError(f"MLflow at {where} answers, but not as MLflow does: is it another service?")
        return str(known.experiment_id)

    def _named(self) -> str | None:
        found = self._client.get_experiment_by_name(self._name)
        return None if found is None else str(found.experiment_id)

    def _refuse_deleted(self, experiment: Experiment) -> None:
        if experiment.lifecycle_stage == mlflow_internals.DELETED:
            where, number = without_password(self._client.tracking_uri), experiment.experiment_id
            raise StorageError(
                f"the experiment '{self._name}' was deleted in MLflow at {where}; restore it (mlflow experiments"
                f" restore -x {number}) or delete it for good (mlflow gc --experiment-ids {number}), and sweep sync"
                f" {self._name} delivers what it lacks"
            )

    def _look(self) -> None:
        """Learn what is there; where a key has several runs, leave the fullest."""
        by_key: dict[str, list[Run]] = {}
        for run in self._listed():
            by_key.setdefault(run.data.tags["sweep.key"], []).append(run)
        for key, some in by_key.items():
            self._know(self._only(key, some))

    def _only(self, key: str, some: list[Run]) -> Run:
        """The one of several runs of a key that was told most; the others are deleted."""
        best, *others = sorted(some, key=_fullness, reverse=True)
        for run in others:
            self.doubled.add(key)
            patiently(self._client.delete_run, run.info.run_id)
        return best

    def _find(self, key: str) -> Run | None:
        """The run of a key, asked for anew."""
        some = list(self._listed(f" AND tags.`sweep.key` = '{key}'"))
        return self._only(key, some) if some else None

    def _listed(self, more: str = "", *, deleted: bool = False) -> Iterable[Run]:
        from mlflow.entities import ViewType

        query = f"tags.`sweep.id` = '{self._sweep}'{more}"
        which = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        search = partial(self._client.search_runs, [self.experiment], query, which, RUNS_PER_REQUEST)
        return pages(lambda token: patiently(search, page_token=token))

    def _know(self, run: Run) -> None:
        key = run.data.tags["sweep.key"]
        self.ids[key] = run.info.run_id
        if key == PARENT:
            self.mark = run.data.tags.get(TOLD, "")
        elif TOLD in run.data.tags:
            ended = run.info.status == "RUNNING" and run.data.tags.get("state", "running") != "running"
            self._told[key] = 0 if ended else told_of(run.data.tags[TOLD])
        own = {name: value for name, value in run.data.tags.items() if not name.startswith(("mlflow.", "sweep."))}
        best = {name: value for name, value in run.data.metrics.items() if may_change(name)}
        self.shown[key] = Shown(run.info.run_name, joined(own), best)

    def _still(self, key: str | None, look: Callable[[], Found]) -> Found:
        """What is looked for, which was there."""
        try:
            return patiently(look)
        except Exception as error:
            if trouble(error).kind == "refused":
                raise GoneError(key) from error
            raise


def _fullness(run: Run) -> tuple[bool, int, str]:
    """How much a run was told: whether it has ended, and how much it holds."""
    data = run.data
    return run.info.status != "RUNNING", len(data.metrics) + len(data.params) + len(data.tags), run.info.run_id
