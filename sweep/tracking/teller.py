"""What is told to a server, request by request: tried again where it was away, set aside where it is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec

from sweep.text import without_password
from sweep.tracking.patience import patiently
from sweep.tracking.progress import Progress, Refusal
from sweep.tracking.run_content import run_tags
from sweep.tracking.runs import GoneError, Runs
from sweep.tracking.trouble import trouble
from trainers.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

Given = ParamSpec("Given")

MOST_IN_A_ROW = 100
"""Refusals after which nothing more is asked: something is wrong with the server, and not with what it is told."""
MOST_NAMED = 3
"""Refusals that are told in full."""


class Teller:
    """Tells one server of one sweep.

    What the server refuses is noted in the progress, and the rest goes on. Everything raises what MLflow, its store or
    the network raise when the server is away, GoneError where what is told of has gone, and StorageError where the
    server refuses everything.
    """

    def __init__(self, client: MlflowClient, runs: Runs, progress: Progress, refused: list[Refusal]) -> None:
        """`refused`: is added to."""
        self._client, self._runs, self._progress, self._refused = client, runs, progress, refused
        self._trial: str | None = None
        self._seq = 0
        self._in_a_row = 0

    def begin(self, trial: str | None, seq: int) -> None:
        """Begin to tell an event of the sweep, or a trial's events up to one."""
        self._trial, self._seq = trial, seq

    def ask(
        self, key: str, what: str, request: Callable[Given, object], *given: Given.args, **named: Given.kwargs
    ) -> bool:
        """Make a request that may be repeated.

        Args:
            key: of the run that it is about; where that is gone, it is no refusal.
            what: is told, as the user should read it.
            request: of MLflow's client, with what it is given.

        Returns:
            Whether it was taken.
        """
        return self.make(key, what, partial(patiently, request, *given, **named))

    def make(self, key: str, what: str, request: Callable[[], object]) -> bool:
        """The same for what repeats itself."""
        return self._taken(what, self._refusal(key, request))

    def guard(self, key: str, what: str, telling: Callable[[], object]) -> bool:
        """Several requests, where not one but the telling itself may fail: what cannot be told is set aside too."""
        return self._taken(what, self._why_not(key, telling))

    def log(
        self, key: str, whose: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        """Numbers, parameters and tags of a run, in this order: all that the server takes of them.

        Where it refuses some, they are halved until it is clear which.
        """
        todo: list[list[Any]] = [[*params, *metrics, *tags]]
        while todo:
            some = todo.pop()
            why = self._refusal(key, partial(self._log, key, some)) if some else ""
            if why and len(some) == 1:
                self._taken(f"{_kind(some[0])} '{some[0].key}' of {whose}", why)
            elif why:
                middle = len(some) // 2
                todo += [some[middle:], some[:middle]]

    def tag(self, key: str, whose: str, tags: dict[str, str]) -> None:
        """Tags of a run, however long."""
        self.log(key, whose, tags=run_tags(tags))

    def delete(self, key: str) -> None:
        """The run of a trial that was asked for again: it gets a new one. Where the server deletes none, it goes on."""
        try:
            deleted = self.ask(key, f"that {key} is trained again", self._client.delete_run, self._runs.ids[key])
        except GoneError as gone:
            if gone.key != key:
                raise
            deleted = True
        if deleted:
            self._runs.forget(key)

    def _log(self, key: str, some: list[Any]) -> None:
        of = {kind: [one for one in some if _kind(one) == kind] for kind in ("metric", "parameter", "tag")}
        patiently(self._client.log_batch, self._runs.ids[key], of["metric"], of["parameter"], of["tag"])

    def _refusal(self, key: str, request: Callable[[], object]) -> str:
        """Why a request was refused; empty where it was not."""
        why = self._why_not(key, request)
        self._in_a_row = self._in_a_row + 1 if why else 0
        if self._in_a_row > MOST_IN_A_ROW:
            raise self._hopeless(why)
        return why

    def _why_not(self, key: str, request: Callable[[], object]) -> str:
        try:
            request()
        except (GoneError, StorageError):
            raise
        except Exception as error:  # told apart by what it means
            found = trouble(error)
            if found.kind != "refused" and not found.at_fault and not found.perhaps_of_one_route:
                raise
            self._runs.check(key)  # which raises where the server lets nothing in
            return found.why
        return ""

    def _taken(self, what: str, why: str) -> bool:
        """Whether there is no reason why not; where there is, it is set aside."""
        if why:
            refusal = Refusal(what, why, self._trial, self._seq)
            if self._progress.refuse(refusal):
                self._refused.append(refusal)
        return not why

    def _hopeless(self, why: str) -> StorageError:
        who = f"MLflow at {without_password(self._client.tracking_uri)}"
        return StorageError(f"{who} refuses one thing after the other, the last with: {why}")


def sentence(uri: str, refused: Sequence[Refusal]) -> str:
    """What a server refused, for the user."""
    named = "; ".join(f"{one.what} ({one.why})" for one in refused[:MOST_NAMED])
    more = f"; and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
    who = f"MLflow at {without_password(uri)}"
    return f"{who} refused {len(refused)} of what it was told; the ledger has it, and all else is there: {named}{more}"


def _kind(entity: Any) -> str:
    """Of MLflow's: a number, a parameter or a tag of a run."""
    return {"Metric": "metric", "Param": "parameter", "RunTag": "tag"}[type(entity).__name__]
