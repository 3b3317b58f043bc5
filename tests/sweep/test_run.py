"""What a run notes before it starts: how it goes on from what an earlier one left."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from sweep.engine.queue import TrialQueue
from sweep.layout import Root
from sweep.ledger.bodies import final_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.plan.teachers import stored_teachers
from sweep.results.standing import ended
from sweep.run import _record_stored_teachers
from tests.support.examples import begin, small_spec
from trainers.data.sources.digits import Digits
from trainers.fit import fit
from trainers.teacher.store import TeacherStore


@pytest.fixture
def plan() -> Plan:
    return build_plan(small_spec(teachers={"recipe": {"epochs": 2, "warmup_epochs": 0}}))


def trained(slot: Slot, root: Root) -> list[dict[str, Any]]:
    """Train and store a teacher as a worker does, whose driver is killed before it hears of the end; its epochs."""
    data = Digits(image_size=8).load()
    running = fit(slot.trial(), data=data, folder=root.sweep("small").trial(slot.id))
    epochs = []
    while True:
        try:
            epochs.append(next(running))
        except StopIteration as end:
            TeacherStore(root.teachers).add(end.value, slot.trial(), data, epochs[-1])
            return [asdict(epoch) for epoch in epochs]


def go_on(plan: Plan, root: Root, ledger: Ledger) -> TrialQueue:
    teachers = stored_teachers(plan, root)
    queue = TrialQueue(plan, teachers, ended(plan, teachers, ledger))
    _record_stored_teachers(plan, queue, root, ledger, lambda folder: None)
    return queue


def test_a_teacher_whose_end_the_driver_did_not_live_to_hear_is_in_the_ledger_whole(
    plan: Plan, root: Root, ledger: Ledger
) -> None:
    slot = plan.teachers[0]
    epochs = trained(slot, root)
    begin(ledger, plan)
    ledger.append("epoch", slot.id, 1, epochs[0])
    queue = go_on(plan, root, ledger)
    assert [event.body for event in ledger.events("epoch", trial=slot.id)] == epochs
    reference = queue.teachers[slot.id].model_dump()
    (final,) = ledger.events("final")
    assert final.body == final_body("finished", epochs, plan.protocol) | {"teacher": reference}
    assert [path.name for path in root.sweep("small").trial(slot.id).iterdir()] == ["weights.pt"]
    before = ledger.last_seq()
    go_on(plan, root, ledger)
    assert ledger.last_seq() == before


def test_a_teacher_that_another_sweep_trained_costs_this_one_nothing(plan: Plan, root: Root, ledger: Ledger) -> None:
    slot = plan.teachers[0]
    epochs = trained(slot, root)
    folder = root.sweep("small").trial(slot.id)
    folder.rename(root.path / "elsewhere")
    begin(ledger, plan)
    go_on(plan, root, ledger)
    assert list(ledger.events("epoch")) == []
    (final,) = ledger.events("final")
    assert (final.body["seconds"], final.body["last"]["test_acc"]) == (0.0, epochs[-1]["test_acc"])
