"""What is told of races: readers of a ledger find in it what its driver has decided, and nobody wins over a crash."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.schema import FIRST_RACE_SEED
from sweep.cli.studies import text
from sweep.engine.job import Job
from sweep.exit_codes import DONE
from sweep.formats import Format
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.notes import notes
from sweep.results.read import read, searching
from sweep.results.standing import exit_code
from sweep.results.studies import studies
from sweep.search.racing import outcome
from tests.support.examples import begin, small_spec
from tests.support.simulation import Curve, World, run
from tests.sweep.search.test_simulated import board_of, chosen, events, ledger_of, made_world

W2 = [1.0, 2.0, 3.0]


def plan_of(most: int, *, confirm: int = 3, k: list[int] | int = 3, w2: list[float] = W2) -> Plan:
    """All of a grid race, over `most` seeds; 0: none race."""
    search = {"sampler": "grid", "trials": len(w2), "pruner": "none", "confirm": confirm, "deterministic": True}
    recipe = {"base": "digits", "epochs": 3, "samples_per_class": 8}
    methods = ["kd", {"gdkd": {"w2": {"choice": w2}, "k": k}}]
    return build_plan(small_spec(methods=methods, recipe=recipe, search=search | ({"race": most} if most else {})))


def luck(job: Job) -> float:
    return random.Random(job.key).gauss(0, 0.5)


def lucky(job: Job, epoch: int) -> float:
    """With k = 3 nothing but luck; with k = 5 a large `w2` is far worse with the seeds of a race. The worst of both
    diverges with the second of these."""
    params, racing = job.trial.method.params, job.slot.seed - FIRST_RACE_SEED
    if racing == 1 and params.get("w2") == 3.0:
        raise ZeroDivisionError("loss term 'kd' became nan")
    behind = 20.0 * params["w2"] if racing >= 0 and params["k"] == 5 else 0.0
    return 90.0 - behind + luck(job)


def agree(world: World, plan: Plan) -> None:
    """What is read is what was decided, and nothing waits."""
    won = chosen(world)
    with ledger_of(world) as ledger:
        told = {study.cell.id: study.race for study in studies(ledger)}
        known, results = searching(plan, ledger), read(ledger)
        assert exit_code(plan, ledger) == DONE
    assert not known.racing
    for cell in plan.cells:
        race = told[cell.id]
        assert (outcome(race) if race else None) == won[cell.id].get("race")
        assert race is None or (race.waits, race.winner.number) == ((), won[cell.id]["chosen"][0]["number"])
    racing = [trial for trial in results.trials if trial.slot.stage == "race"]
    assert len(racing) == sum(won[cell.id].get("race", {}).get("trials", 0) for cell in plan.cells)


def test_two_searches_of_a_method_that_differ_in_a_fixed_value_have_races_of_their_own() -> None:
    plan = plan_of(5, k=[3, 5], w2=[1.0, 2.0, 2.5])
    with made_world(lucky) as world:
        run(world, plan, random.Random(0), workers=2)
        agree(world, plan)
        with ledger_of(world) as ledger:
            told = {study.cell.varied["k"]: study.race for study in studies(ledger)}
        assert told[3] and told[5]
        assert (len(told[3].asked), told[3].fallen, len(told[3].left)) == (15, (), 3)
        assert (len(told[5].asked), len(told[5].fallen), told[5].left[0].params) == (9, 2, {"w2": 1.0})


@pytest.mark.parametrize("between", [3, 0])
def test_a_race_that_is_shortened_or_left_out_and_put_back_is_whole_again(between: int) -> None:
    with made_world(lucky) as world:
        run(world, plan_of(6), random.Random(0), workers=2)
        first = {cell: body["race"] for cell, body in chosen(world).items()}
        run(world, plan_of(between), random.Random(1), workers=2)
        agree(world, plan_of(between))
        trained = sum(world.trained.values())
        run(world, plan_of(6), random.Random(2), workers=2)
        agree(world, plan_of(6))
        assert {cell: body["race"] for cell, body in chosen(world).items()} == first
        assert sum(world.trained.values()) == trained


@pytest.mark.slow(2)
@settings(max_examples=8)
@given(lengths=st.lists(st.sampled_from([0, 3, 4, 6]), min_size=2, max_size=4), data=st.data())
def test_however_long_a_race_becomes_readers_know_what_was_decided(lengths: list[int], data: st.DataObject) -> None:
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    with made_world(lucky) as world:
        for most in lengths:
            plan = plan_of(most, confirm=data.draw(st.integers(2, 3)))
            run(world, plan, chance, workers=2, kills=data.draw(st.integers(0, 3)))
            agree(world, plan)


def test_a_ledger_of_a_driver_that_did_not_note_seeds_again_is_mended_by_the_next_run() -> None:
    """It noted a race that was made long again as won, without the seeds that came back."""
    plan = plan_of(6)
    with made_world(lucky) as world:
        run(world, plan, random.Random(0), workers=2)
        long = events(world, "chosen")[-1].body
        run(world, plan_of(3), random.Random(1), workers=2)
        with ledger_of(world) as ledger:
            begin(ledger, plan)
            ledger.append("chosen", body=long)
            (study,) = studies(ledger)
            assert study.race and study.race.waits, "for seeds that no reader knows of"
        run(world, plan, random.Random(2), workers=2)
        agree(world, plan)


# -- those that break off ---------------------------------------------------------------------------------------------


def breaking(*broken: float) -> Curve:
    """Nothing but luck, and these values of `w2` diverge with the second seed of a race."""

    def curve(job: Job, epoch: int) -> float:
        if job.slot.seed == FIRST_RACE_SEED + 1 and job.trial.method.params["w2"] in broken:
            raise ZeroDivisionError("loss term 'kd' became nan")
        return 80.0 + luck(job)

    return curve


def told_of(curve: Curve, contestants: int) -> tuple[str, str, str]:
    """What the finding says of the race of so many, what the notes say of all races, and what `sweep studies` does."""
    plan = plan_of(3, confirm=contestants, w2=W2[:contestants])
    with made_world(curve) as world:
        run(world, plan, random.Random(0), workers=2)
        agree(world, plan)
        board = board_of(world)
        (finding,) = board.findings
        return finding.partition("; ")[2], " ".join(notes(board)), " ".join(text(world.paths, Format.TABLE).split())


@pytest.mark.parametrize(("contestants", "who"), [(2, "both"), (3, "all 3")])
def test_a_race_in_which_all_break_off_is_won_by_none(contestants: int, who: str) -> None:
    finding, noted, shown = told_of(breaking(*W2), contestants)
    trials = f"{2 * contestants} trials"
    assert finding == f"{who} that raced broke off within 2 seeds, so none has won ({trials})"
    assert "(for 1 of the rows all of these broke off, so that the search's best is shown)" in noted
    assert f"race {who} broke off within 2 seeds, so none has won ({trials}, {contestants} saved)" in shown
    assert shown.count("broke off with seed 2") == contestants


@pytest.mark.parametrize(("contestants", "rest"), [(2, "the other"), (3, "the others")])
def test_one_that_is_left_since_the_others_broke_off_is_ahead_of_none(contestants: int, rest: str) -> None:
    finding, noted, shown = told_of(breaking(*W2[1:]), contestants)
    trials = f"({2 * contestants} trials, {contestants} saved)"
    assert finding == f"the only one left of {contestants} in a race over 2 seeds, in which {rest} broke off {trials}"
    assert "all of these broke off" not in noted
    assert f" is left of {contestants}, after 2 seeds {trials}" in shown
    assert shown.count("broke off with seed 2") == contestants - 1


def test_the_winner_is_ahead_of_those_alone_that_it_was_compared_with() -> None:
    finding, noted, shown = told_of(breaking(3.0), 3)
    assert finding.startswith("ahead of 1 other in a race over 3 seeds, in which 1 broke off, not told apart from w2=")
    assert "all of these broke off" not in noted
    assert "w2=3 broke off with seed 2" in shown


def test_where_none_breaks_off_a_race_is_told_and_noted_as_before() -> None:
    finding, _, shown = told_of(breaking(), 3)
    assert finding.startswith("ahead of 2 others in a race over 3 seeds, not told apart from w2=")
    assert "broke off" not in shown
