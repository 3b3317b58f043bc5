"""The remark on a teacher that has nothing to teach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.board import leaderboard
from tests.support.boards import said, tell

REMARK = "Teacher resnet20 at {:.2f} %: near chance (10 % of 10 classes), so there is little to learn from."


@pytest.mark.parametrize(("accuracy", "told"), [(3.0, True), (10.0, True), (18.99, True), (19.5, False), (97.0, False)])
def test_a_teacher_near_chance_draws_a_remark(ledger: Ledger, small_plan: Plan, accuracy: float, told: bool) -> None:
    tell(ledger, small_plan, teacher=accuracy)
    assert (REMARK.format(accuracy) in said(leaderboard(ledger))) == told
    assert ("near chance" in said(leaderboard(ledger))) == told


def test_what_is_near_chance_depends_on_the_number_of_classes(ledger: Ledger, small_plan: Plan) -> None:
    """Of two classes 52 % is next to nothing; of a hundred it is a lot."""
    tell(ledger, small_plan, teacher=52.0)
    board = leaderboard(ledger)
    told = {
        classes: said(replace(board, plan=replace(board.plan, images=board.plan.images | {"classes": classes})))
        for classes in (2, 100)
    }
    assert "Teacher resnet20 at 52.00 %: near chance (50 % of 2 classes)" in told[2]
    assert "near chance" not in told[100]


def test_a_plan_that_does_not_say_how_many_classes_there_are_draws_none(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, replace(small_plan, images={}), teacher=10.0)
    assert "near chance" not in said(leaderboard(ledger))


def test_several_teachers_near_chance_are_named_together(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan, teacher=10.0)
    board = replace(leaderboard(ledger), teachers={"b": 10.0, "a@12345678": 11.0, "c": 90.0})
    assert "Teachers a@12345678 at 11.00 %, b at 10.00 %: near chance" in said(board)
