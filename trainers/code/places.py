"""Where in a user's files an error has happened, in one line; and what holds while such code runs."""

from __future__ import annotations

import logging
import sys
import traceback
from bdb import BdbQuit
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache

from trainers.code.files import OURS
from trainers.code.finder import current
from trainers.code.settings import settings_kept
from trainers.errors import KDError, kind_of, printable, text_of

_log = logging.getLogger(__name__)

LONGEST = 300
"""Characters of an error's text."""
THEIRS = (Exception, SystemExit)
"""What a user's code may raise below :func:`theirs`, and is told as his: it may even want to end the process."""


_running: list[str] = []
"""What runs of the user's, the innermost last."""


class RaisedError(Exception):
    """What a user's code has raised that is none of Python's usual errors, by its name and text."""


@contextmanager
def theirs(what: str = "") -> Iterator[None]:
    """A context in which the user's code runs.

    What it prints goes to the error stream, since our own output may be JSON. Torch's settings, which hold for the
    whole process, are set back at its end.

    Args:
        what: runs, as messages call it: while it does not end, and, once, where it has changed settings. Nothing is
            said of what has no name.

    Raises:
        KeyboardInterrupt: in place of a debugger's `quit`, which ends what runs as Ctrl-C does, and is no failure.
        RaisedError: in place of what is neither an Exception nor ends a process.
    """
    changed: list[str] = []
    _running.append(what)
    try:
        with redirect_stdout(sys.stderr), settings_kept() as changed:
            yield
    except BdbQuit:
        raise KeyboardInterrupt from None
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if type(error).__module__.partition(".")[0] in OURS:  # an alarm of ours, say, that breaks this off
            raise
        raise RaisedError(_first_line(error)).with_traceback(error.__traceback__) from error
    finally:
        _running.pop()
        if changed and what:
            _say_set_back(what, ", ".join(changed))


def running() -> str:
    """What of the user's code runs in this process now: a file that is imported, a method that is tried; else nothing.
    Another thread may ask, while that does not end."""
    return next((what for what in reversed(_running) if what), "")


@cache
def _say_set_back(what: str, changed: str) -> None:
    """Warn, once: a method is tried at every point of its grid."""
    _log.warning(
        "%s changes torch for the whole process: %s; that is set back, since all other trials would change with it and"
        " no key would say so",
        what,
        changed,
    )


def raised_by_theirs(error: BaseException) -> bool:
    """Whether a line of the user's has raised an error, and nothing that the line called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename in _files()


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
    """File and line of the last of the user's frames that an error has passed, ``my_losses.py:12``; empty for none.

    Where it has passed none, those of what it was raised for are looked through: what a generator may not raise, say.
    """
    ours, seen = _files(), set[int]()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        frames = traceback.extract_tb(link.__traceback__)
        places = [f"{frame.filename}:{frame.lineno}" for frame in frames if frame.filename in ours]
        if places:
            return places[-1]
        seen.add(id(link))
        link = link.__cause__
    return ""


def _files() -> set[str]:
    """The user's, as frames name them."""
    code = current()
    return {code.shown(path) for path in code.texts}


def _first_line(error: BaseException) -> str:
    text = text_of(error).strip().splitlines()
    said = printable(text[0][:LONGEST]) if text else ""
    if isinstance(error, KDError | RaisedError):
        return said
    return f"{kind_of(error)}: {said}" if said else kind_of(error)
