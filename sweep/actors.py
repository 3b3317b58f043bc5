"""Makes Ray's end of a worker for want of memory the death of that worker alone.

When a machine runs low on memory, Ray ends a worker and reports `OutOfMemoryError`. Ray Tune (2.60) expects nothing but
`RayActorError` of an actor, and takes the whole experiment down with any other error of Ray's. Here such an error is
passed on as the kind that Ray Tune handles, its name and text kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller


class ActorManager(RayActorManager):
    """Ray Tune's, to which every error of Ray's is the end of the actor that it befell."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        super()._actor_task_failed(tracked_actor_task, exception)


@contextmanager
def each_for_itself() -> Iterator[None]:
    """Ray Tune with the manager above."""
    controller: Any = tune_controller
    before = controller.RayActorManager
    controller.RayActorManager = ActorManager
    try:
        yield
    finally:
        controller.RayActorManager = before
