"""A finished sweep in a folder that cannot be written: it can be looked at all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sweep.cli.app import app, main
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.examples import begin, record
from tests.support.read_only import archived, powerless


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.fixture
def archive(root: Root, small_plan: Plan) -> Iterator[Path]:
    """A root that holds a finished sweep, and can be read alone."""
    with Ledger(root.sweep("small").ledger) as ledger:
        begin(ledger, small_plan)
        for slot in small_plan.slots:
            record(ledger, small_plan, slot, [80.0, 81.0 + slot.seed])
    with archived(root.path) as path:
        yield path


def imported(root: Root, *words: str) -> None:
    """Run a command once with all rights: somebody without any may not be able to read the interpreter's modules."""
    assert typed(*words, "--root", str(root.path)).exit_code == 0


@pytest.mark.parametrize("words", [["status"], ["leaderboard"], ["list", "sweeps"]], ids=" ".join)
def test_it_is_shown(root: Root, archive: Path, words: list[str]) -> None:
    imported(root, *words)
    with powerless():
        done = typed(*words, "--root", str(archive))
    assert done.exit_code == 0, done.output
    assert "small" in done.output


@pytest.mark.slow(5)
def test_its_report_goes_where_there_is_room(root: Root, archive: Path) -> None:
    imported(root, "report")
    elsewhere = archive.parent / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    with powerless():
        done = typed("report", "--root", str(archive), "--output", str(elsewhere / "page.html"))
    assert done.exit_code == 0, done.output
    assert (elsewhere / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert len(list((elsewhere / "page-figures").glob("*.pdf"))) == 3
    assert done.output.split() == ["report", str(elsewhere / "page.html"), "figures", str(elsewhere / "page-figures")]


@pytest.mark.parametrize("verb", ["report", "export"])
def test_what_would_be_written_into_it_is_refused_with_the_way_out(
    root: Root, archive: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    imported(root, "status")
    with powerless(), pytest.raises(SystemExit) as end:
        main([verb, "--root", str(archive)])
    assert end.value.code == 2
    assert f"{archive / 'sweeps' / 'small'} cannot be written; --output FILE writes" in capsys.readouterr().err
