"""A Ray session for one run: a Ray of our own on this machine, or a cluster that is running already."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import psutil

from sweep.engine import temporary
from sweep.engine.ray_internals.processes import fewer_processes
from sweep.engine.ray_internals.settings import NO_MEMORY_MONITOR, NO_WORKERS_AHEAD, OLD_OUTPUT, TEMPORARY_FOLDER
from sweep.engine.watch import PROBE_SECONDS
from sweep.layout import Root
from sweep.text import first_line
from trainers.allotment import cores, job_memory
from trainers.errors import InputError, MachineError
from trainers.process import WORKER_ENVIRONMENT, environment_put_back

_log = logging.getLogger(__name__)
HANDED_ON = (
    "SWEEP_CACHE",
    "RAY_CHDIR_TO_TRIAL_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    *WORKER_ENVIRONMENT,
)
"""Of the driver's environment, to the workers."""
FIRST = "kd_sweep.find_ours_first"
"""What a worker calls before it imports anything: Ray puts this process's folder first on its path."""
OBJECT_STORE_BYTES = 100_000_000
"""Ray's shared memory; trials pass next to nothing through it."""
STARTS = 3
"""How often a Ray of our own is started before the machine is given up."""


@contextmanager
def session(address: str | None, verbose: bool) -> Iterator[Path]:
    """Ray, silent unless `verbose`: the cluster at `address`, or a Ray of our own without one.

    Yields a folder of temporary files that nobody else may enter, which is removed at the end.

    Raises:
        InputError: where no cluster answers at `address`, or a Ray of our own could start no worker or no socket.
        MachineError: where a Ray of our own does not start.
    """
    if address is None:
        _check_python()
    import ray

    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    init = partial(
        ray.init,
        log_to_driver=verbose,
        logging_level=logging.INFO if verbose else logging.ERROR,
        runtime_env={
            "env_vars": WORKER_ENVIRONMENT | _handed_on() | _hidden(),
            "worker_process_setup_hook": FIRST,
        },
    )
    with temporary.held(for_ray=address is None) as folder:
        try:
            if address is None:
                with fewer_processes(log_reader=verbose):
                    _start(partial(init, **_own(folder / temporary.FOR_RAY)))
            else:
                _join(partial(init, address=address), address)
            yield folder
        finally:
            _shut_down()


def _join(init: Callable[[], object], address: str) -> None:
    from ray.exceptions import AuthenticationError

    try:
        init()
    except AuthenticationError as error:
        raise InputError(f"the Ray cluster at '{address}' does not let you in: {_what_is_wanted()}") from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at '{address}': {str(error).splitlines()[0]}") from error


def _what_is_wanted() -> str:
    if _own_token.cache_info().currsize:
        return (
            "this process has run a Ray of its own, whose token it keeps to its end; join the cluster from another"
            " process (in a notebook: restart the kernel)"
        )
    return (
        "it wants its token, which Ray looks for in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, and in"
        " ~/.ray/auth_token"
    )


def _start(init: Callable[[], object]) -> None:
    """Start a Ray of our own, again where its processes do not come up in the 30 s that it gives them: on a machine
    that is busy with other things they sometimes do not."""
    before = psutil.Process().children()
    for left in reversed(range(STARTS)):
        try:
            with _deaf():
                init()
        except Exception as error:  # Ray raises no narrower class
            _shut_down()
            _end([child for child in psutil.Process().children() if child not in before])
            if not left:
                raise MachineError(
                    f"Ray did not start on this machine, {STARTS} times in a row ({first_line(error)}); is it too busy"
                    " with other things? --verbose shows what Ray says. Nothing is lost: the same command tries again"
                ) from error
            _log.warning("Ray did not start and is started anew (%s)", first_line(error))
        else:
            return


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started meanwhile, and those that they start, do not hear SIGTERM.

    Batch systems, and ``timeout``, send it to all processes of a job at once; Ray's would end, and take the epochs in
    flight along, when this one alone is to say what ends. (Ray itself does the same with SIGINT.) Ray ends them by
    SIGKILL, when they have had a second; and with this process they end by themselves.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _shut_down() -> None:
    """Leave Ray, with no reference to an object of Ray's waiting in garbage.

    Python may collect such garbage in any thread (another one tells MLflow meanwhile). A reference that is dropped
    while Ray's core goes down makes that core end this process at once, with the table not yet written.
    """
    import ray

    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if collecting:
            gc.enable()


def _end(processes: list[psutil.Process]) -> None:
    """Kill what Ray has left of a start, and what that has started."""
    below = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            below += process.children(recursive=True)
    for process in [*processes, *below]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=PROBE_SECONDS)


def _own(folder: Path) -> dict[str, Any]:
    """A Ray of our own. Its files lie in a temporary folder, not below the root: sockets' paths must be short."""
    return {
        "address": "local",  # not a cluster that RAY_ADDRESS happens to name
        "num_cpus": cores(),  # of a job; Ray by itself takes all of the machine's that no container hides
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        TEMPORARY_FOLDER: str(folder),
    }


def _handed_on() -> dict[str, str]:
    """What workers must know of this process's environment; on another machine they do not inherit it."""
    return {name: os.environ[name] for name in HANDED_ON if name in os.environ}


def _hidden() -> dict[str, str]:
    """The tracking server's address and credentials, blanked for workers: they have no business there."""
    return {name: "" for name in os.environ if name.startswith(("MLFLOW_TRACKING", "MLFLOW_BACKEND"))}


def _check_python() -> None:
    """Raises InputError where Python lies at a path with a space: Ray would try for ever to start its workers, whose
    command it takes apart at spaces."""
    if " " in sys.executable:
        raise InputError(
            f"Ray starts no worker with a Python whose path has a space in it ({sys.executable}); put the"
            " environment, or the folder that it lies in, at a path without one"
        )


def environment(root: Root, verbose: bool, address: str | None) -> None:
    """What Ray and matplotlib read when they are imported.

    A Ray of our own gets a token of its own, because even a local one listens on all interfaces; a cluster has one,
    which the user's environment knows.
    """
    root.offer_cache()
    os.environ.setdefault("MPLCONFIGDIR", str(root.matplotlib.absolute()))
    quiet = {} if verbose else OLD_OUTPUT | {"TUNE_PRINT_ALL_TRIAL_ERRORS": "0"}
    os.environ.update(
        quiet
        | {
            **({} if address else _own_environment()),
            "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative data paths of a spec stay relative to the user's folder
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this very environment, not a copy made by uv
            "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            "TUNE_DISABLE_SIGINT_HANDLER": "1",
            "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial reports no metric
        }
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@contextmanager
def put_back() -> Iterator[None]:
    """What :func:`environment` says of a Ray of our own is said no longer at the end of this: what is started or joined
    from here later is another Ray, or another program."""
    with environment_put_back(_own_environment()):
        yield


def _own_environment() -> dict[str, str]:
    told = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _own_token()} | NO_WORKERS_AHEAD
    if job_memory() is not None and not NO_MEMORY_MONITOR.keys() & os.environ.keys():
        told |= NO_MEMORY_MONITOR  # the kernel watches the job's memory
    return told


@cache
def _own_token() -> str:
    """One for all runs of this process: Ray reads it once, and would take no other for a later Ray of our own."""
    return secrets.token_hex(32)
