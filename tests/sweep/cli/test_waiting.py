"""What a command says while it is silent."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from sweep.cli.run import doing
from sweep.cli.waiting import FIRST_SECONDS, PAUSE_SECONDS, Teller, What, is_heard, telling
from sweep.engine.display import PlainDisplay, Progress
from sweep.plan.slots import Plan
from trainers.code import theirs

LONGEST = 60
"""Seconds after which a teller is taken for dumb."""


class Lines(io.StringIO):
    """A stream that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        if text.endswith("\n"):
            self.written.set()
        return count

    def next(self) -> str:
        """The line that is written after this is called."""
        self.written.clear()
        assert self.written.wait(LONGEST)
        return self.getvalue().splitlines()[-1]


@contextmanager
def teller(what: What, first: float = 0.0) -> Iterator[tuple[Teller, Lines]]:
    stream = Lines()
    told = Teller(what, stream, first=first, pause=0.01)
    told.start()
    try:
        yield told, stream
    finally:
        told.close()


def test_code_of_the_user_s_that_runs_meanwhile_is_named() -> None:
    """It may be what does not end."""
    with teller("reading mine.yaml") as (_, stream):
        with theirs("mine.py"), theirs("model 'tinynet'"):
            stream.next()  # may have been on its way
            assert stream.next() == "reading mine.yaml; now model 'tinynet' runs … (0 s)"
        stream.next()
        assert stream.next() == "reading mine.yaml … (0 s)"


def test_it_is_said_again_and_again_what_is_being_done() -> None:
    with teller("reading the ledger") as (told, stream):
        assert stream.next().startswith("reading the ledger … (")
        told.say("drawing figure 1")
        stream.next()  # may have been on its way
        assert stream.next() == "drawing figure 1 … (0 s)"
    assert not told.is_alive()


def test_what_is_quick_says_nothing() -> None:
    with teller("reading the ledger", first=LONGEST) as (_, stream):
        pass
    assert stream.getvalue() == ""


def test_nothing_is_said_while_something_else_speaks(small_plan: Plan) -> None:
    display = PlainDisplay(Console(quiet=True))
    assert doing("small", display).startswith("preparing small")
    display.begin(Progress(small_plan, 0, 9))
    assert doing("small", display) == ""
    display.end()
    assert doing("small", display).startswith("making the reports of small")
    asked = threading.Event()

    def nothing() -> str:
        asked.set()
        return ""

    with teller(nothing) as (_, stream):
        assert asked.wait(LONGEST)
    assert stream.getvalue() == ""


def test_ten_seconds_do_not_pass_without_a_word() -> None:
    assert max(FIRST_SECONDS, PAUSE_SECONDS) < 10


def test_a_stream_that_stands_in_for_standard_error_hears_nothing() -> None:
    assert not is_heard(sys.stderr, terminal=False)
    before = threading.active_count()
    with telling("reading"):
        assert threading.active_count() == before


CODE = """
import sys, threading
from sweep.cli import waiting
waiting.Teller.__init__.__defaults__ = (0.0, 0.01)
asked = threading.Event()
def what():
    asked.set()
    return "working"
terminal = sys.argv[1] == "terminal"
with waiting.telling(what, terminal=terminal):
    asked.wait(0.1 if terminal else 60)
print("done")
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_a_log_hears_it_unless_it_is_meant_for_a_terminal(terminal: bool) -> None:
    command = [sys.executable, "-c", CODE, "terminal" if terminal else ""]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
    assert ("working … (0 s)" in done.stderr) == (not terminal)
