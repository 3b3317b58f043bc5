"""What is read of a ledger: a trial is found by its key, and the order of a spec changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.exit_codes import DONE
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan, Slot
from sweep.results.board import leaderboard
from sweep.results.read import read
from sweep.results.standing import exit_code
from tests.support.boards import rows, tell
from tests.support.examples import begin, teacher_of


def with_stored_teacher(plan: Plan) -> Plan:
    """The same trials in a spec that names its teacher by the hash that it has by now."""
    (trained,) = plan.teachers
    teacher = teacher_of(trained)
    pair = f"{teacher.architecture}@{teacher.hash[:8]}→resnet8"

    def renamed(slot: Slot) -> Slot:
        taught = slot.trial(teacher) if slot.teacher else slot.trial()
        return replace(slot, id=taught.key, pair=pair, teacher=None, config=taught.model_dump(mode="json"))

    return replace(plan, slots=tuple(renamed(slot) for slot in plan.students))


def test_a_teacher_named_by_its_hash_leaves_nothing_waiting(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    before = leaderboard(ledger)
    named = with_stored_teacher(small_plan)
    assert {slot.id for slot in named.students}.isdisjoint(
        {slot.id for slot in small_plan.students if slot.method != "scratch"}
    )
    begin(ledger, named)
    after = leaderboard(ledger)
    assert after.states == {"finished": 8}
    assert [row.values for row in after.rows] == [row.values for row in before.rows]
    assert exit_code(named, ledger) == DONE


def test_a_trial_of_another_teacher_is_not_taken_for_it(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    named = with_stored_teacher(small_plan)
    config = {"architecture": "resnet20", "hash": "0" * 16}
    others = [
        replace(slot, id=f"other {n}", config=slot.config | {"teacher": config})
        for n, slot in enumerate(named.students)
        if slot.method != "scratch"
    ]
    begin(ledger, replace(named, slots=tuple(others)))
    assert {trial.state for trial in read(ledger).trials} == {"waiting"}


@pytest.mark.parametrize("last", ["scratch", "kd"])
def test_a_stored_teacher_keeps_its_accuracy_wherever_scratch_stands(
    ledger: Ledger, small_plan: Plan, root: Root, last: str
) -> None:
    named = with_stored_teacher(small_plan)
    slots = sorted(named.students, key=lambda slot: slot.method == last)
    begin(ledger, replace(named, slots=tuple(slots)))
    teacher = teacher_of(small_plan.teachers[0])
    passport: Path = root.teachers / teacher.hash / "passport.json"
    passport.parent.mkdir(parents=True)
    passport.write_text(json.dumps({"test_acc": 97.5}))
    board = leaderboard(ledger)
    assert board.teachers == {f"resnet20@{teacher.hash[:8]}": 97.5}
    assert rows(board)["teacher"][1] == "97.50"
