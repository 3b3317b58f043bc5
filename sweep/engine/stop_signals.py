"""Ctrl-C: the first ends a run after the epochs in flight, the second now. What a batch system says is heard as well.

Batch systems and ``timeout`` send SIGTERM to a job's shell, and to all its processes, and a shell may hand it on: one
request comes as several signals. (Ray's processes do not hear it: :mod:`sweep.engine.session`.)
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sweep.engine.recorder import Recorder

STOPPING = "stopping after the epochs in flight; once more stops now"
"""What is said of the first Ctrl-C."""
TOGETHER_SECONDS = 1.0
"""SIGTERM so soon after another is the same request."""
NOTICE = signal.SIGUSR2
"""What a batch system sends, where it was asked to, some time before it ends a job (``sbatch --signal``). SIGUSR1 would
be Ray Tune's, which ends the run on it without a word."""


@contextmanager
def stop_signals(recorder: Recorder) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the sweep after the epochs in flight; the second ends it now. So does the first
    :data:`NOTICE`, for want of time; another changes nothing.

    Outside the main thread, which alone hears of signals, nothing is changed.
    """

    stop = _Stop(recorder)
    heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before: dict[int, Any] = {number: signal.signal(number, stop) for number in heard}
    if heard:
        before[NOTICE] = signal.signal(NOTICE, lambda number, frame: recorder.run_out())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    """Hears that a run is to end."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._terminated = -TOGETHER_SECONDS

    def __call__(self, number: int, frame: Any) -> None:
        if self._is_the_same(number):
            return
        if self._recorder.stop_requested:  # by the user or the budget before, or because the cluster is gone
            raise KeyboardInterrupt
        self._recorder.stop(STOPPING)

    def _is_the_same(self, number: int) -> bool:
        if number != signal.SIGTERM:
            return False
        last, self._terminated = self._terminated, time.monotonic()
        return self._terminated - last < TOGETHER_SECONDS
