"""`sweep studies`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sweep.cli.app import app, main
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.boards import better_with_k, searched_plan
from tests.support.examples import begin, play

TRIED = 4
"""Of six: the grid's k = 2 and 3, each with both directions."""
BEST = {"tried": "4/6", "finished": 4, "pruned": 0, "failed": 0, "running": 0, "best": "72.5", "with": "k=3 kl=both"}
"""On the validation set, one below the test set's."""


@pytest.fixture
def searched(root: Root) -> Root:
    """A root whose sweep has searched a part."""
    plan = searched_plan(seeds=1)
    with Ledger(root.sweep(plan.name).ledger) as ledger:
        play(ledger, plan, better_with_k, trials=TRIED)
    return root


def typed(*words: str) -> Result:
    done = CliRunner().invoke(app, ["studies", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_a_search_is_shown_with_its_states_and_its_best(searched: Root) -> None:
    (row,) = json.loads(typed("small", "--root", str(searched.path), "--format", "json").stdout)
    assert {name: row[name] for name in BEST} == BEST
    assert (row["pair"], row["search"]) == ("resnet20→resnet8", "gdkd")


def test_without_a_name_it_is_the_latest_sweeps_and_a_table(searched: Root) -> None:
    table = typed("--root", str(searched.path)).stdout
    assert all(str(BEST[name]) in table for name in ("tried", "best", "with"))


def test_a_storage_gets_the_trials_that_have_ended(searched: Root, tmp_path: Path) -> None:
    journal = tmp_path / "studies.log"
    words = ("--root", str(searched.path), "--storage", str(journal))
    assert f"{TRIED} new trials in {journal}" in typed(*words).stderr
    assert journal.exists()
    assert f"0 new trials in {journal}" in typed(*words).stderr


def test_a_sweep_that_searches_nothing_has_none(
    root: Root, ledger: Ledger, small_plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(ledger, small_plan)
    with pytest.raises(SystemExit) as end:
        main(["studies", "--root", str(root.path)])
    assert end.value.code == 2
    assert "sweep 'small' searches nothing" in capsys.readouterr().err
