"""`sweep leaderboard` and `sweep export`, as they are typed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from sweep.cli.app import app, main
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.tracking import sync
from tests.support.examples import begin, record


def typed(*words: str) -> Result:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def told(root: Root, ledger: Ledger, small_plan: Plan) -> Root:
    """A root with a finished sweep."""
    begin(ledger, small_plan)
    for place, slot in enumerate(small_plan.slots):
        record(ledger, small_plan, slot, [80.0, 81.0 + place])
    return root


def test_parquet_goes_to_a_file_and_not_to_a_terminal(
    told: Root, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = typed("leaderboard", "--root", str(told.path), "--format", "parquet")
    table = pd.read_parquet(io.BytesIO(done.stdout_bytes))
    assert table["label"].tolist() == ["scratch", "kd", "dhkd α=0.5", "dhkd α=1"]
    assert table["n"].tolist() == [2, 2, 2, 2]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", "--root", str(told.path), "--format", "parquet"])
    assert end.value.code == 2
    assert "--format parquet > leaderboard.parquet" in capsys.readouterr().err


def test_published_figures_are_shown_when_asked_for(told: Root) -> None:
    assert "No published figure is known" in typed("leaderboard", "--published", "--root", str(told.path)).output
    assert "No published figure is known" not in typed("leaderboard", "--root", str(told.path)).output


def test_an_export_lies_in_the_sweeps_folder_or_where_it_is_wanted(told: Root, tmp_path: Path) -> None:
    done = typed("export", "small", "--root", str(told.path))
    path = told.sweep("small").epochs
    assert done.output == f"18 epochs in {path}\n"
    assert len(pd.read_parquet(path)) == 18
    typed("export", "--root", str(told.path), "--output", str(tmp_path / "here.parquet"))
    assert (tmp_path / "here.parquet").read_bytes() == path.read_bytes()


@pytest.mark.slow(1)
@pytest.mark.parametrize("words", [["--from-mlflow"], ["small"]])
def test_a_table_is_read_from_the_server_that_is_named(
    told: Root, new_store: Callable[[str], str], tmp_path: Path, words: list[str]
) -> None:
    uri = new_store("mlflow.db")
    sync.sync(told, "small", uri)
    here = typed("leaderboard", "--root", str(told.path), "--format", "markdown").output
    away = ["--root", str(tmp_path / "elsewhere"), "--tracking-uri", uri]
    assert typed("leaderboard", *words, *away, "--format", "markdown").output == here
