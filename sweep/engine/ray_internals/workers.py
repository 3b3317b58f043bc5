"""How Ray Tune keeps its workers, where a sweep needs it otherwise.

When a machine runs low on memory, Ray ends a worker and reports `OutOfMemoryError`. Ray Tune expects nothing but
`RayActorError` of an actor, and takes the whole experiment down with any other error of Ray's. Here such an error is
passed on as the kind that Ray Tune handles, its name and text kept; and where Ray Tune asks a worker that has told of
no epoch for what it would tell of none, such an error is no answer.

And Ray Tune keeps one idle worker, as it knows of no trial that could need a second: a sweep's trials wait in its own
queue (:meth:`sweep.engine.ray_search.PlanSearcher.suggest`). So where several trials had ended before a teacher, all
other workers would be started anew after it, which takes longer than a short trial. Here they are kept for a while.

Nor does Ray Tune let anybody end the worker of one trial: see :func:`end_worker`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial, partialmethod
from typing import Any

import ray
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial
from ray.tune.utils.object_cache import _ObjectCache

LONGEST_IDLE = 60.0
"""Seconds for which an idle worker keeps its devices; after that others on the cluster have more use for them."""


class IdleWorkers(_ObjectCache):
    """Ray Tune's cache of idle workers; it keeps all for a while unless a trial waits for workers with other devices.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(may_keep_one=True)
        self._clock = clock
        self._since: dict[Any, float] = {}
        self._doubted = False

    def cache_object(self, key: Any, obj: Any) -> bool:
        """Keep a worker that a trial has left; False where Ray Tune is to end it."""
        self._since[obj] = self._clock()
        if self._others_wanted(key):
            return bool(super().cache_object(key, obj))
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        return True

    def flush_cached_objects(self, force_all: bool = False) -> Generator[Any, None, None]:
        """Those to end now: all that are in the way or in doubt, and those that idled for long, but for one."""
        doubted, self._doubted = self._doubted, False
        if force_all or doubted or any(self._others_wanted(key) for key, kept in self._cached_objects.items() if kept):
            yield from super().flush_cached_objects(force_all or doubted)
            return
        latest = self._clock() - LONGEST_IDLE
        for key, kept in self._cached_objects.items():
            while (
                len(kept) > self._max_num_objects[key]
                and self._num_cached_objects > 1
                and self._since[kept[0]] <= latest
            ):
                self._num_cached_objects -= 1
                yield kept.pop(0)

    def doubt(self) -> None:
        """A worker has died: others may have died with their machine, and Ray does not tell of idle ones."""
        self._doubted = True

    def _others_wanted(self, key: Any) -> bool:
        return any(count > 0 for other, count in self._max_num_objects.items() if other != key)


class ActorManager(RayActorManager):
    """Ray Tune's manager of its workers, to which every error of Ray's is the end of the worker that it befell.

    Args:
        resource_manager: Ray Tune's.
        idle: the workers that wait; Ray Tune, which calls this again to begin anew, does not give them.
    """

    def __init__(self, resource_manager: Any, idle: IdleWorkers | None = None) -> None:
        super().__init__(resource_manager=resource_manager)
        self._idle: IdleWorkers = idle or self._idle

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        if isinstance(exception, RayActorError):
            self._idle.doubt()
        super()._actor_task_failed(tracked_actor_task, exception)


def has_worker(trial: Trial) -> bool:
    """Whether a worker runs a trial, or was told to take it up."""
    return trial.temporary_state.ray_actor is not None


def end_worker(trial: Trial) -> None:
    """Kill a trial's worker, whatever it is at; Ray Tune then hears of its death as of any other."""
    worker = trial.temporary_state.ray_actor
    if worker is not None:
        ray.kill(worker)


def _answer(trial: Trial, *, asked: Callable[[Trial], dict[str, Any] | None]) -> dict[str, Any] | None:
    """What Ray Tune has for the result of a trial that has told of none; None where its worker is dead."""
    try:
        return asked(trial)
    except RayError:
        trial._default_result_or_future = None
        return None


@contextmanager
def own_workers() -> Iterator[None]:
    """Ray Tune with what is above, for as long as the block lasts: its controller finds its own by their names."""
    controller: Any = tune_controller
    their_trial: Any = Trial
    before = controller.RayActorManager, controller._ObjectCache, their_trial._get_default_result_or_future
    idle = IdleWorkers()
    controller.RayActorManager = partial(ActorManager, idle=idle)
    controller._ObjectCache = lambda may_keep_one: idle
    their_trial._get_default_result_or_future = partialmethod(_answer, asked=before[2])
    try:
        yield
    finally:
        controller.RayActorManager, controller._ObjectCache, their_trial._get_default_result_or_future = before
