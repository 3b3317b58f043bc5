"""Requests to a tracking server that are tried again, each by itself; what makes something there is looked for first.

MLflow's client could try again by itself, but it would make a run twice: an answer that comes too late looks like none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sweep.tracking.trouble import trouble

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

TRIES = 4
"""Of a request; a server that fails one in fifty then fails one in six million."""
FIRST_PAUSE, LONGER = 0.1, 4.0
"""Seconds before the second try, and how many times as long the next pause is."""
LONGEST = 10.0
"""Seconds after which a request is not tried again; a server that hangs is told of sooner."""


def patiently(request: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs) -> Answer:
    """The answer to a request that may be repeated: asked again where the server was away.

    Raises:
        Exception: of the last try, whatever MLflow, its store or the network raise; a refusal at once.
    """
    began, pause = time.monotonic(), FIRST_PAUSE
    for left in reversed(range(TRIES)):
        try:
            return request(*given, **named)
        except Exception as error:  # told apart by what it means
            late = time.monotonic() - began > LONGEST
            if left == 0 or late or trouble(error).kind != "away":
                raise
        time.sleep(pause)
        pause *= LONGER
    raise AssertionError("unreachable")


def made_once(look: Callable[[], Answer | None], make: Callable[[], Answer]) -> Answer:
    """What `make` makes on a server. Where its answer was lost it may be there: `look` is asked before the next try."""
    lost = False

    def request() -> Answer:
        nonlocal lost
        there = look() if lost else None
        lost = True
        return make() if there is None else there

    return patiently(request)
