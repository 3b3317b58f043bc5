"""Where trials run: a Ray of our own on this machine, or a cluster that is running already."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from sweep.events import first_line
from sweep.layout import Root
from sweep.lock import alive
from sweep.plan import Plan
from trainers.errors import InputError, MachineError

_log = logging.getLogger(__name__)

WORKER_ENVIRONMENT = {
    # Large tensors are reused instead of being given back to the system after every step, and lie in huge pages.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For the processes that train, where the user's environment does not say otherwise."""
HANDED_ON = (
    "SWEEP_CACHE",
    "RAY_CHDIR_TO_TRIAL_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    *WORKER_ENVIRONMENT,
)
"""Of the driver's environment, to the workers."""
OBJECT_STORE_BYTES = 100_000_000
"""Ray's shared memory; trials pass next to nothing through it."""
PROBE_SECONDS = 2.0
GONE_SECONDS = 30.0
"""A head that has not answered for so long is taken for dead; Ray itself aborts this process after 60."""
STARTS = 3
"""How often a Ray of our own is started before the machine is given up."""
JOIN_SECONDS = 120.0
"""What the machines of a cluster get to join before a sweep that none of them has room for is refused."""
JOIN_POLL_SECONDS = 1.0
ROOM_SECONDS = 5.0
"""How often a cluster is asked how many trials it has room for."""
RAY_FOLDER = "sweep-ray-"
"""How the folders of Ray's temporary files begin; the driver's process number follows."""


@contextmanager
def session(address: str | None, verbose: bool) -> Iterator[Path]:
    """Ray, silent unless `verbose`: the cluster at `address`, or a Ray of our own without one.

    Yields a folder of temporary files, which is removed at the end.

    Raises:
        InputError: where no cluster answers at `address`.
        MachineError: where a Ray of our own does not start.
    """
    _remove_leftovers()
    temporary = Path(tempfile.mkdtemp(prefix=f"{RAY_FOLDER}{os.getpid()}-"))
    import ray

    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    init = partial(
        ray.init,
        log_to_driver=verbose,
        logging_level=logging.INFO if verbose else logging.ERROR,
        runtime_env={"env_vars": WORKER_ENVIRONMENT | _handed_on() | _hidden()},
    )
    try:
        if address is None:
            _start(partial(init, **_own(temporary)))
        else:
            _join(partial(init, address=address), address)
        yield temporary
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _join(init: Callable[[], object], address: str) -> None:
    from ray.exceptions import AuthenticationError

    try:
        init()
    except AuthenticationError as error:
        raise InputError(
            f"the Ray cluster at '{address}' does not let you in: it wants its token, which Ray looks for in"
            " RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, and in ~/.ray/auth_token"
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at '{address}': {str(error).splitlines()[0]}") from error


def _start(init: Callable[[], object]) -> None:
    """Start a Ray of our own, again where its processes do not come up in the 30 s that it gives them: on a machine
    that is busy with other things they sometimes do not."""
    import ray

    before = psutil.Process().children()
    for left in reversed(range(STARTS)):
        try:
            init()
        except Exception as error:  # Ray raises no narrower class
            ray.shutdown()
            _end([child for child in psutil.Process().children() if child not in before])
            if not left:
                raise MachineError(
                    f"Ray did not start on this machine, {STARTS} times in a row ({first_line(error)}); is it too busy"
                    " with other things? --verbose shows what Ray says. Nothing is lost: the same command tries again"
                ) from error
            _log.warning("Ray did not start and is started anew (%s)", first_line(error))
        else:
            return


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


@contextmanager
def watched(node_lost: Callable[[], None], head_lost: Callable[[], None]) -> Iterator[None]:
    """Notices the end of the cluster, which Ray Tune would wait out for ever.

    Args:
        node_lost: called, from another thread, when this machine's part of Ray is dead, before the main thread is
            interrupted.
        head_lost: called when the head is. It must end the process: the main thread may be in a call to the head that
            does not return, and hears no signal there.
    """
    import ray

    context, closing = ray.get_runtime_context(), threading.Event()
    host, _, port = str(context.gcs_address).rpartition(":")
    threads = [
        threading.Thread(target=_watch_head, args=((host, int(port)), head_lost, closing), daemon=True),
        threading.Thread(target=_watch_node, args=(context.get_node_id(), node_lost, closing), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        closing.set()
        for thread in threads:
            thread.join(PROBE_SECONDS)


def _watch_head(head: tuple[str, int], lost: Callable[[], None], closing: threading.Event) -> None:
    """Connect to the head's control store again and again. Nothing here calls Ray, which might not return."""
    heard = time.monotonic()
    while not closing.wait(PROBE_SECONDS):
        try:
            with socket.create_connection(head, timeout=PROBE_SECONDS):
                heard = time.monotonic()
        except OSError:
            if time.monotonic() - heard > GONE_SECONDS:
                lost()
                return


def _watch_node(own: str, lost: Callable[[], None], closing: threading.Event) -> None:
    """Ask the head whether it has given up the node that this process is attached to, which is final."""
    import ray

    while not closing.wait(PROBE_SECONDS):
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        if any(node["NodeID"] == own and not node["Alive"] for node in nodes):
            lost()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return


def _own(temporary: Path) -> dict[str, Any]:
    """A Ray of our own. Its files lie in the system's temporary folder, not below the root: its sockets have paths of
    at most 107 characters."""
    return {
        "address": "local",  # not a cluster that RAY_ADDRESS happens to name
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(temporary),
    }


def _handed_on() -> dict[str, str]:
    """What workers must know of this process's environment; on another machine they do not inherit it."""
    return {name: os.environ[name] for name in HANDED_ON if name in os.environ}


def _hidden() -> dict[str, str]:
    """The tracking server's address and credentials, blanked for workers: they have no business there."""
    return {name: "" for name in os.environ if name.startswith(("MLFLOW_TRACKING", "MLFLOW_BACKEND"))}


def _remove_leftovers() -> None:
    """Ray's temporary files of drivers that were killed before they could remove them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{RAY_FOLDER}*"):
        pid = folder.name.removeprefix(RAY_FOLDER).partition("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def environment(root: Root, verbose: bool, address: str | None) -> None:
    """What Ray and matplotlib read when they are imported.

    A Ray of our own gets a token of its own, because even a local one listens on all interfaces; a cluster has one,
    which the user's environment knows.
    """
    root.offer_cache()
    os.environ.setdefault("MPLCONFIGDIR", str(root.matplotlib.absolute()))
    quiet = {} if verbose else {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_PRINT_ALL_TRIAL_ERRORS": "0"}
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


def _own_environment() -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_prestart_worker_first_driver": "0",  # one a core, none of which has the environment that Tune asks for
    }


def check_resources(plan: Plan, patience: float = 0) -> None:
    """Raises InputError when no machine has room for one trial: Ray would wait for ever.

    Args:
        plan: whose trials are to run.
        patience: seconds for machines to join that are not there yet.
    """
    deadline = time.monotonic() + patience
    while room(plan) == 0:
        if time.monotonic() > deadline:
            who = f"after {patience:g} s the cluster's machines have" if patience else "this machine has"
            raise InputError(_too_small(plan, who))
        time.sleep(JOIN_POLL_SECONDS)


def _too_small(plan: Plan, who: str) -> str:
    cpus, gpus, workers = plan.compute["cpus"], plan.compute["gpus"], plan.compute["workers"]
    have = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in _nodes())
    return (
        f"a trial asks for {f'{workers} workers of ' if workers > 1 else ''}{cpus} CPUs and {gpus:g} GPUs (compute: in"
        f" the spec), but {who} {have}; lower compute.cpus{', ' if workers > 1 else ' or '}compute.gpus"
        f"{' or compute.workers' if workers > 1 else ''}"
    )


class Room:
    """How many trials may run side by side, at least one; on a cluster machines join and leave while a sweep runs."""

    def __init__(self, plan: Plan, changes: bool) -> None:
        self._plan, self._changes = plan, changes
        self._known, self._asked = 0, 0.0

    def __call__(self) -> int:
        if self._known == 0 or (self._changes and time.monotonic() - self._asked > ROOM_SECONDS):
            self._known, self._asked = max(1, room(self._plan)), time.monotonic()
        return self._known


def room(plan: Plan) -> int:
    """How many trials fit side by side; the workers of one may be on several machines."""
    room = 0
    for have in _nodes():
        fits = [have.get("CPU", 0) // plan.compute["cpus"]]
        if plan.compute["gpus"]:
            fits.append(_shares(have.get("GPU", 0), plan.compute["gpus"]))
        room += int(min(fits))
    return int(room // plan.compute["workers"])


def _shares(gpus: float, each: float) -> int:
    """How many trials of `each` GPUs go on a machine's; a fraction never spans two."""
    return int(gpus) * int(1 / each + 1e-9) if each < 1 else int(gpus // each)


def _nodes() -> list[dict[str, float]]:
    """The resources of every machine of the cluster that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
