"""Work in a process of its own, which may come to any end without taking this one along.

A user's code may stand still in C, where it hears no signal, or take its process down. The process is forked, which
takes milliseconds, before anything is imported that does not bear it: this one stays as light as it began.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NoReturn

Tell = Callable[[Any], None]
"""Hands a value, as JSON, to the process that waits."""
PAUSE = 0.5
"""Seconds from one look to the next whether a silent process is still there."""
CHUNK = 1 << 16


class Apart:
    """A process that works, and tells of it; a context, which ends it where it has not ended by itself."""

    def __init__(self, work: Callable[[Tell], None]) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # what is not written yet would be written twice
        self._from, to = os.pipe()
        self._code: int | None = None
        self._process = os.fork()
        if not self._process:
            os.close(self._from)
            _work(work, to)
        os.close(to)

    def told(self) -> Iterator[Any]:
        """Each value that it tells, until it has ended."""
        rest = b""
        while True:
            ended = self._ended()  # first, so that what it told before that is read
            if select.select([self._from], [], [], 0 if ended else PAUSE)[0]:
                chunk = os.read(self._from, CHUNK)
                *lines, rest = (rest + chunk).split(b"\n")
                yield from map(json.loads, lines)
                ended = not chunk
            if ended:
                return

    def ending(self) -> str:
        """Waits for it, and says how it ended."""
        if not self._ended():
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        code = self._code or 0
        return f"its process was ended {f'by {signal.Signals(-code).name}' if code < 0 else f'with exit code {code}'}"

    def _ended(self) -> bool:
        if self._code is None:
            ended, status = os.waitpid(self._process, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code is not None

    def __enter__(self) -> Apart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended():
            os.kill(self._process, signal.SIGKILL)
            self.ending()
        os.close(self._from)


def _work(work: Callable[[Tell], None], to: int) -> NoReturn:
    """The forked process; nothing of the other's is done twice at its end."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the other one says what there is to say of it
        with os.fdopen(to, "w", encoding="utf-8") as file:
            work(lambda value: print(json.dumps(value), file=file, flush=True))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
