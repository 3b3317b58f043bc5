"""Every name of Ray's that is not public and that a sweep overrides, replaces, reads or sets is there, and is used.

An upgrade of Ray that fails here says which name is gone, from where, and in which release. Read what has taken its
place, and then raise `READ_IN` and the bound in `pyproject.toml`.
"""

from __future__ import annotations

import dis
import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import ray
from ray._private import ray_constants, services, utils
from ray._private.node import Node
from ray.air.execution._internal import RayActorManager
from ray.core.generated.gcs_pb2 import ActorTableData, PlacementGroupTableData
from ray.train import ScalingConfig, TrainingFailedError, WorkerGroupError
from ray.train.torch import TorchTrainer
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.tune.constants import TUNE_ENV_VARS
from ray.tune.execution import tune_controller
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.experimental.output import AirVerbosity, get_air_verbosity
from ray.tune.utils.object_cache import _ObjectCache

from sweep.engine import session
from sweep.engine.ray_internals import READ_IN
from sweep.engine.ray_internals.processes import AGENT, ASKED, LOG_READER, NEVER, SETUP, STARTER, fewer_processes
from sweep.engine.ray_internals.settings import (
    NO_DRAINING,
    NO_MEMORY_MONITOR,
    NO_WORKERS_AHEAD,
    OLD_OUTPUT,
    TEMPORARY_FOLDER,
)
from sweep.engine.ray_internals.trainer import Trainer
from sweep.engine.ray_internals.workers import ActorManager, IdleWorkers, end_worker, has_worker
from sweep.layout import Root

OVERRIDDEN = {
    IdleWorkers: (_ObjectCache, TuneController, {"cache_object", "flush_cached_objects"}),
    ActorManager: (RayActorManager, RayActorManager, {"_actor_task_failed"}),
    Trainer: (TorchTrainer, DataParallelTrainer, {"_create_default_callbacks"}),
}
"""By our class: Ray's that it extends, the one whose methods call what is overridden, and the names."""
OWN = {IdleWorkers: {"doubt", "_others_wanted"}, ActorManager: set[str](), Trainer: set[str]()}
"""Methods that Ray does not know of."""
MADE_WITH = {_ObjectCache: ["may_keep_one"], RayActorManager: ["resource_manager"]}
"""The arguments with which Ray's classes, and ours in their place, are made."""
READ = {_ObjectCache: ["_cached_objects", "_num_cached_objects", "_max_num_objects"]}
"""Attributes of an instance that our methods read and write."""


def gone() -> list[str]:
    """A sentence for everything that this release of Ray lacks, or has otherwise than it was read."""
    return [*_overridden(), *_made(), *_replaced(), *_asked(), *_left_out(), *_read()]


def _overridden() -> Iterator[str]:
    for own, (base, caller, names) in OVERRIDDEN.items():
        for name in names:
            told = f"{name}, which {own.__name__} overrides"
            theirs = getattr(base, name, None)
            if theirs is None:
                yield _said(base, f"has no method {told}")
                continue
            if _parameters(theirs) != _parameters(vars(own)[name]):
                yield _said(base, f"has other parameters {_parameters(theirs)} of {told}")
            if name not in _names_in(caller):
                yield _said(caller, f"no longer calls {told}")


def _made() -> Iterator[str]:
    for base, arguments in MADE_WITH.items():
        theirs = [name for name, *_ in _parameters(base.__init__)]
        if theirs != ["self", *arguments]:
            yield _said(base, f"is made with {theirs[1:]}, not with {arguments}")


def _replaced() -> Iterator[str]:
    for base in MADE_WITH:
        if vars(tune_controller).get(base.__name__) is not base:
            yield _said(tune_controller, f"does not hold {base.__name__}, which own_workers() replaces there")
        if base.__name__ not in _globals_read(TuneController.__init__):
            yield _said(TuneController, f"does not look up {base.__name__}, which own_workers() replaces")


def _asked() -> Iterator[str]:
    name, kept = "_get_default_result_or_future", "_default_result_or_future"
    if name not in vars(Trial):
        yield _said(Trial, f"has no method {name}, which own_workers() replaces")
    elif kept not in inspect.unwrap(vars(Trial)[name]).__code__.co_names:
        yield _said(Trial, f"no longer keeps {kept}, which own_workers() sets")
    if name not in vars(Trial)["last_result"].fget.__code__.co_names:
        yield _said(Trial, f"no longer calls {name}, which own_workers() replaces")


def _left_out() -> Iterator[str]:
    for name in (*NEVER, LOG_READER):
        if name not in vars(Node):
            yield _said(Node, f"has no method {name}, which fewer_processes() replaces")
        if name not in _names_in(Node):
            yield _said(Node, f"no longer calls {name}, which fewer_processes() replaces")
    for owner, name in ((services, STARTER), (utils, ASKED)):
        if name not in vars(owner):
            yield _said(owner, f"has no function {name}, which fewer_processes() replaces")
        if name not in services.start_raylet.__code__.co_names:
            yield _said(services, f"no longer calls {name}, which fewer_processes() replaces")
    for script in (AGENT, SETUP):
        if not (Path(ray.__file__).parent / script).is_file():
            yield _said(ray, f"has no script {script}, which fewer_processes() replaces")


def _read() -> Iterator[str]:
    for base, names in READ.items():
        made = base()
        for name in names:
            if not hasattr(made, name):
                yield _said(base, f"has no attribute {name}, which IdleWorkers reads")


def _said(where: Any, what: str) -> str:
    return f"ray {ray.__version__}: {where.__name__} {what} (sweep/engine/ray_internals was written for {READ_IN})"


def _parameters(method: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(one.name, one.kind, one.default) for one in inspect.signature(method).parameters.values()]


def _names_in(owner: type) -> set[str]:
    """All names that the methods of a class, and the functions in them, look up."""
    methods = [inspect.unwrap(one).__code__ for one in vars(owner).values() if inspect.isfunction(inspect.unwrap(one))]
    return {name for method in methods for code in _nested(method) for name in code.co_names}


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _globals_read(function: Callable[..., Any]) -> set[str]:
    instructions = dis.get_instructions(inspect.unwrap(function))
    return {str(one.argval) for one in instructions if one.opname == "LOAD_GLOBAL"}


# -- what is there ----------------------------------------------------------------------------------------------------


def test_ray_is_the_release_that_was_read() -> None:
    assert ray.__version__.rpartition(".")[0] == READ_IN


def test_all_that_is_overridden_replaced_or_read_is_there_and_in_use() -> None:
    assert gone() == []


@pytest.mark.parametrize("own", OVERRIDDEN)
def test_every_method_is_an_override_or_a_sweep_s_own(own: type) -> None:
    base, _, overridden = OVERRIDDEN[own]
    methods = {name for name, value in vars(own).items() if inspect.isfunction(value)} - {"__init__"}
    assert methods == overridden | OWN[own]
    assert not any(hasattr(base, name) for name in OWN[own]), "Ray has a method of that name by now"


@pytest.mark.parametrize("log_reader", [True, False])
def test_processes_are_left_out_of_a_start_only(log_reader: bool) -> None:
    before = {name: vars(Node)[name] for name in (*NEVER, LOG_READER)}
    theirs = {(owner, name): vars(owner)[name] for owner, name in ((services, STARTER), (utils, ASKED))}
    with fewer_processes(log_reader=log_reader):
        assert (vars(Node)[LOG_READER] is before[LOG_READER]) == log_reader
        assert [vars(owner)[name] is was for (owner, name), was in theirs.items()] == [False, False]
        assert [Node.start_monitor(None), Node.start_api_server(None, include_dashboard=False)] == [None, None]  # type: ignore[arg-type, call-arg, func-returns-value]
    assert {name: vars(Node)[name] for name in before} == before
    assert {(owner, name): vars(owner)[name] for owner, name in theirs} == theirs


def test_what_ray_train_raises_tells_of_each_worker() -> None:
    error = WorkerGroupError("one of two", {1: ValueError("broken")})
    assert isinstance(error, TrainingFailedError)
    assert [str(failure) for failure in error.worker_failures.values()] == ["broken"]


def test_ray_train_starts_no_actor_that_outlives_the_trial() -> None:
    """The test fails where Ray looks after its placement groups otherwise by now."""
    with warnings.catch_warnings(action="ignore"):  # of Ray Train's about Ray Data
        trainers = [trainer(print, scaling_config=ScalingConfig()) for trainer in (Trainer, TorchTrainer)]
        callbacks = [trainer._create_default_callbacks() for trainer in trainers]
    ours, theirs = ({type(one).__name__ for one in some} for some in callbacks)
    assert theirs - ours == {"PlacementGroupCleanerCallback"}


def test_the_head_s_tables_tell_who_made_a_placement_group() -> None:
    group = {"creator_actor_id", "creator_job_id", "placement_group_id", "state"}
    assert group <= set(PlacementGroupTableData.DESCRIPTOR.fields_by_name)
    assert "state" in ActorTableData.DESCRIPTOR.fields_by_name
    assert {"get_placement_group_table", "get_actor_info"} <= set(dir(ray._raylet.GlobalStateAccessor))


def test_ray_reads_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OLD_OUTPUT.items():
        monkeypatch.delenv(name, raising=False)  # a run in this process may have set it
        assert get_air_verbosity(AirVerbosity.SILENT) is not None
        monkeypatch.setenv(name, value)
        assert get_air_verbosity(AirVerbosity.SILENT) is None
    raylet = (Path(ray.__file__).parent / "core" / "src" / "ray" / "raylet" / "raylet").read_bytes()
    assert all(name.removeprefix("RAY_").encode() in raylet for name in NO_WORKERS_AHEAD | NO_MEMORY_MONITOR)
    assert NO_DRAINING.keys() <= set(vars(ray_constants))
    assert TEMPORARY_FOLDER in inspect.unwrap(ray.init).__code__.co_consts


def test_ray_tune_knows_the_variables_that_a_sweep_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    session.environment(Root(tmp_path), False, None)
    assert {name for name in environment if name.startswith("TUNE_")} <= TUNE_ENV_VARS


def test_a_trial_knows_its_worker_as_the_controller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Any] = []
    monkeypatch.setattr(ray, "kill", killed.append)
    trial = Trial("TrialTrainable", stub=True)
    assert not has_worker(trial)
    end_worker(trial)
    assert killed == []
    worker = Worker()
    trial.set_ray_actor(worker)  # type: ignore[no-untyped-call]
    assert "set_ray_actor" in _names_in(TuneController)
    assert has_worker(trial)
    end_worker(trial)
    assert killed == [worker]
    trial.set_ray_actor(None)  # type: ignore[no-untyped-call]
    assert not has_worker(trial)


class Worker:
    """What Ray Tune asks of one that it is given."""

    @property
    def get_auto_filled_metrics(self) -> Worker:
        return self

    def remote(self, **options: Any) -> None:
        return None


# -- what would be told -----------------------------------------------------------------------------------------------


def test_a_method_that_was_renamed_is_named_with_its_class_and_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RayActorManager, "_task_failed", RayActorManager._actor_task_failed, raising=False)
    monkeypatch.delattr(RayActorManager, "_actor_task_failed")
    monkeypatch.setattr(ray, "__version__", "2.61.0")
    assert gone() == [
        "ray 2.61.0: RayActorManager has no method _actor_task_failed, which ActorManager overrides"
        f" (sweep/engine/ray_internals was written for {READ_IN})"
    ]


def test_a_method_with_another_parameter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def cache_object(self: Any, key: Any, obj: Any, until: float = 0) -> bool:
        return True

    monkeypatch.setattr(_ObjectCache, "cache_object", cache_object)
    (told,) = gone()
    assert "_ObjectCache has other parameters" in told
    assert "until" in told


def test_a_method_that_ray_tune_calls_no_longer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in list(vars(TuneController).items()):
        if inspect.isfunction(method) and "flush_cached_objects" in method.__code__.co_names:
            monkeypatch.delattr(TuneController, name)
    (told,) = gone()
    assert "TuneController no longer calls flush_cached_objects, which IdleWorkers overrides" in told


def test_a_process_that_is_started_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "start_autoscaler", Node.start_monitor, raising=False)
    monkeypatch.delattr(Node, "start_monitor")
    told, *_ = gone()
    assert "Node has no method start_monitor, which fewer_processes() replaces" in told


def test_a_script_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__file__", str(Path(ray.__file__).parent / "moved" / "__init__.py"))
    told = gone()
    assert [f"has no script {script}, which" in line for script, line in zip((AGENT, SETUP), told, strict=True)] == [
        True
    ] * 2


def test_a_class_that_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tune_controller, "_ObjectCache")
    monkeypatch.setattr(TuneController, "__init__", lambda self: None)
    moved, *unused = gone()
    assert "ray.tune.execution.tune_controller does not hold _ObjectCache, which own_workers() replaces" in moved
    assert ["TuneController does not look up" in told for told in unused] == [True, True]


def test_an_attribute_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _ObjectCache.__init__

    def renamed(self: Any, may_keep_one: bool = True) -> None:
        made(self, may_keep_one)
        self._counted = self._max_num_objects
        del self._max_num_objects

    monkeypatch.setattr(_ObjectCache, "__init__", renamed)
    (told,) = gone()
    assert "_ObjectCache has no attribute _max_num_objects, which IdleWorkers reads" in told
