"""Which networks are logged, and with which accuracies."""

from __future__ import annotations

from sweep.ledger.bodies import taught_elsewhere
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.tracking.candidates import last_accuracies
from tests.support.examples import begin, epoch_body, record, teacher_of


def test_a_teacher_that_was_trained_again_has_the_accuracies_of_its_new_weights(
    ledger: Ledger, small_plan: Plan
) -> None:
    teacher = small_plan.teachers[0]
    begin(ledger, small_plan)
    key = record(ledger, small_plan, teacher, [96.0, 97.0])
    (first,) = last_accuracies(ledger, key)
    assert first[1:] == (2, {"test_acc": 97.0, "train_acc": 97.0})
    ledger.append("retrained", key, body=taught_elsewhere(epoch_body(2, 95.0, 94.0), teacher_of(teacher).model_dump()))
    (again,) = last_accuracies(ledger, key)
    assert again[1:] == (2, {"test_acc": 95.0, "train_acc": 95.0, "val_acc": 94.0})
    event = ledger.latest("retrained")
    assert event is not None
    assert again[0] == event.time
    assert last_accuracies(ledger, "another") == []
