"""`warm_start: NAME`: a search begins with the best points that an earlier sweep below the root has found."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from search_spaces.loader import parse_spec
from sweep.cli.app import app, main
from sweep.exit_codes import WRONG_INPUT
from sweep.layout import Root
from sweep.ledger.snapshot import kept
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.preview import look_ahead
from sweep.search.learned import POINTS
from sweep.search.warm_start import first_points, warm_started
from tests.support.examples import SPEC, begin
from tests.support.simulation import World, run
from tests.sweep.search.test_simulated import accuracy, asks, events, goodness
from trainers.errors import InputError

EASY, HARD, THIRD = "resnet20→resnet8", "resnet14→resnet8", "resnet32→resnet8"
SPACE = {"w2": {"range": [1, 8], "step": 1}, "k": {"choice": [3, 5, 7]}}
TRIALS = 5


def text(name: str, pairs: tuple[str, ...] = (EASY, HARD), space: Any = SPACE, **search: Any) -> str:
    sections = {
        "name": name,
        "pairs": list(pairs),
        "methods": ["kd", {"gdkd": space}],
        "recipe": {"base": "digits", "epochs": 3, "samples_per_class": 8},
        "seeds": 1,
        "search": {"trials": TRIALS, "pruner": "none"} | search,
    }
    return yaml.safe_dump(SPEC | sections, allow_unicode=True, sort_keys=False)


def plan_of(name: str, *args: Any, **search: Any) -> Plan:
    return build_plan(parse_spec(text(name, *args, **search), f"{name}.yaml"))


def world_of(root: Root, name: str) -> World:
    return World(root.sweep(name).folder, accuracy)


@pytest.fixture
def before(root: Root) -> Root:
    """A root with a sweep `before`, which has searched two pairs."""
    run(world_of(root, "before"), plan_of("before"), random.Random(0), workers=2)
    return root


def best_of(root: Root, plan: Plan, pair: str) -> list[dict[str, Any]]:
    """The best points of a sweep's search, which has pruned none."""
    (cell,) = [cell.id for cell in plan.cells if cell.pair == pair]
    tried = [params for _, params, _ in asks(world_of(root, plan.name))[cell]]
    return sorted(tried, key=lambda params: -goodness(pair, params))


def learned(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """By pair."""
    return {cell.pair: cell.search["learned"] for cell in plan.cells}


def points(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    return {pair: [one["params"] for one in some] for pair, some in learned(plan).items()}


def test_a_pair_begins_with_its_own_best_and_a_new_one_with_the_best_of_each_other(before: Root) -> None:
    known = plan_of("before")
    plan = warm_started(plan_of("after", (EASY, HARD, THIRD), warm_start="before"), before)
    easy, hard = best_of(before, known, EASY), best_of(before, known, HARD)
    found = points(plan)
    assert (found[EASY], found[HARD]) == (easy[:POINTS], hard[:POINTS])
    in_turn = [easy[0], hard[0], easy[1], hard[1], easy[2]]
    assert found[THIRD] == [one for place, one in enumerate(in_turn) if one not in in_turn[:place]][:POINTS]
    first = learned(plan)[HARD][0]
    assert (first["sweep"], first["pair"]) == ("before", HARD)
    assert first["value"] == pytest.approx(20 + goodness(HARD, first["params"]) / 3)


def test_the_search_tries_them_before_any_other(before: Root) -> None:
    plan = warm_started(plan_of("after", warm_start="before"), before)
    world = world_of(before, "after")
    run(world, plan, random.Random(1), workers=3, kills=4)
    for cell in plan.cells:
        tried = [params for _, params, _ in asks(world)[cell.id]]
        assert tried[:POINTS] == points(plan)[cell.pair]
        assert len(tried) == TRIALS
    noted = {event.body["cell"]: event.body["learned"] for event in events(world, "ask") if event.body["number"] == 0}
    assert noted == {cell.id: cell.search["learned"] for cell in plan.cells}


def test_the_trials_of_a_sweep_are_the_same_with_and_without_it(before: Root) -> None:
    plan = warm_started(plan_of("after", warm_start="before"), before)
    plain = plan_of("after")
    assert [cell.id for cell in plan.cells] == [cell.id for cell in plain.cells]
    point = {"w2": 3.0, "k": 5}
    for one, other in zip(plan.cells, plain.cells, strict=True):
        assert one.slot(point, "search", 0) == other.slot(point, "search", 0)
    assert warm_started(plain, before) is plain


def test_points_outside_the_present_range_are_left_out(before: Root) -> None:
    narrow = SPACE | {"w2": {"range": [5, 8], "step": 0.5}}
    plan = warm_started(plan_of("after", (EASY, HARD), narrow, warm_start="before"), before)
    inside = {
        pair: [one for one in best_of(before, plan_of("before"), pair) if one["w2"] >= 5] for pair in (EASY, HARD)
    }
    assert any(inside.values())
    for pair, other in ((EASY, HARD), (HARD, EASY)):
        assert points(plan)[pair] == (inside[pair] or inside[other])[:POINTS]
    none = SPACE | {"w2": {"choice": [1.25, 1.75]}}
    plan = warm_started(plan_of("after", (EASY,), none, warm_start="before"), before)
    assert learned(plan) == {EASY: []}
    (line,) = first_points(plan, None)
    assert line == f"{EASY} · gdkd tuned begins as ever: sweep 'before' has nothing for it in its range"


@pytest.mark.parametrize("gone", [True, False])
def test_what_was_noted_stays_when_the_other_sweep_is_gone_or_has_found_more(before: Root, gone: bool) -> None:
    spec = plan_of("after", warm_start="before")
    plan = warm_started(spec, before)
    with Ledger(before.sweep("after").ledger) as ledger:
        begin(ledger, plan)  # killed before any search has begun
    if gone:
        shutil.rmtree(before.sweep("before").folder)
    else:
        run(world_of(before, "before"), plan_of("before", trials=TRIALS + 6), random.Random(0), workers=2)
    again = warm_started(spec, before)
    assert again == plan
    run(world_of(before, "after"), again, random.Random(0), workers=2)
    grown = plan_of("after", warm_start="before", trials=TRIALS + 2)
    assert learned(warm_started(grown, before)) == learned(plan)
    world = world_of(before, "after")
    tried = asks(world)
    run(world, warm_started(grown, before), random.Random(0), workers=2)
    assert {cell: some[:TRIALS] for cell, some in asks(world).items()} == tried
    if gone:
        with pytest.raises(InputError, match="no sweep 'before'"):
            warm_started(plan_of("after", (EASY, HARD, THIRD), warm_start="before"), before)


def test_a_search_that_has_begun_without_goes_on_as_it_was_begun(before: Root) -> None:
    world = world_of(before, "after")
    run(world, plan_of("after"), random.Random(0), workers=2)
    plan = warm_started(plan_of("after", warm_start="before", trials=TRIALS + 1), before)
    assert learned(plan) == {EASY: [], HARD: []}
    with Ledger(world.paths.ledger) as ledger:
        assert first_points(plan, ledger) == [
            f"{pair} · gdkd tuned has begun without another search's points" for pair in (EASY, HARD)
        ]


@pytest.mark.parametrize(
    ("name", "space", "message"),
    [
        ("nowhere", SPACE, "search.warm_start: there is no sweep 'nowhere' below "),
        ("after", SPACE, "search.warm_start: 'after' is this sweep itself; name an earlier one"),
        (
            "before",
            {"w2": SPACE["w2"]},
            "search.warm_start: sweep 'before' has searched no method over the same fields: there gdkd (k, w2), here"
            " gdkd (w2)",
        ),
    ],
)
def test_a_sweep_that_cannot_be_learned_from_is_refused(
    before: Root, name: str, space: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = parse_spec(text("after", (EASY,), space, warm_start=name), "after.yaml")
    with pytest.raises(InputError) as refused:
        look_ahead(spec, before)
    assert str(refused.value).startswith(message)
    file = tmp_path / "after.yaml"
    file.write_text(text("after", (EASY,), space, warm_start=name), "utf-8")
    for verb in ("plan", "run"):
        with pytest.raises(SystemExit) as ended:
            main([verb, str(file), "--root", str(before.path)])
        assert ended.value.code == WRONG_INPUT
        assert message.split(" below ")[0] in " ".join(capsys.readouterr().err.split())
    assert "after" not in before.names()


def test_plan_and_studies_say_where_the_points_came_from(before: Root) -> None:
    spec = parse_spec(text("after", (EASY,), warm_start="before"), "after.yaml")
    best = best_of(before, plan_of("before"), EASY)[:POINTS]
    ahead = look_ahead(spec, before)
    each = [f"w2={one['w2']:g} k={one['k']} ({70 + goodness(EASY, one) / 3:.2f})" for one in best]
    told = f"{', '.join(each)} under {EASY} in sweep 'before'"
    assert f"{EASY} · gdkd tuned begins with {told}\n" in ahead.text
    run(world_of(before, "after"), ahead.plan, random.Random(0), workers=1)
    shutil.rmtree(before.sweep("before").folder)
    assert told in look_ahead(spec, before).text
    printed = CliRunner().invoke(app, ["studies", "after", "--root", str(before.path)], catch_exceptions=False).stdout
    assert f"begins with {told}" in " ".join(printed.split())


def test_a_sweep_of_the_storage_is_fetched(tmp_path: Path) -> None:
    storage = str(tmp_path / "storage")
    there = Root.at(tmp_path / "there", storage)
    run(world_of(there, "before"), plan_of("before"), random.Random(0), workers=2)
    with kept(there, "before", print):
        pass
    here = Root.at(tmp_path / "here", storage)
    spec = plan_of("after", warm_start="before")
    assert learned(warm_started(spec, here)) == learned(warm_started(spec, there))
    with pytest.raises(InputError, match="no sweep 'elsewhere'"):
        warm_started(plan_of("after", warm_start="elsewhere"), here)
