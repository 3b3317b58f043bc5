"""Idle workers, as Ray Tune would ask for them, and what dead ones had reserved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.air.execution import FixedResourceManager
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayError
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial
from ray.util.placement_group import PlacementGroup, placement_group

from sweep.engine import session
from sweep.engine.ray_internals.groups import release_left
from sweep.engine.ray_internals.workers import LONGEST_IDLE, ActorManager, IdleWorkers, own_workers

CPU, GPU = "a core", "a core and a GPU"


class Clock:
    """Stands still until it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def kept(clock: Clock, *workers: str) -> IdleWorkers:
    idle = IdleWorkers(clock)
    assert all(idle.cache_object(CPU, worker) for worker in workers)
    return idle


def test_all_idle_workers_are_kept_for_a_while_and_one_for_longer() -> None:
    clock = Clock()
    idle = kept(clock, "a", "b", "c")
    clock.now = LONGEST_IDLE - 1
    assert list(idle.flush_cached_objects()) == []
    assert idle.cache_object(CPU, "d")
    clock.now = LONGEST_IDLE
    assert list(idle.flush_cached_objects()) == ["a", "b", "c"]
    clock.now = 10 * LONGEST_IDLE
    assert list(idle.flush_cached_objects()) == []
    assert idle.pop_cached_object(CPU) == "d"
    assert idle.num_cached_objects == 0


def test_a_worker_that_is_taken_again_idles_anew() -> None:
    clock = Clock()
    idle = kept(clock, "a", "b")
    assert idle.pop_cached_object(CPU) == "a"
    clock.now = LONGEST_IDLE - 1
    idle.cache_object(CPU, "a")
    clock.now = LONGEST_IDLE
    assert list(idle.flush_cached_objects()) == ["b"]


def test_idle_workers_give_way_to_those_with_other_devices() -> None:
    idle = kept(Clock(), "a", "b")
    idle.increase_max(GPU)
    assert not idle.cache_object(CPU, "c")
    assert list(idle.flush_cached_objects()) == ["a", "b"]
    idle.decrease_max(GPU)
    assert idle.cache_object(CPU, "d")


def test_a_trial_that_waits_for_a_worker_of_their_kind_keeps_them() -> None:
    clock = Clock()
    idle = kept(clock, "a", "b", "c")
    idle.increase_max(CPU, 2)
    clock.now = LONGEST_IDLE
    assert list(idle.flush_cached_objects()) == ["a"]


def test_none_is_kept_at_the_end_or_after_another_died() -> None:
    assert list(kept(Clock(), "a", "b").flush_cached_objects(force_all=True)) == ["a", "b"]
    idle = kept(Clock(), "a", "b")
    idle.doubt()
    assert list(idle.flush_cached_objects()) == ["a", "b"]
    assert idle.cache_object(CPU, "c")
    assert list(idle.flush_cached_objects()) == []


@pytest.mark.slow  # a resource manager of Ray's starts Ray
def test_ray_tune_has_its_own_again_afterwards() -> None:
    before = tune_controller.RayActorManager, tune_controller._ObjectCache
    with own_workers():
        assert isinstance(tune_controller._ObjectCache(may_keep_one=True), IdleWorkers)
        manager = tune_controller.RayActorManager(resource_manager=FixedResourceManager({"CPU": 1}))
        assert isinstance(manager, ActorManager)
        manager.cleanup()
    assert (tune_controller.RayActorManager, tune_controller._ObjectCache) == before


@pytest.mark.parametrize("error", [OutOfMemoryError("killed"), NodeDiedError("gone"), RayActorError()])
def test_a_worker_that_dies_before_it_has_told_of_anything_does_not_end_the_sweep(
    error: RayError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(future: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "get", dead)
    theirs = vars(Trial)["_get_default_result_or_future"]
    trial = Trial("PPO", trial_id="first", stub=True)
    trial._default_result_or_future = ray.ObjectRef.from_random()
    with own_workers():
        assert trial.last_result == {"trial_id": "first"}
    assert vars(Trial)["_get_default_result_or_future"] is theirs


# -- what a trial's workers have reserved ------------------------------------------------------------------------------


class Reserves:
    """An actor with a placement group of its own, as Ray Train's controller."""

    def reserve(self) -> PlacementGroup:
        group = placement_group([{"CPU": 1}])
        ray.get(group.ready())
        return group


class Leads:
    """One with such an actor below it, as a trial's own."""

    def __init__(self) -> None:
        self.below = ray.remote(num_cpus=0)(Reserves).remote()

    def reserve(self) -> PlacementGroup:
        return ray.get(self.below.reserve.remote())


@pytest.fixture
def own_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Ray of three cores, as a sweep starts it."""
    with monkeypatch.context() as patched:
        patched.setattr(session, "_own", lambda folder, own=session._own: own(folder) | {"num_cpus": 3})
        with session.session(None, verbose=False):
            yield


def becomes(wanted: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow(20)
def test_what_a_dead_trial_s_workers_had_reserved_is_given_back_and_nothing_else(own_ray: None) -> None:
    leads = ray.remote(num_cpus=0)(Leads)
    dead, alive = leads.remote(), leads.remote()
    left, kept = ray.get([dead.reserve.remote(), alive.reserve.remote()])
    drivers = placement_group([{"CPU": 1}])  # as Ray Tune's
    ray.get(drivers.ready())
    assert release_left() == 0
    ray.kill(dead)
    becomes(lambda: release_left() == 1)
    becomes(lambda: ray.available_resources().get("CPU", 0) == 1)
    states = {group.id: ray.util.placement_group_table(group)["state"] for group in (left, kept, drivers)}
    assert states == {left.id: "REMOVED", kept.id: "CREATED", drivers.id: "CREATED"}
    assert release_left() == 0
