"""Tracks a sweep in MLflow: where, and when it is told.

The ledger comes first. A thread projects it into MLflow (:mod:`sweep.delivery`) while the sweep runs, trained networks
are logged when it has ended (:mod:`sweep.logged_models`), and `sweep sync` delivers what is missing. A server that is
away never stops a sweep.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

from sweep import logged_models
from sweep.delivery import Delivery
from sweep.delivery import delivered as delivered
from sweep.events import first_line
from sweep.layout import DEFAULT_ROOT, Root, SweepPaths
from sweep.ledger import Ledger
from sweep.logged_models import ModelDelivery, Outcome
from trainers.errors import InputError, StorageError

SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
POLL_SECONDS = 0.5
LONGEST_PAUSE = 10.0
LONGEST_GOODBYE = 60.0
"""Seconds at the end of a run; what a slow server has not taken by then, `sweep sync` delivers."""
ENDED = (0, 1)
"""Exit codes of a run that was not broken off."""
REFRESH_SECONDS = 60.0
"""At least, between two descriptions of the parent run while a sweep goes on."""
REFRESH_SHARE = 100
"""Times what a description costs that pass before the next one."""

_log = logging.getLogger(__name__)


def tracking_uri(root: Root, given: str | None) -> str:
    """Where runs are tracked: `given`, else ``MLFLOW_TRACKING_URI``, else a database below the root.

    Raises:
        InputError: for an address that is none of MLflow's.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or _own(root)
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
    return f"{start} {verb}{place}" + ("" if uri == _own(root) else f" --tracking-uri {without_password(uri)}")


def _own(root: Root) -> str:
    """The address of the database below a root."""
    return f"sqlite:///{root.mlflow_database.absolute()}"


def quiet_mlflow() -> None:
    """Set before MLflow is imported: nothing phones home, and a dead server is noticed within seconds."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)


def connect(root: Root, paths: SweepPaths, ledger: Ledger, uri: str) -> Delivery:
    """A connection to a tracking server, quietly."""
    quiet_mlflow()
    if uri == _own(root):
        _enter_wal_mode(root.mlflow_database)
    return Delivery(root, paths, ledger, uri)


def _enter_wal_mode(database: Path) -> None:
    """Have writing to a database cost less, and not wait for who reads it. It is remembered in the file."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(database)) as db:  # MLflow will say what is wrong
        db.execute("PRAGMA journal_mode=WAL")


class Projector(threading.Thread):
    """Delivers the ledger of one sweep to one tracking server, in the background, as it grows."""

    def __init__(self, root: Root, paths: SweepPaths, uri: str, note: Callable[[str], None]) -> None:
        super().__init__(name="mlflow-projector", daemon=True)
        self._root, self._paths, self._uri, self._note = root, paths, uri, note
        self._closing = threading.Event()
        self._next_description = time.monotonic() + REFRESH_SECONDS

    def run(self) -> None:
        pause, told = POLL_SECONDS, False
        with closing(Ledger(self._paths.ledger)) as ledger:
            delivery: Delivery | None = None
            while True:
                closing_now = self._closing.is_set()
                try:
                    delivery = delivery or connect(self._root, self._paths, ledger, self._uri)
                    while delivery.deliver():
                        pause = POLL_SECONDS
                    self._describe(delivery, last=closing_now)
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

    def _describe(self, delivery: Delivery, *, last: bool) -> None:
        """Now and then, and at last, the table as it stands."""
        began = time.monotonic()
        if last or began >= self._next_description:
            delivery.describe()
            cost = time.monotonic() - began
            self._next_description = began + max(REFRESH_SECONDS, REFRESH_SHARE * cost)

    def close(self) -> int:
        """Deliver what is left, within :data:`LONGEST_GOODBYE`; the number of events that could not be delivered."""
        self._closing.set()
        self.join(LONGEST_GOODBYE)
        with closing(Ledger(self._paths.ledger)) as ledger:
            return ledger.count(after=delivered(ledger, self._uri))


def told_everything(ledger: Ledger, uri: str) -> bool:
    """Whether a server has been told every event, and given every model."""
    return delivered(ledger, uri) == ledger.last_seq() and not logged_models.outstanding(ledger, uri)


def sync(root: Root, name: str, uri: str) -> int:
    """Deliver all that a server has not been told of a sweep; the number of events delivered.

    Raises:
        StorageError: when the server does not take them; what it took is remembered.
    """
    paths = root.sweep(name)
    with closing(Ledger(paths.ledger)) as ledger:
        try:
            delivery = connect(root, paths, ledger, uri)
            pending = ledger.count(after=delivered(ledger, uri))
            while delivery.deliver():
                continue
            delivery.describe()
        except Exception as error:  # whatever MLflow, its store or the network raise
            raise _away(uri, error) from error
        return pending


def log_models(root: Root, name: str, uri: str, tell: Callable[[str], None]) -> Outcome:
    """Log the networks that a sweep wants logged and a server has not, after all events.

    Args:
        root: below which the sweep lies.
        name: of the sweep.
        uri: of the server.
        tell: hears how many there are, before they are logged.

    Raises:
        StorageError: when the server does not take them; what it took is not logged again.
    """
    paths = root.sweep(name)
    with closing(Ledger(paths.ledger)) as ledger:
        if not _ended(ledger) or not logged_models.candidates(ledger):
            return Outcome()
        try:
            delivery = connect(root, paths, ledger, uri)
            models = ModelDelivery(paths, ledger, delivery.client, delivery.experiment, delivery.runs)
            return models.deliver(uri, tell)
        except StorageError:  # of what is to be logged
            raise
        except Exception as error:  # whatever MLflow, its store or the network raise
            raise _away(uri, error) from error


def _ended(ledger: Ledger) -> bool:
    """Whether the last run of a sweep came to its end; what it prefers before may change."""
    stop, started = ledger.latest("stop"), ledger.latest("sweep")
    return stop is not None and started is not None and stop.seq > started.seq and stop.body["exit_code"] in ENDED


def _away(uri: str, error: Exception) -> StorageError:
    why = first_line(error, without_password)
    return StorageError(f"MLflow at {without_password(uri)} does not answer ({why}); try again later")
