"""A spec edited in any way gives the table that a fresh root gives, row by row, through the real ledger and queue."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.job import Job
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.results.board import leaderboard
from tests.support.examples import epoch_body, small_spec
from tests.support.simulation import World, break_off, run

Content = dict[str, Any]
METHODS: list[Any] = [
    "scratch",
    "kd",
    {"kd": {"temperature": [2, 4]}},
    {"dhkd": {"alpha": 1}},
    {"dhkd": {"alpha": [0.5, 1, 2]}},
    {"gdkd": {"w2": {"range": [1, 4], "step": 1}}},
    {"scratch": {}},
]
PAIRS = ["resnet20 -> resnet8", "resnet14 -> resnet8", "resnet20 -> resnet14"]
EDITS = 16


class Epochs(World):
    """Accuracies that go up and down, and a validation accuracy only where something is held out."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, curve)

    def _epochs(self, job: Job, first: int) -> dict[str, Any]:
        held_out = job.slot.config["recipe"]["val_fraction"] > 0
        numbers = range(first, self.done(job.key) + 1)
        return {"epochs": [epoch_body(n, curve(job, n), curve(job, n, "val") if held_out else None) for n in numbers]}


def curve(job: Job, epoch: int, of: str = "test") -> float:
    return round(random.Random(f"{job.key} {epoch} {of}").uniform(50, 90), 2)


def first_spec(chance: random.Random) -> Content:
    return {
        "methods": ["kd", *chance.sample(METHODS[2:5], 1), *chance.sample(METHODS[:1], chance.randint(0, 1))],
        "pairs": chance.sample(PAIRS, chance.randint(1, 2)),
        "seeds": chance.randint(1, 3),
        "recipe": {"base": "digits", "epochs": 3, "val_fraction": 0.1},
        "search": {"trials": 3, "sampler": "random", "pruner": "none", "confirm": chance.randint(1, 2)},
        "protocol": "validation",
        "baseline": "kd",
    }


# -- edits ------------------------------------------------------------------------------------------------------------


def add_method(spec: Content, chance: random.Random) -> None:
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in spec["methods"]]
    new = chance.choice([{"dkd": {"beta": [1, 8]}}, METHODS[5], "scratch", "nkd"])
    if (next(iter(new)) if isinstance(new, dict) else new) not in names:
        spec["methods"].insert(chance.randint(0, len(spec["methods"])), new)


def remove_method(spec: Content, chance: random.Random) -> None:
    others = [entry for entry in spec["methods"] if entry != "kd"]
    if others:
        spec["methods"].remove(chance.choice(others))


def reorder(spec: Content, chance: random.Random) -> None:
    chance.shuffle(spec["methods"])
    chance.shuffle(spec["pairs"])


def add_pair(spec: Content, chance: random.Random) -> None:
    new = [pair for pair in PAIRS if pair not in spec["pairs"]]
    if new:
        spec["pairs"].insert(chance.randint(0, len(spec["pairs"])), chance.choice(new))


def remove_pair(spec: Content, chance: random.Random) -> None:
    if len(spec["pairs"]) > 1:
        spec["pairs"].remove(chance.choice(spec["pairs"]))


def regrid(spec: Content, chance: random.Random) -> None:
    """A fixed value becomes a grid, or a grid grows or shrinks."""
    for entry in spec["methods"]:
        if isinstance(entry, dict) and "alpha" in entry.get("dhkd", {}):
            entry["dhkd"]["alpha"] = chance.sample([0.5, 1, 2, 5], chance.randint(1, 4))


def grow_recipe(spec: Content, chance: random.Random) -> None:
    """Values are added behind those of the recipe."""
    before = spec["recipe"]["epochs"]
    listed = before if isinstance(before, list) else [before]
    spec["recipe"]["epochs"] = [*listed, *chance.sample([n for n in (4, 5, 6) if n not in listed], 1)][:3]


def hold_out(spec: Content, chance: random.Random) -> None:
    if spec["protocol"] == "validation":
        spec["recipe"]["val_fraction"] = chance.choice([0.1, 0.2])


def protocol(spec: Content, chance: random.Random) -> None:
    spec["protocol"] = "paper" if spec["protocol"] == "validation" else "validation"
    spec["recipe"].pop("val_fraction", None)
    if spec["protocol"] == "validation":
        spec["recipe"]["val_fraction"] = chance.choice([0.1, 0.2])


def more_seeds(spec: Content, chance: random.Random) -> None:
    spec["seeds"] = chance.randint(2 if spec["search"].get("race") else 1, 4)


def longer_search(spec: Content, chance: random.Random) -> None:
    spec["search"]["trials"] += 1


def race(spec: Content, chance: random.Random) -> None:
    """What a search has found races, over more or fewer seeds, or races no more."""
    spec["search"] |= {"confirm": chance.randint(2, 3), "race": chance.choice([None, 3, 4])}
    spec["seeds"] = max(spec["seeds"], 2)


EDIT: list[Callable[[Content, random.Random], None]] = [
    add_method,
    remove_method,
    reorder,
    add_pair,
    remove_pair,
    regrid,
    grow_recipe,
    hold_out,
    protocol,
    more_seeds,
    longer_search,
    race,
]


def table(folder: Path, spec: Content, chance: random.Random, world: Epochs | None = None) -> tuple[Epochs, Any]:
    """What the table of a spec is after a run to its end, and the world in which that ran."""
    world = world or Epochs(folder)
    if not (any("gdkd" in entry for entry in spec["methods"]) or isinstance(spec["recipe"].get("lr"), dict)):
        spec = {key: value for key, value in spec.items() if key != "search"}
    run(world, build_plan(small_spec(**spec)), chance, workers=chance.randint(1, 4))
    with Ledger(world.paths.ledger) as ledger:
        board = leaderboard(ledger)
    rows = {(row.recipe, row.pair, row.label): row for row in board.rows}
    assert len(rows) == len(board.rows)
    return world, (rows, board.states, board.teachers, board.baseline)


@pytest.mark.parametrize("case", range(4))
def test_a_race_that_is_edited_gives_the_table_of_a_fresh_root(case: int, tmp_path: Path) -> None:
    """It is made longer or shorter, broken off, left out and asked for again."""
    chance = random.Random(case)
    spec = first_spec(chance) | {"methods": ["kd", METHODS[5]]}
    world, _ = table(tmp_path / "edited", spec, chance)
    for edit in (race, longer_search, race, protocol, race):
        spec = copy.deepcopy(spec)
        edit(spec, chance)
        break_off(world, build_plan(small_spec(**spec)), chance, workers=2)
    _, edited = table(tmp_path / "edited", spec, chance, world)
    _, fresh = table(tmp_path / "fresh", spec, chance)
    assert edited[:2] == fresh[:2], "rows and states; a teacher whose end was lost is noted with another number here"


@pytest.mark.parametrize("case", range(EDITS))
def test_an_edited_spec_gives_the_table_of_a_fresh_root(case: int, tmp_path: Path) -> None:
    chance = random.Random(case)
    spec = first_spec(chance)
    world, _ = table(tmp_path / "edited", spec, chance)
    for _ in range(2):
        spec = copy.deepcopy(spec)
        for edit in chance.sample(EDIT, chance.randint(1, 3)):
            edit(spec, chance)
        _, edited = table(tmp_path / "edited", spec, chance, world)
    _, fresh = table(tmp_path / "fresh", spec, chance)
    assert edited == fresh


def test_a_sweep_under_the_papers_protocol_shows_the_best_test_epoch_of_trials_that_ended_under_the_other(
    tmp_path: Path,
) -> None:
    """Nothing is held out either way, so that the trials are the same."""
    spec: Content = {"recipe": {"base": "digits", "epochs": 5, "val_fraction": 0.0}, "methods": ["kd"], "seeds": 2}
    chance = random.Random(0)
    world, (last, *_) = table(tmp_path / "edited", spec | {"protocol": "validation"}, chance)
    trained = world.trained.copy()
    _, (best, *_) = table(tmp_path / "edited", spec | {"protocol": "paper"}, chance, world)
    assert world.trained == trained
    ((_, before), (_, after)) = (*last.items(), *best.items())
    assert before.values == before.last
    assert after.values == after.best != before.values
    with Ledger(world.paths.ledger) as ledger:
        reached = [
            max(event.body["test_acc"] for event in ledger.events("epoch", trial=key)) for key in ledger.finals()
        ]
    assert set(after.values.values()) < set(reached)  # one of them is the teacher's


def test_a_searched_scratch_has_a_row_under_every_pair_of_its_student(tmp_path: Path) -> None:
    """The search is one, and runs once."""
    recipe = {"base": "digits", "epochs": 3, "val_fraction": 0.1, "lr": {"range": [0.01, 0.1]}}
    search = {"trials": 3, "sampler": "random", "pruner": "none"}
    pairs = ["resnet20 -> resnet8", "resnet14 -> resnet8"]
    spec: Content = {"recipe": recipe, "search": search, "methods": ["scratch", "kd"], "pairs": pairs, "seeds": 3}
    world, (rows, *_) = table(tmp_path, spec, random.Random(1))
    first, second = (row for row in rows.values() if row.method == "scratch")
    assert {first.pair, second.pair} == {pair.replace(" -> ", "→") for pair in pairs}
    assert first.values == second.values
    assert first.tuned == second.tuned != ""
    assert len({key for key, _ in world.trained}) == 2 + 3 * (3 + 2)  # teachers; searches with what confirms each


def test_the_seed_that_a_search_chose_by_is_no_part_of_its_row(tmp_path: Path) -> None:
    spec = first_spec(random.Random(0)) | {"methods": ["kd", METHODS[5]], "pairs": PAIRS[:1]}
    several = table(tmp_path / "several", spec | {"seeds": 3}, random.Random(0))[1][0]
    alone = table(tmp_path / "alone", spec | {"seeds": 1}, random.Random(0))[1][0]
    assert [set(row.values) for row in several.values()] == [{0, 1, 2}, {1, 2}]
    assert [set(row.values) for row in alone.values()] == [{0}, {0}]


@pytest.mark.parametrize("growth", [{"epochs": [3, 6]}, {"epochs": [3, 6, 4], "lr": [0.05, 0.1]}])
def test_growing_a_recipe_trains_nothing_again(growth: Content, tmp_path: Path) -> None:
    """The teacher's recipe is that of the first point, so that it is the same teacher."""
    recipe: Content = {"base": "digits", "epochs": 3, "lr": 0.05, "val_fraction": 0.1}
    spec: Content = {"recipe": recipe, "methods": ["scratch", "kd"], "seeds": 1}
    world, (before, _, teachers, _) = table(tmp_path, spec, random.Random(0))
    trained = set(world.trained)
    _, (after, _, same, _) = table(tmp_path, spec | {"recipe": recipe | growth}, random.Random(0), world)
    assert trained < set(world.trained)
    assert set(world.trained.values()) == {1}
    assert same == teachers
    numbers = [row.values for row in after.values()]
    assert all(row.values in numbers for row in before.values())
