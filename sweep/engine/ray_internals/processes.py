"""Which processes a Ray of our own consists of: those that a sweep uses.

Ray's head starts three more, each a Python that imports Ray first: an API server, even where no dashboard is wanted; an
autoscaler, which has no machines to add to this one; and a reader of the workers' logs, whom nobody listens to unless
the driver is to print them. Without them a Ray starts in less time, and takes half the work to do so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NEVER = ("start_api_server", "start_monitor")
"""Methods of Ray's `Node` that start what a sweep has no use for."""
LOG_READER = "start_log_monitor"
"""The one that starts what prints the workers' output in the driver."""


@contextmanager
def fewer_processes(*, log_reader: bool) -> Iterator[None]:
    """Within the block a Ray that is started has only the processes that a sweep uses.

    Args:
        log_reader: whether what workers print is to be read.
    """
    from ray._private.node import Node

    left_out = NEVER if log_reader else (*NEVER, LOG_READER)
    before = {name: vars(Node)[name] for name in left_out}
    for name in left_out:
        setattr(Node, name, _nothing)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def _nothing(self: Any, **options: Any) -> None:
    """Instead of starting a process."""
