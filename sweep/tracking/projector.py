"""Delivers a sweep's ledger to MLflow from a background thread, while the sweep runs.

The ledger comes first. A thread projects it into MLflow (:mod:`sweep.tracking.delivery`) while the sweep runs, trained
networks are logged when it has ended (:mod:`sweep.tracking.models`), and `sweep sync` delivers what is missing. A
server that is away never stops a sweep.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.text import without_password
from sweep.tracking.address import own_database, quiet_mlflow
from sweep.tracking.delivery import Delivery
from sweep.tracking.mlflow_internals import enter_wal_mode, is_half_made, make_whole
from sweep.tracking.moved import follow
from sweep.tracking.progress import delivered
from sweep.tracking.teller import sentence
from sweep.tracking.trouble import trouble
from trainers.errors import StorageError

_log = logging.getLogger(__name__)
POLL_SECONDS = 0.5
LONGEST_PAUSE = 10.0
LONGEST_GOODBYE = 60.0
"""Seconds at the end of a run; what a slow server has not taken by then, `sweep sync` delivers."""
REFRESH_SECONDS = 60.0
"""At least, between two descriptions of the parent run while a sweep goes on."""
REFRESH_SHARE = 100
"""Times what a description costs that pass before the next one."""
MOST_TIMES = 3
"""That a server may lose what it was told before the rest is left to the next delivery."""


def connect(root: Root, paths: SweepPaths, ledger: Ledger, uri: str) -> Delivery:
    """A connection to a tracking server, quietly. The database below the root is made where there is none.

    Raises:
        StorageError: when that was left half made by an earlier release, whose driver was killed.
        Exception: whatever MLflow, its store or the network raise.
    """
    quiet_mlflow()
    own = uri == own_database(root)
    try:
        if own:
            make_whole(root.mlflow_database)
            follow(root)
            enter_wal_mode(root.mlflow_database)
        return Delivery(root, paths, ledger, uri)
    except Exception as error:
        if own and is_half_made(error):
            raise StorageError(
                f"MLflow's database {root.mlflow_database} was left half made and cannot be used; move it away, and"
                " sweep sync fills a new one from the ledger, which has everything"
            ) from error
        raise


def told_all(delivery: Delivery) -> None:
    """Deliver all that a server has not, and describe it; what it is found to have lost meanwhile, once more.

    Raises:
        Exception: whatever MLflow, its store or the network raise.
    """
    for _ in range(MOST_TIMES):
        while delivery.deliver():
            continue
        if delivery.describe():
            return


class Projector(threading.Thread):
    """Delivers the ledger of one sweep to one tracking server, in the background, as it grows."""

    def __init__(self, root: Root, paths: SweepPaths, uri: str, note: Callable[[str], None]) -> None:
        super().__init__(name="mlflow-projector", daemon=True)
        self._root, self._paths, self._uri, self._note = root, paths, uri, note
        self._closing = threading.Event()
        self._delivery: Delivery | None = None
        self._pause = POLL_SECONDS
        self._warned: set[str] = set()
        """What the user was told is wrong with the server: that it is away, say."""
        self._next_description = time.monotonic() + REFRESH_SECONDS

    def run(self) -> None:
        """The thread's work: deliver what the ledger gets, until :meth:`close` asks for what is left."""
        last = False
        with closing(Ledger(self._paths.ledger, make=False)) as ledger:
            while not last:
                last = self._closing.is_set()
                try:
                    self._deliver(ledger, last=last)
                except Exception as error:  # whatever MLflow, its store or the network raise: the sweep goes on
                    self._note_trouble(error)
                if not last:
                    self._closing.wait(self._pause)
            self._note_refused()

    def _deliver(self, ledger: Ledger, *, last: bool) -> None:
        """All that the ledger has and the server has not, and now and then, and at last, the table as it stands."""
        self._delivery = self._delivery or connect(self._root, self._paths, ledger, self._uri)
        while self._delivery.deliver():
            self._pause = POLL_SECONDS
        began = time.monotonic()
        if last or began >= self._next_description:
            told_all(self._delivery)
            cost = time.monotonic() - began
            self._next_description = began + max(REFRESH_SECONDS, REFRESH_SHARE * cost)

    def _note_trouble(self, error: Exception) -> None:
        """Tell the user, once, what is wrong with the server, and try more seldom."""
        uri, found = without_password(self._uri), trouble(error)
        _log.debug("delivery to %s failed", uri, exc_info=True)
        why = f"is away ({found.why})" if found.kind == "away" and found.status is None else found.said
        if isinstance(error, StorageError):  # of ours, which says itself what is wrong, and what to do
            self._warn("broken", str(error))
        else:
            self._warn(found.kind, f"MLflow at {uri} {why}")
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _warn(self, what: str, why: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self._note(f"{why}; going on")

    def _note_refused(self) -> None:
        """Tell the user, at last, what the server refused."""
        if self._delivery is not None and self._delivery.refused:
            self._note(sentence(self._uri, self._delivery.refused))

    def close(self) -> int:
        """Deliver what is left, within :data:`LONGEST_GOODBYE`; the number of events that could not be delivered."""
        self._closing.set()
        self.join(LONGEST_GOODBYE)
        with closing(Ledger(self._paths.ledger, make=False)) as ledger:
            return ledger.count(after=delivered(ledger, self._uri))
