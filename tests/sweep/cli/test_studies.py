"""`sweep studies`, as it is typed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sweep.cli.app import app, main
from sweep.cli.studies import line
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.boards import better_with_k, searched_plan
from tests.support.examples import begin, play
from tests.support.simulation import World, run
from tests.sweep.search.test_looking_back import accuracy, plan_of

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


def test_a_search_that_looks_ahead_says_why_it_gave_up_and_whether_to_go_on(root: Root) -> None:
    told = typed(ahead_of(root), "--root", str(root.path)).stdout
    (row,) = json.loads(typed("small", "--root", str(root.path), "--format", "json").stdout)
    assert len(row["given_up"]) == row["pruned"] > 2
    last = row["given_up"][-1]
    assert last["gain_per_epoch"] < last["instead_gain_per_epoch"]
    assert f"foretold {last['end']['mean']:.1f} ± {last['end']['deviation']:.1f}" in told
    assert f"instead  {last['instead_end']['mean']:.1f} ± {last['instead_end']['deviation']:.1f}" in told
    steps = [step["best"] for step in row["best_so_far"]]
    assert steps == sorted(steps) and f"{steps[-1]:.2f}" == f"{float(row['best']):.2f}"
    assert sum(row["importance"].values()) == pytest.approx(1.0)
    assert f"expected to add {row['promises']:.2f} points" in told
    assert (row["noise"], row["noise_seeds"]) == (pytest.approx(0.1 / 2**0.5, abs=1e-4), 2), "seeds 1 and 2, 0.1 apart"
    assert ("likely to help" in told) == (row["promises"] > row["noise"])


def ahead_of(root: Root) -> str:
    """A sweep that looked ahead, with three seeds a tenth of a point apart; its name."""
    plan = plan_of(sampler="curves", seeds=3)
    run(World(root.sweep(plan.name).folder, accuracy), plan, random.Random(0), workers=1)
    return plan.name


def test_of_other_searches_nothing_is_promised(searched: Root) -> None:
    assert "more trials" not in typed("--root", str(searched.path)).stdout
    (row,) = json.loads(typed("--root", str(searched.path), "--format", "json").stdout)
    assert (row["promises"], row["promised_by"], row["noise"]) == (None, None, None)
    assert "4 trials are known to their end, of 10 that it takes to tell" in typed("--root", str(searched.path)).stdout


def test_a_rule_that_compares_says_what_the_trial_should_have_had(root: Root) -> None:
    plan = plan_of(sampler="random", pruner="asha", grace=1)
    run(World(root.sweep(plan.name).folder, accuracy), plan, random.Random(0), workers=1)
    told = typed("--root", str(root.path)).stdout
    (row,) = json.loads(typed("--root", str(root.path), "--format", "json").stdout)
    assert f"not among the best 1/3 of those that had come so far, who had {row['given_up'][-1]['bar']:.2f}" in told


@pytest.mark.parametrize("how", ["csv", "markdown", "latex"])
def test_flat_forms_have_a_line_a_search(searched: Root, how: str) -> None:
    told = typed("--root", str(searched.path), "--format", how).stdout
    assert "importance" in told and told.count("gdkd") == 1


def test_the_line_of_the_best_rises_where_the_best_does() -> None:
    drawn = line([(6, 50.0), (12, 60.0), (24, 70.0)], 24)
    assert drawn == "·" * 5 + "▁" * 6 + drawn[11] * 12 + "█"
    assert "▁" < drawn[11] < "█"
    assert line([(24, 50.0)], 24) == "·" * 23 + "█"


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
