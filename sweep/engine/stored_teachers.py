"""Teachers that are stored, and whose end a ledger does not have: of another sweep, or of a driver that was killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.engine.queue import TrialQueue
from sweep.layout import Root
from sweep.ledger.bodies import final_body, start_body, stored_teacher_body
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan, Slot
from trainers.config import TeacherConfig

if TYPE_CHECKING:
    from trainers.teacher.passport import Passport
    from trainers.teacher.store import TeacherStore


def record_stored_teachers(
    plan: Plan, queue: TrialQueue, root: Root, ledger: Ledger, drop: Callable[[Path], None]
) -> None:
    """A teacher that another sweep trained has a place in this ledger too; so has one of this sweep whose driver was
    killed before it heard that the teacher was stored."""
    from trainers.teacher.store import TeacherStore

    known = ledger.finals()
    store = TeacherStore(root.teachers, root.storage)
    for slot in plan.teachers:
        if "teacher" in known.get(slot.id, {}) and slot.id in queue.teachers:
            _record_another_teacher(slot, queue.teachers[slot.id], known[slot.id], store, ledger)
        unknown = slot.id in queue.teachers and slot.id not in known
        passport = store.trained_by(slot.id) if unknown else None
        if passport is not None:
            checkpoints = root.sweep(plan.name).trial(slot.id) / "checkpoints"
            root.storage.pull(checkpoints)
            _record_stored_teacher(slot, passport, _all_epochs(slot, checkpoints), plan.protocol, ledger)
            shutil.rmtree(checkpoints, ignore_errors=True)
            drop(checkpoints)


def _record_another_teacher(
    slot: Slot, stored: TeacherConfig, known: dict[str, Any], store: TeacherStore, ledger: Ledger
) -> None:
    """One that was trained again by another sweep, or by a driver that was killed before it could note that."""
    passport = store.trained_by(slot.id) if stored.model_dump() != known["teacher"] else None
    if passport is not None:
        ledger.append("retrained", slot.id, body=stored_teacher_body(passport))


def _record_stored_teacher(
    slot: Slot, passport: Passport, epochs: list[dict[str, Any]], protocol: str, ledger: Ledger
) -> None:
    """A teacher's place in the ledger: with its epochs, where it was trained here, and else as its passport has it."""
    ledger.append("start", slot.id, body=start_body(slot, slot.trial()))
    for epoch in epochs:
        ledger.append("epoch", slot.id, epoch["epoch"], epoch)
    own = final_body("finished", epochs, protocol) | {"teacher": passport.reference.model_dump()}
    ledger.append("final", slot.id, body=own if epochs else stored_teacher_body(passport))


def _all_epochs(slot: Slot, checkpoints: Path) -> list[dict[str, Any]]:
    """The results of a teacher that was trained here to its end and not noted; none where that was elsewhere."""
    from trainers.storage.checkpoint import Checkpoints

    state = Checkpoints(checkpoints).newest()
    whole = state is not None and state["key"] == slot.id and len(state["history"]) == slot.epochs
    return list(state["history"]) if state is not None and whole else []
