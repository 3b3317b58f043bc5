"""Which student is meant where nobody says it: the best by what may choose, and never the seed with the best test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.read import read
from sweep.students.about import about
from sweep.students.choice import Choice, choose
from tests.support.examples import begin, play, record, small_spec
from trainers.errors import InputError

PAIR = "resnet20 -> resnet8"
Numbers = Mapping[tuple[str, int], tuple[float, float | None]]
"""Test and validation accuracy after the last epoch, by label and seed."""
HELD_OUT: Numbers = {
    ("scratch", 0): (60.0, 61.0),
    ("scratch", 1): (60.0, 61.0),
    ("kd", 0): (88.0, 80.0),  # of its row the higher by test
    ("kd", 1): (70.0, 82.0),  # and by validation
    ("dhkd α=0.5", 0): (95.0, 71.0),  # the highest mean test accuracy
    ("dhkd α=0.5", 1): (93.0, 70.0),
    ("dhkd α=1", 0): (80.0, 99.0),  # whose other seed has diverged
}


def told(ledger: Ledger, plan: Plan, numbers: Numbers, state: str = "diverged") -> None:
    """A sweep whose students have these; the others ended so."""
    begin(ledger, plan)
    for slot in plan.slots:
        test, val = numbers.get((slot.label, slot.seed), (97.0, 96.0) if slot.stage == "teacher" else (0.0, 0.0))
        known = slot.stage == "teacher" or (slot.label, slot.seed) in numbers
        record(
            ledger, plan, slot, [50.0, test], "finished" if known else state, [50.0 if val is not None else None, val]
        )


def chosen(ledger: Ledger, **named: Any) -> Choice:
    return choose(read(ledger), PAIR, **named)


def place(choice: Choice) -> tuple[str, int]:
    return choice.trial.slot.row, choice.trial.slot.seed


def test_the_best_row_by_validation_and_of_it_the_best_seed_by_validation(ledger: Ledger, small_plan: Plan) -> None:
    told(ledger, small_plan, HELD_OUT)
    choice = chosen(ledger)
    assert place(choice) == ("kd", 1)
    row, seed = choice.why
    assert row == (
        "row kd: the highest mean validation accuracy (81.00 %) of 3 rows of resnet20→resnet8; the table's highest mean"
        " has dhkd α=0.5, which may be named instead"
    )
    assert seed == "seed 1: the highest validation accuracy (82.00 %) of 2"


@pytest.mark.parametrize(
    ("named", "expected", "reasons"),
    [
        ({"method": "dhkd α=0.5"}, ("dhkd α=0.5", 0), 1),
        ({"seed": 0}, ("kd", 0), 1),
        ({"method": "kd", "seed": 0}, ("kd", 0), 0),
        ({"method": "dhkd α=1"}, ("dhkd α=1", 0), 1),
        ({"method": "dhkd alpha=0.5"}, ("dhkd α=0.5", 0), 1),
        ({"method": "dhkd alpha=1", "seed": 0}, ("dhkd α=1", 0), 0),
    ],
)
def test_what_is_named_is_not_chosen(
    ledger: Ledger, small_plan: Plan, named: dict[str, Any], expected: tuple[str, int], reasons: int
) -> None:
    told(ledger, small_plan, HELD_OUT)
    choice = chosen(ledger, **named)
    assert place(choice) == expected
    assert len(choice.why) == reasons


@pytest.mark.parametrize("protocol", ["validation", "paper"])
def test_where_nothing_is_held_out_test_accuracy_chooses_no_seed(ledger: Ledger, protocol: str) -> None:
    recipe = {"base": "digits", "epochs": 3, "samples_per_class": 8, "val_fraction": 0}
    plan = build_plan(small_spec(protocol=protocol, recipe=recipe))
    told(ledger, plan, {place: (test, None) for place, (test, _) in HELD_OUT.items()})
    choice = chosen(ledger)
    assert place(choice) == ("dhkd α=0.5", 0)
    assert choice.why[1] == "seed 0: the first of 2, as nothing was held out to choose by"
    assert place(chosen(ledger, method="kd")) == ("kd", 0)
    by = (
        "the highest mean test accuracy"
        if protocol == "validation"
        else "the highest mean best test accuracy, as protocol"
    )
    assert choice.why[0].startswith(f"row dhkd α=0.5: {by}")


def test_what_has_no_student_says_why(ledger: Ledger, small_plan: Plan) -> None:
    told(ledger, small_plan, {})
    with pytest.raises(InputError, match="no student of resnet20→resnet8 has finished"):
        chosen(ledger)
    with pytest.raises(InputError, match=r"resnet20→resnet8 · kd has no student: its trials are diverged"):
        chosen(ledger, method="kd")
    with pytest.raises(InputError, match=r"several rows; name one of them: 'dhkd α=0\.5', 'dhkd α=1'"):
        chosen(ledger, method="dhkd")
    with pytest.raises(InputError, match=r"unknown row 'x'; valid: dhkd, dhkd α=0\.5, dhkd α=1, kd, scratch"):
        chosen(ledger, method="x")
    with pytest.raises(InputError, match="unknown pair 'resnet8→resnet20'; did you mean 'resnet20→resnet8'"):
        choose(read(ledger), "resnet8 -> resnet20")


def test_several_recipes_are_not_compared(ledger: Ledger) -> None:
    recipe = {"base": "digits", "epochs": 3, "samples_per_class": 8, "lr": [0.05, 0.1]}
    plan = build_plan(small_spec(recipe=recipe))
    told(ledger, plan, {(slot.label, slot.seed): (80.0, 70.0) for slot in plan.students})
    with pytest.raises(
        InputError, match=r"the pair has several recipes; name one: 'digits lr=0\.05', 'digits lr=0\.1'"
    ):
        chosen(ledger)
    assert chosen(ledger, recipe="digits lr=0.1").trial.slot.recipe == "digits lr=0.1"


def test_a_tuned_row_is_made_of_the_seeds_that_its_search_did_not_see(ledger: Ledger) -> None:
    methods = ["kd", {"dhkd": {"alpha": {"range": [0.5, 2]}}}]
    plan = build_plan(small_spec(methods=methods, seeds=3, search={"trials": 2, "pruner": "none"}))
    by_seed = {0: 99.0, 1: 80.0, 2: 81.0}
    play(ledger, plan, lambda slot: by_seed[slot.seed] if slot.method == "dhkd" else 60.0)
    results = read(ledger)
    choice = choose(results, PAIR)
    assert choice.trial.slot.label == "dhkd tuned"
    assert choice.trial.slot.seed == 2, "seed 0 has won the search by its number"
    known = about(ledger_paths(ledger), results, choice, plan.images, ())
    assert known.row_accuracy == {
        "mean": 80.5,
        "std": pytest.approx(0.7071, abs=1e-4),
        "n": 2,
        "seeds": {1: 80.0, 2: 81.0},
    }


def ledger_paths(ledger: Ledger) -> Any:
    from sweep.layout import SweepPaths

    return SweepPaths(ledger.path.parent)


def test_what_is_told_of_a_student_is_what_the_sweep_knows(ledger: Ledger, small_plan: Plan) -> None:
    told(ledger, small_plan, HELD_OUT)
    results = read(ledger)
    known = about(ledger_paths(ledger), results, choose(results, PAIR, "kd", 0), small_plan.images, ["a"] * 10)
    teacher = small_plan.teachers[0]
    assert known.accuracy == {"test_acc": 88.0, "test_acc5": 99.5, "val_acc": 80.0}
    assert known.row_accuracy["mean"] == 79.0
    assert known.teacher is not None
    assert (known.teacher["architecture"], known.teacher["test_acc"]) == (teacher.pair, 97.0)
    assert "came_from" not in known.teacher, "its passport is nowhere"
    assert known.config["dataset"]["content"]
    assert known.told["place"]["trial"] == known.key
    scratch = about(ledger_paths(ledger), results, choose(results, PAIR, "scratch", 0), small_plan.images, [])
    assert scratch.teacher is None
    assert scratch.labels == tuple(map(str, range(10)))
