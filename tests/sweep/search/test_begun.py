"""A search that an earlier release has begun goes on as that release would have gone on; others take today's rules."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweep.engine.display import PlainDisplay
from sweep.exit_codes import DONE
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.preview import look_ahead
from sweep.run import run_sweep
from sweep.search import begun
from sweep.search.begun import as_begun
from tests.support.examples import begin, small_spec
from tests.support.simulation import World, run
from trainers.errors import InputError

TRIALS = 9
SPACE = {"w2": {"choice": [1.0, 2.0, 4.0, 8.0]}, "k": {"choice": [7, 5]}}


def sections(sampler: str = "tpe", trials: int = TRIALS) -> dict[str, Any]:
    search = {"sampler": sampler, "trials": trials, "pruner": "none", "deterministic": True}
    recipe = {"base": "digits", "epochs": 1, "warmup_epochs": 0, "samples_per_class": 8}
    return {"methods": ["kd", {"gdkd": SPACE}], "recipe": recipe, "search": search, "seeds": 1}


def plan_of(sampler: str = "tpe", trials: int = TRIALS) -> Plan:
    return build_plan(small_spec(**sections(sampler, trials)))


def as_planned_before(plan: Plan) -> Plan:
    """As an earlier release has planned it, and noted it in its ledger."""
    content = plan.to_json()
    known = ("trials", "sampler", "metrics", "pruner", "grace", "reduction", "confirm", "seed", "deterministic")
    for cell in content["cells"]:
        cell["search"] = {name: cell["search"][name] for name in known}
    return Plan.from_json(content)


def ran(folder: Path, plan: Plan) -> list[dict[str, Any]]:
    """What the search has asked for once the plan has run to its end."""
    world = World(folder, lambda job, epoch: 50.0 + job.trial.method.params["w2"] if "w2" in job.slot.varied else 40.0)
    run(world, plan, random.Random(0), workers=1)
    with Ledger(world.paths.ledger) as ledger:
        return [event.body["params"] for event in ledger.events("ask")]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_search_of_before_goes_on_as_it_was_begun(sampler: str, tmp_path: Path) -> None:
    then = as_planned_before(plan_of(sampler, trials=20))
    whole = ran(tmp_path / "then", then)
    assert len(whole) == 20 > len({str(point) for point in whole}), "the samplers of before came back to points"
    begun = ran(tmp_path / "on", as_planned_before(plan_of(sampler, trials=5)))
    assert begun == whole[:5]
    with Ledger(tmp_path / "on" / "ledger.db") as ledger:
        now = as_begun(plan_of(sampler, trials=20), ledger)
        assert all("rules" not in event.body for event in ledger.events("ask"))
    assert "begins" in plan_of(sampler).cells[0].search
    assert now == then
    assert now.is_noted_as(json.loads(json.dumps(then.to_json())))
    assert now.cells[0].budget == 20
    assert ran(tmp_path / "on", now) == whole


def test_a_search_that_begins_now_goes_on_by_todays_rules(tmp_path: Path) -> None:
    plan = plan_of("tpe", trials=8)
    whole = ran(tmp_path / "whole", plan)
    assert len(whole) == len({str(point) for point in whole}) == plan.cells[0].budget == 8
    assert whole[0] == plan.cells[0].search["begins"] == {"w2": 8.0, "k": 5}
    assert ran(tmp_path / "on", plan_of("tpe", trials=3)) == whole[:3]
    with Ledger(tmp_path / "on" / "ledger.db") as ledger:
        assert [event.body.get("rules") for event in ledger.events("ask")] == [2, None, None]
        assert as_begun(plan, ledger) == plan
    assert ran(tmp_path / "on", plan) == whole


def test_what_was_planned_before_but_not_begun_takes_todays_rules(tmp_path: Path) -> None:
    plan = plan_of()
    assert as_begun(plan, None) == plan
    with Ledger(tmp_path / "ledger.db") as ledger:
        begin(ledger, as_planned_before(plan))
        assert as_begun(plan, ledger) == plan


def test_each_search_of_a_plan_has_its_own_beginning(tmp_path: Path) -> None:
    ran(tmp_path, as_planned_before(plan_of()))
    two = build_plan(small_spec(**sections() | {"methods": [{"gdkd": SPACE}, {"dhkd": {"alpha": {"choice": [1, 2]}}}]}))
    with Ledger(tmp_path / "ledger.db") as ledger:
        old, new = as_begun(two, ledger).cells
    assert (old.rules, new.rules) == (1, 2)
    assert (old.budget, new.budget) == (TRIALS, 2)
    assert old.search == as_planned_before(two).cells[0].search


def test_what_a_later_release_has_begun_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(tmp_path, plan_of(trials=2))
    with Ledger(tmp_path / "ledger.db") as ledger:
        monkeypatch.setattr(begun, "KNOWN", (1, 2, 3, 4))  # as a later release has it
        assert [cell.rules for cell in as_begun(plan_of(), ledger).cells] == [2]
        monkeypatch.setattr(begun, "KNOWN", (1,))
        with pytest.raises(InputError, match=r"was begun by a later release of sweep, by rules that this one does not"):
            as_begun(plan_of(), ledger)


def looking_ahead(trials: int, *, pauses: bool) -> Plan:
    search = {"sampler": "curves", "trials": trials, "deterministic": True, "pauses": pauses}
    recipe = {"base": "digits", "epochs": 9, "samples_per_class": 8}
    return build_plan(small_spec(**sections() | {"search": search, "recipe": recipe}))


@pytest.mark.slow(1)
@pytest.mark.parametrize("pauses", [True, False])
def test_a_search_that_pauses_goes_on_to_do_so_and_no_other_begins_to(tmp_path: Path, pauses: bool) -> None:
    """Whatever the spec says by then."""
    whole = ran(tmp_path / "whole", looking_ahead(8, pauses=pauses))
    ran(tmp_path / "on", looking_ahead(4, pauses=pauses))
    with Ledger(tmp_path / "on" / "ledger.db") as ledger:
        now = as_begun(looking_ahead(8, pauses=not pauses), ledger)
        assert now == as_begun(looking_ahead(8, pauses=pauses), ledger) == looking_ahead(8, pauses=pauses)
        assert [cell.pauses for cell in now.cells] == [pauses]
        assert [event.body.get("rules") for event in ledger.events("ask")] == [3 if pauses else 2, None, None, None]
    assert len(ran(tmp_path / "on", now)) == len(whole) == 8
    with Ledger(tmp_path / "on" / "ledger.db") as ledger:
        assert bool(list(ledger.events("paused"))) is pauses


# -- what plans and runs it -------------------------------------------------------------------------------------------


@pytest.fixture
def begun_before(root: Root) -> Root:
    """A root in which a search has asked four times, as an earlier release does."""
    ran(root.sweep("small").folder, as_planned_before(plan_of(trials=4)))
    return root


def test_a_preview_counts_by_the_rules_of_then(begun_before: Root) -> None:
    ahead = look_ahead(small_spec(**sections(trials=20)), begun_before)
    assert [cell.budget for cell in ahead.plan.cells] == [20]
    assert [row["trials"] for row in ahead.rows if row["stage"] == "search"] == [20]


def test_a_run_notes_the_plan_that_an_earlier_release_would_have_noted(
    begun_before: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.session.environment", lambda *_: None)
    monkeypatch.setattr("sweep.run._run_and_tell", lambda *_: DONE)
    display, uri = PlainDisplay(Console(quiet=True)), f"sqlite:///{begun_before.path}/mlflow.db"
    assert run_sweep(small_spec(**sections(trials=20)), begun_before, uri, display) == DONE
    with Ledger(begun_before.sweep("small").ledger) as ledger:
        noted = ledger.latest("plan")
    assert noted is not None
    (cell,) = noted.body["cells"]
    assert cell["search"] == as_planned_before(plan_of(trials=20)).cells[0].search | {"metrics": ["val_acc"]}
