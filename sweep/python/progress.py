"""The progress of a run that Python started: in a notebook's cell, on a terminal, as lines, or not at all."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

from rich.console import Console

from sweep.engine.display import REFRESH_SECONDS, Display, PlainDisplay, Progress, for_console, picture

WIDTH = 100
"""Letters of the picture in a notebook."""
Update = Callable[[str], None]
"""Puts other HTML in the place of what was shown."""


class NotebookDisplay(Display):
    """A picture that stays in its place below the cell; notes stand above it.

    Args:
        console: for the notes.
        show: shows HTML below the cell, and returns what changes it.
    """

    def __init__(self, console: Console, show: Callable[[str], Update]) -> None:
        super().__init__(console)
        self._show, self._update = show, None  # type: Callable[[str], Update], Update | None
        self._last = 0.0

    def begin(self, progress: Progress) -> None:
        """Also put the picture below the cell."""
        super().begin(progress)
        self._update = self._show(_html(progress))

    def tick(self) -> None:
        """Draw the picture again, every :data:`REFRESH_SECONDS` at most."""
        if self._update and time.monotonic() - self._last > REFRESH_SECONDS:
            self._last = time.monotonic()
            self._update(_html(self.progress))

    def end(self) -> None:
        """Also take the picture away; the notes stay."""
        super().end()
        if self._update:
            self._update("")
            self._update = None


def _html(progress: Progress | None) -> str:
    """The terminal's picture, in a notebook's letters and colours."""
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_jupyter=False, force_terminal=True)
    console.print(picture(progress))
    return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.2">{code}</pre>')


def _in_cell(html: str) -> Update:
    """Show HTML below the cell that runs."""
    from IPython.display import HTML, display

    handle = display(HTML(html), display_id=True)
    return lambda changed: handle.update(HTML(changed))


def display_for(progress: bool, local: bool) -> Display:
    """What shows a run's progress here.

    Args:
        progress: whether anything is shown.
        local: whether it trains in this process, where a debugger may need the terminal.
    """
    console = Console(quiet=not progress)
    if not progress:
        return PlainDisplay(console)
    if console.is_jupyter:
        return NotebookDisplay(console, _in_cell)
    return PlainDisplay(console) if local else for_console(console)
