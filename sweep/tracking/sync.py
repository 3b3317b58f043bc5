"""Delivers to a tracking server all that it has not been told of a sweep: events, then models."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sweep.exit_codes import CAME_TO_ITS_END
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.code import at_hand
from sweep.tracking import candidates
from sweep.tracking.models import ModelDelivery, Outcome
from sweep.tracking.progress import delivered
from sweep.tracking.projector import connect, told_all
from sweep.tracking.teller import sentence
from sweep.tracking.trouble import stopped
from trainers.code import unload
from trainers.errors import InputError


def told_everything(ledger: Ledger, uri: str) -> bool:
    """Whether a server has been told every event, and given every model."""
    return delivered(ledger, uri) == ledger.last_seq() and not candidates.outstanding(ledger, uri)


def sync(root: Root, name: str, uri: str, tell: Callable[[str], None] = lambda _: None) -> int:
    """Deliver all that a server has not been told of a sweep; the number of events delivered.

    Args:
        root: below which the sweep lies.
        name: of the sweep.
        uri: of the server.
        tell: hears what the server refused, which is set aside and tried again by the next call.

    Raises:
        StorageError: when the server does not answer, or lets nothing in; what it took is remembered.
    """
    paths = root.sweep(name)
    with closing(Ledger(paths.ledger)) as ledger:
        try:
            delivery = connect(root, paths, ledger, uri)
            pending = ledger.count(after=delivered(ledger, uri))
            told_all(delivery)
        except Exception as error:  # whatever MLflow, its store or the network raise
            raise stopped(uri, error) from error
        if delivery.refused:
            tell(sentence(uri, delivery.refused))
        return pending


def log_models(root: Root, name: str, uri: str, tell: Callable[[str], None]) -> Outcome:
    """Log the networks that a sweep wants logged and a server has not, after all events.

    Where the sweep's own code is missing, damaged or cannot be imported here, those networks are refused that need it.

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
        if not _ended(ledger) or not candidates.candidates(ledger):
            return Outcome()
        lacking = _load_own(ledger, root)
        try:
            delivery = connect(root, paths, ledger, uri)
            models = ModelDelivery(paths, ledger, delivery.client, delivery.experiment, delivery.runs)
            outcome = models.deliver(uri, tell)
        except Exception as error:  # whatever MLflow, its store or the network raise
            raise stopped(uri, error) from error
    if lacking and outcome.refused:
        outcome.refused.append(lacking)
    return outcome


def _load_own(ledger: Ledger, root: Root) -> str:
    """Load the sweep's own code, where it has any; why that cannot be had, empty where it can."""
    plan = ledger.latest("plan")
    try:
        at_hand(plan.body.get("code", "") if plan is not None else "", root)
    except InputError as error:
        unload()  # another sweep's code may define other networks of these names
        return str(error)
    return ""


def _ended(ledger: Ledger) -> bool:
    """Whether the last run of a sweep came to its end; what it prefers before may change."""
    stop, started = ledger.latest("stop"), ledger.latest("sweep")
    return (
        stop is not None
        and started is not None
        and stop.seq > started.seq
        and stop.body["exit_code"] in CAME_TO_ITS_END
    )
