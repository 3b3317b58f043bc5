"""Ctrl-C: the first ends a run after the epochs in flight, the second now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sweep.engine.recorder import Recorder

STOPPING = "stopping after the epochs in flight; once more stops now"
"""What is said of the first Ctrl-C."""


@contextmanager
def stop_signals(recorder: Recorder) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the sweep after the epochs in flight; the second ends it now.

    Outside the main thread, which alone hears of signals, nothing is changed.
    """

    def stop(number: int, frame: Any) -> None:
        if recorder.stop_requested:  # by the user or the budget before, or because the cluster is gone
            raise KeyboardInterrupt
        recorder.stop(STOPPING)

    heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
