"""The Ray Tune searcher that feeds the plan, the scheduler that asks each cell's pruner, and the stopper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue

MOST_AT_ONCE = 10_000
"""Trials, as far as Ray is concerned; how many there are the searcher decides."""


class PlanSearcher(Searcher):
    """Hands Ray the queue's jobs as trial configs.

    What a trial came to reaches the queue through :class:`sweep.engine.recorder.Recorder`, which writes the ledger
    first.
    """

    def __init__(
        self,
        queue: TrialQueue,
        describe: Callable[[Sequence[Job]], dict[str, Any]],
        stopped: Callable[[], bool],
        room: Callable[[], int],
    ) -> None:
        super().__init__(metric="epoch", mode="max")
        self._queue = queue
        self._describe = describe
        self._stopped = stopped
        self._room = room

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Nothing to learn: the plan is complete."""
        return True

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """The cluster's room decides, see :meth:`suggest`."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next job, and those that share its worker, as a trial's config; None while there is no room, or the rest
        waits for a teacher.

        No trial waits inside Ray: there it could be neither stopped nor given a better place in the queue.
        """
        if self._stopped():
            return Searcher.FINISHED
        room = self._room()
        if self._queue.running >= room:
            return None
        jobs = self._queue.next_together(room)
        if jobs:
            return self._describe(jobs)
        return Searcher.FINISHED if self._queue.exhausted else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The recorder has told the queue already."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a run is continued from the ledger, not from Ray's own state."""

    def restore(self, checkpoint_path: str) -> None:
        """See :meth:`save`."""

    def __getstate__(self) -> dict[str, Any]:
        """Ray stores a pickled copy of its whole set-up, which nothing here ever reads."""
        return {}


class CellScheduler(FIFOScheduler):
    """Ends a search trial when its own cell's pruner says so (:mod:`sweep.search.pruning`); teachers and confirming
    trials run to their end, with a pause where the whole sweep ends sooner for it (:mod:`sweep.engine.pauses`)."""

    def __init__(self, queue: TrialQueue, room: Callable[[], int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._queue = queue
        self._room = room

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """The cells know their metrics."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Tell the queue of the trials' epochs; STOP where one is given up or is to pause, which only one that has its
        worker to itself is, else CONTINUE."""
        stop = [self._is_to_stop(key, report) for key, report in result["reports"] if self._queue.is_live(key)]
        return str(TrialScheduler.STOP if any(stop) else TrialScheduler.CONTINUE)

    def _is_to_stop(self, key: str, report: dict[str, Any]) -> bool:
        return self._queue.report(key, report["epochs"]) or self._pauses(key)

    def _pauses(self, key: str) -> bool:
        """Whether a trial makes room for one that waits, which the queue then knows."""
        room = self._room()
        self._queue.put_longest_first(room)
        pauses = self._queue.should_pause(key, room)
        if pauses:
            self._queue.pause(key)
        return pauses

    def __getstate__(self) -> dict[str, Any]:
        """See :meth:`PlanSearcher.__getstate__`."""
        return {}


class StopAfterEpoch(Stopper):
    """Ends every trial after the epoch it is in, once `stopped` says so; its checkpoint is then on the disk.

    Args:
        stopped: whether the sweep is to end.
        at_once: whether what still runs then is to end where it is, and to go on from its last checkpoint later.
        foresee: is told of the reports of each worker first, as Ray asks before it tells anybody else.
    """

    def __init__(
        self,
        stopped: Callable[[], bool],
        at_once: Callable[[], bool] = lambda: False,
        foresee: Callable[[Iterable[dict[str, Any]]], object] = lambda reports: None,
    ) -> None:
        self._stopped = stopped
        self._at_once = at_once
        self._foresee = foresee

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._foresee([report for _, report in result["reports"]])
        return self._stopped()

    def stop_all(self) -> bool:
        """As a rule not: what runs ends by itself, after its epoch, and the searcher hands out no more."""
        return self._at_once()

    def __getstate__(self) -> dict[str, Any]:
        """See :meth:`PlanSearcher.__getstate__`."""
        return {}
