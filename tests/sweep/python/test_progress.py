"""What shows the progress of a run that Python started."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sweep.engine import display
from sweep.engine.display import PlainDisplay, Progress
from sweep.plan.slots import Plan
from sweep.python.progress import NotebookDisplay, Update, display_for
from tests.support.examples import epoch_body, job_of, slot_of


@pytest.fixture
def cell() -> list[str]:
    """What a cell shows, one thing after the other in the same place."""
    return []


def test_a_notebook_shows_one_picture_that_changes_and_goes(
    small_plan: Plan, cell: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.python.progress.REFRESH_SECONDS", 0.0)
    notes = io.StringIO()

    def show(html: str) -> Update:
        cell.append(html)
        return cell.append

    shown = NotebookDisplay(Console(file=notes, width=200), show)
    shown.tick()
    assert cell == [], "nothing before trials start"
    shown.begin(Progress(small_plan, 0, small_plan.epochs))
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    shown.started(job)
    shown.epoch(job, epoch_body(1, 61.25))
    shown.tick()
    shown.ended(job, "failed", {"reason": "ValueError: no", "again": False})
    shown.tick()
    shown.end()
    assert cell[0].startswith("<pre")
    assert "0/9 trials" in cell[0]
    assert "61.25" in cell[1]
    assert "1/9 trials, 1 failed" in cell[2]
    assert cell[3:] == [""]
    assert "ValueError: no" in notes.getvalue()


def test_the_picture_is_the_terminal_s(small_plan: Plan) -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(display.picture(Progress(small_plan, 2, 3)))
    assert "2/9 trials" in console.file.getvalue()  # type: ignore[attr-defined]
    assert display.picture(None) == display.Text()


def test_no_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    display_for(progress=False, local=True).note("a trial has failed")
    assert capsys.readouterr().out == ""


def test_lines_where_nobody_looks_and_where_a_debugger_may(capsys: pytest.CaptureFixture[str]) -> None:
    for local in (True, False):
        shown = display_for(progress=True, local=local)
        assert isinstance(shown, PlainDisplay)
        shown.note("a trial has failed")
    assert capsys.readouterr().out == "a trial has failed\n" * 2
