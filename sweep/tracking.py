"""Projects the ledger into MLflow: one parent run per sweep, one nested run per trial.

Delivery is idempotent: a run is found again by its tags `sweep.id` and `sweep.key`, metrics carry the ledger's own
timestamps (MLflow stores equal ones once), and the ledger remembers how far each server has been told. So it can be
broken off anywhere and repeated (`sweep sync`). A server that is away never stops a sweep.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sweep.events import first_line
from sweep.layout import DEFAULT_ROOT, Root, SweepPaths
from sweep.ledger import Event, Ledger
from trainers.content import content_key
from trainers.errors import InputError, StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
PARENT = "sweep"
"""The parent run's `sweep.key`."""
CHOSEN = "chosen."
"""How the parent run's tags begin that tell what each search has won; the cell's id follows."""
BATCH = 500
"""Events per delivery."""
METRICS_PER_REQUEST = 1000
POLL_SECONDS = 0.5
LONGEST_PAUSE = 10.0
LONGEST_GOODBYE = 60.0
"""Seconds at the end of a run; what a slow server has not taken by then, `sweep sync` delivers."""
EPOCH_METRICS = ("loss", "lr", "train_acc", "train_acc5", "val_acc", "val_acc5", "test_acc", "test_acc5")
STATUS = {"finished": "FINISHED", "diverged": "FAILED"}
STOP_STATUS = {0: "FINISHED", 1: "FINISHED", 130: "KILLED"}
"""The parent run's status by the driver's exit code; any other is FAILED."""

_log = logging.getLogger(__name__)


def tracking_uri(root: Root, given: str | None) -> str:
    """Where runs are tracked: `given`, else ``MLFLOW_TRACKING_URI``, else a database below the root.

    Raises:
        InputError: for an address that is none of MLflow's.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.mlflow_database.absolute()}"
    try:
        scheme = urlsplit(uri).scheme.split("+")[0]
    except ValueError:
        scheme = ""
    if scheme not in SCHEMES:
        raise InputError(
            f"tracking URI '{without_password(uri)}' is not an address that MLflow reads;"
            " give http://host:port of a server, or sqlite:///path/to/mlflow.db"
        )
    return uri


def without_password(uri: str) -> str:
    """A tracking URI (or a text that holds one) fit to be shown."""
    text = re.sub(r"(://)(?!/)\S*@", r"\1***@", uri)
    return re.sub(r"(?i)([?&]\w*(?:password|token|secret)\w*=)[^&\s]*", r"\1***", text)


def command(verb: str, root: Root, uri: str) -> str:
    """A `sweep` command as the user would type it for this root and tracking server."""
    start = "uv run sweep" if "UV" in os.environ else "sweep"
    place = f" --root {root.path}" if root.path != DEFAULT_ROOT else ""
    local = uri == f"sqlite:///{root.mlflow_database.absolute()}"
    return f"{start} {verb}{place}" + ("" if local else f" --tracking-uri {without_password(uri)}")


def quiet_mlflow() -> None:
    """Set before MLflow is imported: nothing phones home, and a dead server is noticed within seconds."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)


class Projector(threading.Thread):
    """Delivers the ledger of one sweep to one tracking server, in the background, as it grows."""

    def __init__(self, root: Root, paths: SweepPaths, uri: str, note: Callable[[str], None]) -> None:
        super().__init__(name="mlflow-projector", daemon=True)
        self._root, self._paths, self._uri, self._note = root, paths, uri, note
        self._closing = threading.Event()

    def run(self) -> None:
        pause, told = POLL_SECONDS, False
        with closing(Ledger(self._paths.ledger)) as ledger:
            delivery: Delivery | None = None
            while True:
                closing_now = self._closing.is_set()
                try:
                    delivery = delivery or Delivery(self._root, self._paths, ledger, self._uri)
                    while delivery.deliver():
                        pause = POLL_SECONDS
                    if closing_now:
                        break
                except Exception as error:  # whatever MLflow, its store or the network raise: the sweep goes on
                    _log.debug("delivery to %s failed", without_password(self._uri), exc_info=True)
                    if not told:
                        told = True
                        why = first_line(error, without_password)
                        self._note(f"MLflow at {without_password(self._uri)} is away ({why}); going on")
                    if closing_now:
                        break
                    pause = min(pause * 2, LONGEST_PAUSE)
                self._closing.wait(pause)

    def close(self) -> int:
        """Deliver what is left, within :data:`LONGEST_GOODBYE`; the number of events that could not be delivered."""
        self._closing.set()
        self.join(LONGEST_GOODBYE)
        with closing(Ledger(self._paths.ledger)) as ledger:
            return ledger.count(after=delivered(ledger, self._uri))


def delivered(ledger: Ledger, uri: str) -> int:
    """`seq` of the last event that a server has been told."""
    return int(ledger.fact(_fact(uri)) or 0)


def _fact(uri: str) -> str:
    return f"delivered:{content_key(uri)}"


class Delivery:
    """One connection to a tracking server; see the module's docstring for what makes it repeatable."""

    def __init__(self, root: Root, paths: SweepPaths, ledger: Ledger, uri: str) -> None:
        quiet_mlflow()
        from mlflow import MlflowClient

        self._ledger, self._paths, self._uri = ledger, paths, uri
        self._client: MlflowClient = MlflowClient(tracking_uri=uri)
        self._sweep = paths.folder.name
        self._experiment = self._find_experiment(root)
        self._runs = self._known_runs()
        if PARENT not in self._runs:  # a new server, or one that lost its data: it is told everything
            ledger.set_fact(_fact(uri), "0")

    def deliver(self) -> bool:
        """Deliver the next events; False when there is none left."""
        events = list(self._ledger.events(after=delivered(self._ledger, self._uri), limit=BATCH))
        for trial, of_one in groupby(events, key=lambda event: event.trial):
            if trial is None:
                for event in of_one:
                    self._parent_event(event)
            else:
                self._trial_events(trial, list(of_one))
        if events:
            self._ledger.set_fact(_fact(self._uri), str(events[-1].seq))
        return bool(events)

    # -- runs -------------------------------------------------------------------------------------------------------

    def _find_experiment(self, root: Root) -> str:
        found = self._client.get_experiment_by_name(self._sweep)
        if found is not None:
            return str(found.experiment_id)
        local = urlsplit(self._uri).scheme == "sqlite"
        place = (root.artifacts / self._sweep).absolute().as_uri() if local else None
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI then opens on runs, not on GenAI traces
        return str(self._client.create_experiment(self._sweep, artifact_location=place, tags=tags))

    def _known_runs(self) -> dict[str, str]:
        """Run ids of this sweep by `sweep.key`."""
        known: dict[str, str] = {}
        token = None
        while True:
            query = f"tags.`sweep.id` = '{self._ledger.id}'"
            page = self._client.search_runs([self._experiment], query, max_results=1000, page_token=token)
            known |= {run.data.tags["sweep.key"]: run.info.run_id for run in page}
            token = page.token
            if not token:
                return known

    def _run(self, key: str, name: str, time: float, tags: dict[str, str]) -> str:
        """The run of a trial (or the parent), made when there is none."""
        if key not in self._runs:
            identity = {"sweep.id": self._ledger.id, "sweep.key": key, "sweep.name": self._sweep}
            run = self._client.create_run(self._experiment, _ms(time), tags | identity, name)
            self._runs[key] = run.info.run_id
        return self._runs[key]

    # -- the parent run ---------------------------------------------------------------------------------------------

    def _parent_event(self, event: Event) -> None:
        run = self._run(PARENT, self._sweep, event.time, {"stage": "sweep"})
        if event.kind == "sweep":
            self._client.update_run(run, status="RUNNING")
            self._client.log_text(run, event.body["spec"], "spec.yaml")
        elif event.kind == "plan":
            facts = ("dataset", "protocol", "baseline")
            self._client.log_batch(run, tags=_tags({name: event.body[name] for name in facts}))
            self._client.log_inputs(run, [_dataset_input(_planned_config(event.body)["dataset"])])
        elif event.kind == "chosen":
            self._client.set_tag(run, CHOSEN + event.body["cell"], json.dumps(self._won(event.body)))
        elif event.kind == "report":
            self._report(run, event.body)
        elif event.kind == "stop":
            self._client.set_terminated(run, STOP_STATUS.get(event.body["exit_code"], "FAILED"), _ms(event.time))

    def _won(self, body: dict[str, Any]) -> dict[str, Any]:
        """The cell of a search that has come to its end, how its trials ended, and the keys of those that won."""
        asked = [event for event in self._ledger.events("ask") if event.body["cell"] == body["cell"]]
        keys = {event.body["number"]: event.trial for event in asked}
        plan = self._ledger.latest("plan")
        cells = [cell for cell in plan.body["cells"] if cell["id"] == body["cell"]] if plan else []
        won = [
            one | {"key": keys[one["number"]], "label": slot["label"]}
            for one, slot in zip(body["chosen"], body["slots"], strict=False)  # the first seed's slots come first
        ]
        return {"cell": cells[0] | {"config": {}}, "states": body["states"], "chosen": won}

    def _report(self, run: str, body: dict[str, Any]) -> None:
        """Leaderboard as table artifact and description, the figure, and the page."""
        self._client.log_text(run, body["markdown"], "leaderboard.md")
        records = body["records"]
        columns = list(records[0]) if records else []
        table = {"columns": columns, "data": [[record[column] for column in columns] for record in records]}
        self._client.log_text(run, json.dumps(table, ensure_ascii=False), "leaderboard.json")
        notes = {
            "mlflow.note.content": body["markdown"],
            "mlflow.loggedArtifacts": json.dumps([{"path": "leaderboard.json", "type": "table"}]),
        }
        self._client.log_batch(run, tags=_tags(notes))
        for name in (body["figure"], body.get("page", {}).get("file")):
            if name and (self._paths.folder / name).exists():
                self._client.log_artifact(run, str(self._paths.folder / name))

    # -- nested runs ------------------------------------------------------------------------------------------------

    def _trial_events(self, key: str, events: list[Event]) -> None:
        """Consecutive events of one trial, its metrics in few requests."""
        if next(self._ledger.events("start", trial=key, limit=1), None) is None:
            return  # it never started: there is no run to tell
        for is_epoch, some in groupby(events, key=lambda event: event.kind == "epoch"):
            if is_epoch:
                self._epochs(self._run_of(key), list(some))
            else:
                for event in some:
                    self._trial_event(key, event)

    def _trial_event(self, key: str, event: Event) -> None:
        if event.kind == "start":
            self._start(key, event)
        elif event.kind == "final":
            tags = {"state": event.body["state"], "reason": event.body.get("reason", "")}
            self._client.log_batch(self._run_of(key), self._summary(event), tags=_tags(tags))
            self._client.set_terminated(self._run_of(key), STATUS[event.body["state"]], _ms(event.time))
        elif event.kind == "pruned":
            self._client.log_batch(self._run_of(key), self._summary(event), tags=_tags({"state": "pruned"}))
            self._client.set_terminated(self._run_of(key), "KILLED", _ms(event.time))
        elif event.kind == "failed":
            state = event.body.get("state", "failed")
            tags = {"state": state, "reason": event.body["reason"], "log": event.body["log"]}
            self._client.log_batch(self._run_of(key), tags=_tags(tags))
            self._client.set_terminated(self._run_of(key), "FAILED", _ms(event.time))
        elif event.kind == "interrupted":
            self._client.log_batch(self._run_of(key), tags=_tags({"state": "interrupted"}))
            self._client.set_terminated(self._run_of(key), "KILLED", _ms(event.time))

    def _run_of(self, key: str) -> str:
        """A started trial's run; made anew where somebody deleted it."""
        if key not in self._runs:
            for start in self._ledger.events("start", trial=key):
                self._start(key, start)
        return self._runs[key]

    def _start(self, key: str, event: Event) -> None:
        from mlflow.entities import Param

        body = event.body
        parent = self._run(PARENT, self._sweep, event.time, {"stage": "sweep"})
        teacher, _, student = body["pair"].partition("→")
        tags = {
            "mlflow.parentRunId": parent,
            **{name: body[name] for name in ("stage", "pair", "method", "label", "recipe")},
            "seed": str(body["seed"]),
            "teacher": teacher,
            "student": student or teacher,
        }
        run = self._run(key, body["name"], event.time, tags)
        self._client.update_run(run, status="RUNNING", name=body["name"])
        self._client.log_batch(run, tags=_tags({**tags, "state": "running"}))
        params = [Param(name, str(value)) for name, value in parameters(body["config"]).items()]
        self._client.log_batch(run, params=params)
        self._client.log_inputs(run, [_dataset_input(body["config"]["dataset"])])

    def _epochs(self, run: str, events: list[Event]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, _ms(event.time), event.epoch or 0)
            for event in events
            for name, value in epoch_metrics(event.body).items()
        ]
        for start in range(0, len(metrics), METRICS_PER_REQUEST):
            self._client.log_batch(run, metrics[start : start + METRICS_PER_REQUEST])

    @staticmethod
    def _summary(event: Event) -> list[Any]:
        """Numbers of a whole trial, for the columns of the runs table."""
        from mlflow.entities import Metric

        if "best" not in event.body:
            return []
        best = event.body["best"]
        values = {
            "best_epoch": best["epoch"],
            "best_test_acc": best["test_acc"],
            "train_seconds": event.body["seconds"],
        }
        return [Metric(name, float(value), _ms(event.time), event.body["epochs"]) for name, value in values.items()]


def _planned_config(plan: dict[str, Any]) -> dict[str, Any]:
    """The config of some trial of a plan."""
    config: dict[str, Any] = (plan["slots"] or plan["cells"])[0]["config"]
    return config


def epoch_metrics(result: dict[str, Any]) -> dict[str, float]:
    """An epoch's result as MLflow metrics; loss terms are named ``term/<name>``, diagnostics ``diagnostics/<name>``."""
    metrics = {name: result[name] for name in (*EPOCH_METRICS, "images_per_second") if result[name] is not None}
    terms = {f"term/{name}": value for name, value in result["terms"].items()}
    measured = {f"diagnostics/{name}": value for name, value in result.get("diagnostics", {}).items()}
    return metrics | terms | measured


def parameters(config: dict[str, Any]) -> dict[str, Any]:
    """A trial's config as flat MLflow params: the method's hyperparameters by their own names."""
    teacher = config["teacher"] or {"architecture": "none", "hash": "none"}
    return {
        "dataset": config["dataset"]["name"],
        "model": config["model"],
        "teacher": teacher["architecture"],
        "teacher_hash": teacher["hash"],
        "method": config["method"]["name"],
        "seed": config["seed"],
        **config["method"]["params"],
        **{f"recipe.{name}": value for name, value in config["recipe"].items()},
    }


def _dataset_input(dataset: dict[str, Any]) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps(dataset["options"], sort_keys=True)
    entity = Dataset(name=dataset["name"], digest=dataset["content"], source_type="local", source=source)
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training")])


def _tags(values: dict[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in values.items()]


def _ms(time: float) -> int:
    return int(time * 1000)


def sync(root: Root, name: str, uri: str) -> int:
    """Deliver all that a server has not been told of a sweep; the number of events delivered.

    Raises:
        StorageError: when the server does not take them; what it took is remembered.
    """
    paths = root.sweep(name)
    with closing(Ledger(paths.ledger)) as ledger:
        try:
            delivery = Delivery(root, paths, ledger, uri)
            pending = ledger.count(after=delivered(ledger, uri))
            while delivery.deliver():
                continue
        except Exception as error:  # whatever MLflow, its store or the network raise
            why = first_line(error, without_password)
            raise StorageError(f"MLflow at {without_password(uri)} does not answer ({why}); try again later") from error
        return pending
