"""Which processes a Ray of our own consists of: those that a sweep uses.

Ray's head starts three more, each a Python that imports Ray first: an API server, even where no dashboard is wanted; an
autoscaler, which has no machines to add to this one; and a reader of the workers' logs, whom nobody listens to unless
the driver is to print them. Without them a Ray starts in less time, and takes half the work to do so.

Two more of Ray's scripts are replaced by small ones that import nothing: the agent of the dashboard
(:mod:`sweep.engine.ray_internals.node_agent`) and what becomes a worker
(:mod:`sweep.engine.ray_internals.worker_start`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sweep.engine.ray_internals import node_agent, worker_start

NEVER = ("start_api_server", "start_monitor")
"""Methods of Ray's `Node` that start what a sweep has no use for."""
LOG_READER = "start_log_monitor"
"""The one that starts what prints the workers' output in the driver."""
AGENT, SETUP = "dashboard/agent.py", "_private/workers/setup_worker.py"
"""Ray's scripts, in its folder, that small ones take the place of."""
STARTER, ASKED = "start_ray_process", "get_dashboard_dependency_error"
"""Functions of Ray's `services` and `utils`: the one starts a process by its command; the other imports what the agent
of a dashboard needs, to see whether it is there."""


@contextmanager
def fewer_processes(*, log_reader: bool) -> Iterator[None]:
    """Within the block a Ray that is started has only the processes that a sweep uses.

    Args:
        log_reader: whether what workers print is to be read.
    """
    from ray._private import services, utils
    from ray._private.node import Node

    left_out = NEVER if log_reader else (*NEVER, LOG_READER)
    replaced: dict[tuple[Any, str], Any] = {(Node, name): _nothing for name in left_out}
    replaced[services, STARTER] = partial(_started, start=services.start_ray_process)
    replaced[utils, ASKED] = _nothing
    before = {(owner, name): vars(owner)[name] for owner, name in replaced}
    _put(replaced)
    try:
        yield
    finally:
        _put(before)


def _put(names: dict[tuple[Any, str], Any]) -> None:
    for (owner, name), value in names.items():
        setattr(owner, name, value)


def _nothing(*arguments: Any, **options: Any) -> None:
    """Instead of starting a process, or looking for what it would import."""


def _started(command: list[str], *arguments: Any, start: Callable[..., Any], **options: Any) -> Any:
    """A process of Ray's, whose own processes run the small scripts."""
    return start([lighter(one) for one in command], *arguments, **options)


def lighter(argument: str) -> str:
    """An argument of a node's with the small scripts in place of Ray's: one names the command of the agent, another
    that of workers. Where ours finds more asked for than it knows, it becomes Ray's."""
    import ray

    folder = Path(ray.__file__).parent
    agent, setup = str(folder / AGENT), str(folder / SETUP)
    ours = {agent: [node_agent.__file__], setup: [worker_start.__file__, setup]}
    for script, instead in ours.items():
        argument = argument.replace(_quoted(script), _quoted(*instead))
    return argument


def _quoted(*words: str) -> str:
    return subprocess.list2cmdline(words)
