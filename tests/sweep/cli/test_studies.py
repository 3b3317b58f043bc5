"""`sweep studies`, as it is typed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sweep.cli.app import app, main
from sweep.cli.studies import line
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan, Slot
from sweep.results.studies import alike
from tests.support.boards import better_with_k, searched_plan
from tests.support.examples import begin, play
from tests.support.simulation import World, driver, run
from tests.sweep.search.test_looking_back import accuracy, plan_of, uneven

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


@pytest.mark.slow(2)
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


@pytest.mark.slow(2)
def test_what_a_search_has_paused_is_told_while_it_goes_on_and_in_the_end(root: Root) -> None:
    plan = plan_of(sampler="curves", pauses=True, trials=20)
    world = World(root.sweep(plan.name).folder, uneven)
    with driver(world, plan, workers=2) as one:
        while not any(search.paused for search in one.searches.all):
            while len(one.queue.live) < 2 and one.start() is not None:
                pass
            one.step(one.queue.live[0].key)
    told = typed("--root", str(root.path)).stdout
    assert "1 trial 1 time, 0 of them taken up again; 1 paused now" in told
    assert "after epoch 1: still paused" in told
    (row,) = json.loads(typed("small", "--root", str(root.path), "--format", "json").stdout)
    assert (row["paused"], row["pauses"]) == (1, [{"number": 0, "epoch": 1, "resumed": False}])
    run(world, plan, random.Random(0), workers=2)
    told = typed("--root", str(root.path)).stdout
    (row,) = json.loads(typed("small", "--root", str(root.path), "--format", "json").stdout)
    again = {one["number"] for one in row["pauses"] if one["resumed"]}
    assert row["paused"] == 0 and again
    assert f"{len(row['pauses'])} times, {len(again)} of them taken up again" in told
    assert "taken up again, and finished" in told
    assert "paused then, and not worth taking up again in the end" in told


def test_searches_that_pause_stand_beside_others_that_do_not() -> None:
    rows = alike([{"search": "kd", "running": 1}, {"search": "dhkd", "running": 0, "paused": 2}])
    assert rows == [{"search": "kd", "running": 1, "paused": 0}, {"search": "dhkd", "running": 0, "paused": 2}]
    assert alike([]) == []


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


def racing(root: Root, trials: int | None, behind: float = 0.0) -> tuple[str, dict[str, Any]]:
    """A sweep whose three best race: what is told of it as text, and its race as JSON. The first of the grid's points
    is `behind`, but with the search's seed."""
    plan = searched_plan(seeds=2, search={"trials": 4, "sampler": "grid", "pruner": "none", "confirm": 3, "race": 4})

    def accuracy(slot: Slot) -> float:
        worst = slot.varied.get("k") == 3 and slot.varied.get("kl") == "forward" and slot.seed > 0
        return 70.0 + random.Random(f"{slot.varied} {slot.seed}").random() - (behind if worst else 0.0)

    with Ledger(root.sweep(plan.name).ledger) as ledger:
        play(ledger, plan, accuracy, trials=trials)
    (row,) = json.loads(typed("--root", str(root.path), "--format", "json").stdout)
    return " ".join(typed("--root", str(root.path)).stdout.split()), row["race"]


def test_a_race_among_equals_says_that_they_are_not_told_apart(root: Root) -> None:
    told, race = racing(root, None)
    assert (race["over"], race["seeds"], race["trials"], race["saved"], race["fallen"]) == (True, 4, 12, 0, [])
    assert [one["mean"] for one in race["left"]] == sorted((one["mean"] for one in race["left"]), reverse=True)
    first = race["left"][0]
    assert f"race not told apart over 4 seeds: k={first['params']['k']} kl={first['params']['kl']}" in told
    assert "(12 trials, 0 saved)" in told


def test_a_race_says_who_was_given_up_and_what_that_saved(root: Root) -> None:
    told, race = racing(root, None, behind=30.0)
    (fell,) = race["fallen"]
    assert (fell["params"], fell["seeds"]) == ({"k": 3, "kl": "forward"}, 3)
    assert (race["trials"], race["saved"], len(race["left"])) == (3 * 3 + 2, 1, 2)
    assert f"k=3 kl=forward given up after 3 seeds: {fell['difference']:+.2f} to the highest mean, p" in told
    assert "(11 trials, 1 saved)" in told


def test_a_race_that_goes_on_says_how_far_it_is(root: Root) -> None:
    told, race = racing(root, 4 + 3 + 1)
    assert (race["over"], race["seeds"], race["trials"]) == (False, 2, 6)
    assert "race 3 of 3 are in it, with seed 2 of 4 (6 trials)" in told


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
