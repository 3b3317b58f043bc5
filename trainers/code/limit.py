"""How long a user's code may run: a loss may sleep, or loop, for ever.

An alarm signal breaks it off where it stands, so that its file and line can be told. That costs microseconds and
reaches all that runs in Python, and every call that waits in the system. It does not reach a loop in C that never
returns to Python: only the end of its process ends that, and ``sweep check`` has a process for it.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS = 120.0
"""For what takes milliseconds to a few seconds on a quiet machine."""
AGAIN = 0.25
"""Of the time, after which the alarm strikes again: the code may have caught the first."""
LEAST = 1e-3
"""Seconds after which another's alarm strikes that should have struck meanwhile."""


class OverdueError(TimeoutError):
    """A user's code did not end; the traceback says where it stood."""


class _Alarm(BaseException):
    """Raised in the midst of the code: a loss that catches every `Exception` does not catch it."""


_limited = False
"""Whether the main thread is within a limit."""


@contextmanager
def limited(seconds: float | None = None) -> Iterator[None]:
    """A context in which the user's code runs for so long at most.

    Within another one nothing changes: the outer limit counts. In another thread than the main one, which alone can be
    broken off, and while a debugger looks on, there is none.

    Args:
        seconds: None: :data:`SECONDS`; 0: without end.

    Raises:
        OverdueError: when they are over.
    """
    global _limited
    if _limited or threading.current_thread() is not threading.main_thread():
        yield
        return
    _limited = True
    try:
        with _alarm(SECONDS if seconds is None else seconds):
            yield
    finally:
        _limited = False


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    armed = True

    def strike(number: int, frame: FrameType | None) -> None:
        if armed and not _debugged():
            raise _Alarm

    began, before = time.monotonic(), signal.signal(signal.SIGALRM, strike)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, seconds * AGAIN)
    try:
        yield
    except _Alarm as alarm:
        armed = False
        raise OverdueError(f"did not end within {seconds:g} s").with_traceback(alarm.__traceback__) from None
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # somebody else's, such as that of a test runner
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), LEAST), interval)


def _debugged() -> bool:
    """Whether somebody goes through the code line by line, and may take his time."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    return sys.gettrace() is not None or bool(monitoring and monitoring.get_tool(monitoring.DEBUGGER_ID))
