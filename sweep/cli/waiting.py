"""A word on standard error while a command is silent: what it is doing, and for how long.

Imports, a data set or a large ledger take seconds on a quiet machine and a minute on a busy one. Standard output, which
others read, gets none of it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from sweep.text import duration
from trainers.code import running

FIRST_SECONDS, PAUSE_SECONDS = 2.0, 8.0
"""Of silence before the first word, and from one to the next."""


What = str | Callable[[], str]
"""Is being done, in a few words; a function is asked each time, and answers nothing while something else speaks."""


@contextmanager
def telling(what: What, *, terminal: bool = False) -> Iterator[Callable[[What], None]]:
    """Say what is being done for as long as the context lasts, now and then; short ones say nothing.

    Args:
        what: see :data:`What`; the function that the context gives changes it.
        terminal: whether it is said only where somebody waits at a terminal, and in no log.
    """
    teller = Teller(what, sys.stderr)
    if is_heard(sys.stderr, terminal):
        teller.start()
    try:
        yield teller.say
    finally:
        teller.close()


def is_heard(stream: TextIO, terminal: bool) -> bool:
    """Whether a word on that stream leaves the process, and, where that is asked for, reaches a terminal."""
    return stream is sys.__stderr__ and (stream.isatty() or not terminal)


class Teller(threading.Thread):
    """Writes what is being done to a stream, once the silence has lasted `first` seconds and then every `pause`."""

    def __init__(self, what: What, stream: TextIO, first: float = FIRST_SECONDS, pause: float = PAUSE_SECONDS) -> None:
        super().__init__(name="teller", daemon=True)
        self._what, self._stream = what, stream
        self._first, self._pause = first, pause
        self._over = threading.Event()

    def say(self, what: What) -> None:
        """From now on something else is being done."""
        self._what = what

    def run(self) -> None:
        """The thread's work, until the teller is closed."""
        began, wait = time.monotonic(), self._first
        while not self._over.wait(wait):
            wait = self._pause
            what = self._what if isinstance(self._what, str) else self._what()
            own = running()
            if what and own:  # which may be what does not end
                what = f"{what}; now {own} runs"
            if what:
                with suppress(OSError, ValueError):  # a stream that is gone; the work goes on
                    print(f"{what} … ({duration(time.monotonic() - began)})", file=self._stream, flush=True)

    def close(self) -> None:
        """Fall silent."""
        self._over.set()
        if self.is_alive():
            self.join()
