"""Notices the end of a cluster, which Ray Tune would wait out for ever."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROBE_SECONDS = 2.0
GONE_SECONDS = 30.0
"""A head that has not answered for so long is taken for dead; Ray itself aborts this process after 60."""


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
