"""`sweep plan`: what would run, and what of it is done."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from search_spaces.schema import Spec
from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.bodies import final_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import leaderboard
from sweep.results.preview import look_ahead, preview
from tests.support.examples import SPEC, begin, epoch_body, play, record, slot_of, small_spec
from tests.support.shared_trials import finish, plan_of, slots_of
from trainers.data.sources.digits import Digits
from trainers.errors import CheckpointError, InputError
from trainers.fit import seeded_model
from trainers.result import EpochResult
from trainers.teacher.passport import Passport
from trainers.teacher.store import TeacherStore


def planned(spec: Spec, root: Root) -> dict[str, dict[str, Any]]:
    """The rows by method."""
    return {row["method"]: row for row in json.loads(preview(spec, root, Format.JSON))}


def store_teacher(root: Root, plan: Plan) -> Passport:
    """A real teacher in the store, untrained, under the name of the plan's."""
    config = plan.teachers[0].trial()
    teacher = seeded_model(config.model, 10, seed=0).eval()
    return TeacherStore(root.teachers).add(
        teacher, config, Digits(image_size=8).load(), EpochResult(**epoch_body(3, 10.0))
    )


def test_a_plan_is_summed_up_and_nothing_is_written(root: Root) -> None:
    text = preview(small_spec(), root, Format.TABLE)
    lines = text.splitlines()
    assert lines[0] == "small on digits"
    assert lines[1].split() == ["stage", "recipe", "pair", "method", "trials", "done", "elsewhere", "epochs"]
    assert lines[2].split() == ["teacher", "digits", "resnet20", "teacher", "1", "0", "0", "3"]
    assert lines[6].split() == ["confirm", "digits", "resnet20→resnet8", "dhkd", "α=1", "2", "0", "0", "6"]
    assert "9 trials, 27 epochs; 0 done, 27 epochs to run; 1 CPU and 0 GPUs a trial" in lines
    assert not root.path.exists()


def test_a_plan_says_what_trials_that_go_together_have(root: Root) -> None:
    lines = preview(small_spec(compute={"cohort": 5}), root, Format.TABLE).splitlines()
    (line,) = [line for line in lines if "epochs to run" in line]
    assert line.endswith("; 1 CPU and 0 GPUs a trial, or for up to 5 that go together")


def test_rows_are_by_recipe_pair_and_method(root: Root) -> None:
    recipe = SPEC["recipe"] | {"epochs": [3, 4]}
    text = preview(small_spec(recipe=recipe, methods=["kd", "dhkd"], seeds=3), root, Format.JSON)
    found = [(row["stage"], row["recipe"], row["method"], row["trials"], row["epochs"]) for row in json.loads(text)]
    assert found[1:] == [
        ("confirm", "digits epochs=3", "kd", 3, 9),
        ("confirm", "digits epochs=3", "dhkd", 3, 9),
        ("confirm", "digits epochs=4", "kd", 3, 12),
        ("confirm", "digits epochs=4", "dhkd", 3, 12),
    ]
    assert found[0][:4] == ("teacher", "digits", "teacher", 1)


def test_notes_of_the_plan_are_shown(root: Root) -> None:
    assert "stand in the spec more than once, and run once" in preview(
        small_spec(methods=["kd", "kd"]), root, Format.TABLE
    )


def test_finished_and_diverged_trials_are_done_and_others_are_not(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "scratch", 0), [90.0])
    record(ledger, small_plan, slot_of(small_plan, "scratch", 1), [90.0], state="interrupted")
    assert planned(small_spec(), root)["scratch"]["done"] == 1
    record(ledger, small_plan, slot_of(small_plan, "scratch", 1), [90.0], state="diverged")
    assert planned(small_spec(), root)["scratch"]["done"] == 2
    assert "2 done, 21 epochs to run" in preview(small_spec(), root, Format.TABLE)


def test_a_stored_teacher_is_done_and_so_are_the_students_it_taught(
    root: Root, ledger: Ledger, small_plan: Plan
) -> None:
    passport = store_teacher(root, small_plan)
    begin(ledger, small_plan)
    taught = slot_of(small_plan, "kd").trial(passport.reference)
    ledger.append("final", taught.key, body=final_body("finished", [epoch_body(1, 90.0)], "validation"))
    record(ledger, small_plan, slot_of(small_plan, "kd", 1), [90.0])  # of another teacher
    found = planned(small_spec(), root)
    assert {name: row["done"] for name, row in found.items()} == {
        "teacher": 1,
        "scratch": 0,
        "kd": 1,
        "dhkd α=0.5": 0,
        "dhkd α=1": 0,
    }


def test_a_damaged_teacher_is_told_before_anything_runs(root: Root, small_plan: Plan) -> None:
    passport = store_teacher(root, small_plan)
    weights = root.teachers / passport.hash / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is damaged"):
        preview(small_spec(), root, Format.TABLE)


def test_a_spec_that_asks_for_too_much_data_has_no_plan(root: Root) -> None:
    with pytest.raises(InputError, match="samples_per_class"):
        preview(small_spec(recipe={"base": "digits", "samples_per_class": 1000}), root, Format.TABLE)


@pytest.mark.parametrize("how", [Format.CSV, Format.MARKDOWN, Format.LATEX])
def test_other_formats_hold_the_rows_alone(root: Root, how: Format) -> None:
    text = preview(small_spec(), root, how)
    assert "small on digits" not in text
    assert "to run" not in text
    assert len(build_plan(small_spec()).slots) == 9
    assert sum("resnet8" in line for line in text.splitlines()) == 4


# -- searches ---------------------------------------------------------------------------------------------------------

SEARCHED: dict[str, Any] = {
    "methods": ["kd", {"gdkd": {"k": {"range": [2, 8]}}}],
    "seeds": 3,
    "search": {"trials": 4, "sampler": "grid", "confirm": 2, "pruner": "none"},
}


def accuracy(slot: Slot) -> float:
    """Better with a larger k."""
    return 70.0 + slot.varied.get("k", 0) + slot.seed


def counts(root: Root, **changes: Any) -> dict[str, tuple[int, int]]:
    """Trials and those done, of the searched cell, by stage."""
    rows = json.loads(preview(small_spec(**(SEARCHED | changes)), root, Format.JSON))
    return {row["stage"]: (row["trials"], row["done"]) for row in rows if row["method"] == "gdkd tuned"}


def test_a_search_is_planned_with_its_budget(root: Root) -> None:
    text = preview(small_spec(**SEARCHED), root, Format.TABLE)
    assert counts(root) == {"search": (4, 0), "confirm": (4, 0)}
    assert "at most 12 trials, 36 epochs; 0 done, 36 epochs to run; 1 CPU and 0 GPUs a trial" in text
    assert "cost: not known yet" in text
    assert not root.path.exists()


@pytest.mark.parametrize(
    ("trials", "search", "confirm"), [(1, 1, 0), (3, 3, 0), (4, 4, 0), (4 + 3, 4, 0), (4 + 3 + 1, 4, 1), (None, 4, 4)]
)
def test_what_a_search_has_done_is_counted_while_it_goes_on(
    root: Root, ledger: Ledger, trials: int | None, search: int, confirm: int
) -> None:
    plan = build_plan(small_spec(**SEARCHED))
    play(ledger, plan, accuracy, trials=trials)
    assert counts(root) == {"search": (4, search), "confirm": (4, confirm)}
    (row,) = [row for row in json.loads(preview(small_spec(**SEARCHED), root, Format.JSON)) if row["method"] == "kd"]
    assert row["done"] == 0  # its teacher is not in the store


RACING = {"search": SEARCHED["search"] | {"confirm": 3, "race": 3}}


def luck(slot: Slot) -> float:
    """No configuration is better than another."""
    return 70.0 + random.Random(f"{slot.varied} {slot.seed}").random()


@pytest.mark.parametrize(
    ("trials", "search", "race", "confirm"),
    [(0, 0, 0, 0), (4, 4, 0, 0), (4 + 2, 4, 2, 0), (4 + 3, 4, 3, 0), (4 + 9, 4, 9, 0), (None, 4, 9, 2)],
)
def test_a_race_is_planned_and_counted(
    root: Root, ledger: Ledger, trials: int | None, search: int, race: int, confirm: int
) -> None:
    plan = build_plan(small_spec(**(SEARCHED | RACING)))
    assert plan.cells[0].trials == 4 + 3 * 3 + 2, "the winner alone has the sweep's other seeds"
    play(ledger, plan, luck, trials=trials)
    assert counts(root, **RACING) == {"search": (4, search), "race": (9, race), "confirm": (2, confirm)}
    if trials == 4 + 2:
        assert "racing" in {name for row in leaderboard(ledger).rows for name in row.missing}


def test_what_a_race_saves_is_not_left_to_do(root: Root, ledger: Ledger) -> None:
    plan = build_plan(small_spec(**(SEARCHED | RACING | {"search": RACING["search"] | {"race": 5}})))
    play(ledger, plan, lambda slot: luck(slot) + 20.0 * (slot.varied.get("k") == 4))
    changes = {"search": RACING["search"] | {"race": 5}}
    assert counts(root, **changes) == {"search": (4, 4), "race": (15, 15), "confirm": (2, 2)}
    assert sum(event.body["stage"] == "race" for event in ledger.events("start")) == 9
    (row,) = [row for row in leaderboard(ledger).rows if row.label == "gdkd tuned"]
    assert row.tuned.endswith("ahead of 2 others in a race over 3 seeds, and the only one left (9 trials, 6 saved)")


def test_trials_that_were_given_up_are_done(root: Root, ledger: Ledger) -> None:
    changes = {"search": {"trials": 6, "sampler": "grid", "pruner": "asha"}}
    plan = build_plan(small_spec(**(SEARCHED | changes)))
    play(ledger, plan, lambda slot: 90.0 - accuracy(slot), trials=6)
    assert len(list(ledger.events("pruned"))) > 1
    assert counts(root, **changes)["search"] == (6, 6)


def test_a_larger_budget_or_more_seeds_leave_only_what_is_new(root: Root, ledger: Ledger) -> None:
    play(ledger, build_plan(small_spec(**SEARCHED)), accuracy)
    assert counts(root, search=SEARCHED["search"] | {"trials": 6})["search"] == (6, 4)
    assert counts(root, seeds=4) == {"search": (4, 4), "confirm": (6, 4)}


def test_a_space_with_fewer_points_than_the_budget_is_planned_as_it_is(root: Root, ledger: Ledger) -> None:
    changes = {"methods": [{"gdkd": {"k": {"choice": [3, 5]}}}], "search": SEARCHED["search"] | {"trials": 50}}
    assert counts(root, **changes) == {"search": (2, 0), "confirm": (4, 0)}
    plan = build_plan(small_spec(**(SEARCHED | changes)))
    assert len(play(ledger, plan, accuracy)) == 6
    assert counts(root, **changes) == {"search": (2, 2), "confirm": (4, 4)}


def test_the_cost_of_what_is_left_is_told_from_what_was_timed(root: Root, ledger: Ledger) -> None:
    plan = build_plan(small_spec(**SEARCHED))
    teacher = store_teacher(root, plan)
    assert teacher.architecture == "resnet20"
    play(ledger, plan, accuracy)
    text = preview(small_spec(**SEARCHED), root, Format.TABLE)
    assert "cost: about " in text  # kd's, which another teacher had taught
    assert "trials of a kind that was not timed yet" not in text


def test_what_other_sweeps_have_finished_is_counted_apart_and_nothing_is_written(root: Root) -> None:
    first, old = plan_of("cifar-main"), plan_of("cifar-old")
    finish(root, first, slots_of(first, "scratch"))
    finish(root, old, slots_of(old, "scratch")[:1])  # trained last
    before = {path: path.stat().st_mtime_ns for path in root.sweeps.rglob("*") if path.is_file()}
    spec = small_spec()
    text = preview(spec, root, Format.TABLE)
    assert "9 trials, 27 epochs; 0 done here, 1 done in cifar-old, 1 done in cifar-main, 21 epochs to run" in text
    found = planned(spec, root)
    assert {name: (row["done"], row["elsewhere"]) for name, row in found.items() if row["elsewhere"]} == {
        "scratch": (0, 2)
    }
    assert {path: path.stat().st_mtime_ns for path in root.sweeps.rglob("*") if path.is_file()} == before
    ahead = look_ahead(spec, root)
    assert (ahead.over.trials, sorted(ahead.elsewhere.values())) == (0, ["cifar-main", "cifar-old"])


def test_a_ledger_of_another_sweep_that_cannot_be_read_is_named(root: Root) -> None:
    broken = root.sweep("broken").ledger
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a database, however long one looks at it" * 30)
    text = preview(small_spec(), root, Format.TABLE)
    assert "nothing is taken over from sweep 'broken': file is not a database" in text
    assert "9 trials, 27 epochs; 0 done, 27 epochs to run" in text


def test_what_was_asked_for_again_is_to_be_trained_here(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    first = plan_of("first")
    finish(root, first, slots_of(first, "scratch"))
    begin(ledger, small_plan)
    ledger.set_aside([finish(root, small_plan, slots_of(small_plan, "scratch"))[0]])
    found = planned(small_spec(), root)["scratch"]
    assert (found["done"], found["elsewhere"]) == (1, 0)
