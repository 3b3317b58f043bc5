"""Where in a user's files an error has happened, in one line."""

from __future__ import annotations

import sys
import traceback
from contextlib import AbstractContextManager, redirect_stdout

from trainers.code.finder import current
from trainers.errors import KDError

LONGEST = 300
"""Characters of an error's text."""
THEIRS = (Exception, SystemExit)
"""What a user's code may raise, and is told as his: a module or a loss may even want to end the process."""


def theirs() -> AbstractContextManager[object]:
    """A context in which the user's code runs: what it prints goes to the error stream, since our own output may be
    JSON."""
    return redirect_stdout(sys.stderr)


def told(error: BaseException) -> str:
    """An error with the last place in a file that is the user's: ``my_losses.py:12: ZeroDivisionError: …``.

    Where no such file has a part in it, the error alone.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}: {type(error).__name__}: {error.msg}"
    what = _first_line(error)
    place = place_of(error)
    return f"{place}: {what}" if place else what


def place_of(error: BaseException) -> str:
    """File and line of the last of the user's frames that an error has passed, ``my_losses.py:12``; empty for none."""
    code = current()
    ours = {code.shown(path) for path in code.texts}
    frames = traceback.extract_tb(error.__traceback__, limit=None)
    places = [f"{frame.filename}:{frame.lineno}" for frame in frames if frame.filename in ours]
    return places[-1] if places else ""


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    said = text[0][:LONGEST] if text else ""
    if isinstance(error, KDError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
