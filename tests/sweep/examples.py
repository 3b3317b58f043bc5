"""Small specs, and trials with made-up numbers in the shape that real ones are recorded in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import yaml

from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from sweep.events import final_body, start_body
from sweep.ledger import Ledger
from sweep.plan import Plan, Slot
from sweep.queue import Job
from trainers.config import TeacherConfig
from trainers.content import content_key
from trainers.fit import EpochResult

SPEC: dict[str, Any] = {
    "name": "small",
    "dataset": {"digits": {"image_size": 8}},
    "recipe": {"base": "digits", "epochs": 3, "samples_per_class": 8},
    "pairs": ["resnet20 -> resnet8"],
    "methods": ["scratch", "kd", {"dhkd": {"alpha": [0.5, 1]}}],
    "seeds": 2,
}


def small_spec(**changes: Any) -> Spec:
    """:data:`SPEC` with some keys changed, read as a file would be."""
    return parse_spec(yaml.safe_dump(SPEC | changes, sort_keys=False, allow_unicode=True), "small.yaml")


def epoch_body(epoch: int, test_acc: float, val_acc: float | None = None) -> dict[str, Any]:
    """What the ledger holds of one epoch."""
    return asdict(
        EpochResult(
            epoch=epoch,
            loss=2.0 / epoch,
            terms={"ce": 1.5 / epoch, "kd": 0.5 / epoch},
            lr=0.05,
            train_acc=test_acc,
            train_acc5=99.0,
            val_acc=val_acc,
            val_acc5=None if val_acc is None else 99.0,
            test_acc=test_acc,
            test_acc5=99.5,
            seconds=2.0,
            images_per_second=1000.0,
        )
    )


def teacher_of(slot: Slot) -> TeacherConfig:
    """The reference to a teacher that was never trained."""
    return TeacherConfig(architecture=slot.pair, hash=content_key(f"weights of {slot.id}"))


def job_of(plan: Plan, slot: Slot) -> Job:
    """A slot with its made-up teacher."""
    teachers = {teacher.id: teacher_of(teacher) for teacher in plan.teachers}
    return Job(slot, slot.trial(teachers[slot.teacher] if slot.teacher else None))


def begin(ledger: Ledger, plan: Plan, spec: Spec | None = None) -> None:
    """A driver started with this plan."""
    ledger.append("sweep", body={"spec": spec.text if spec else "name: small\n", "host": "here", "pid": 1})
    ledger.append("plan", body=plan.to_json())


def record(
    ledger: Ledger,
    plan: Plan,
    slot: Slot,
    test_accs: Sequence[float] = (),
    state: str = "finished",
    val_accs: Sequence[float] | None = None,
) -> str:
    """A trial from its start to `state` (finished, diverged, failed, interrupted or running); its key."""
    job = job_of(plan, slot)
    ledger.append("start", job.key, body=start_body(job))
    vals = val_accs if val_accs is not None else [None] * len(test_accs)
    epochs = [epoch_body(n, test, val) for n, (test, val) in enumerate(zip(test_accs, vals, strict=True), start=1)]
    for epoch in epochs:
        ledger.append("epoch", job.key, epoch["epoch"], epoch)
    if state in ("finished", "diverged"):
        body = final_body(state, epochs, plan.protocol)
        if state == "diverged":
            body["reason"] = "loss term 'kd' became nan at epoch 2, step 1"
        elif slot.stage == "teacher":
            body["teacher"] = teacher_of(slot).model_dump()
        ledger.append("final", job.key, body=body)
    elif state == "failed":
        ledger.append("failed", job.key, body={"reason": "ValueError: no", "log": "log.txt", "again": False})
    elif state == "interrupted":
        ledger.append("interrupted", job.key)
    return job.key


def slot_of(plan: Plan, label: str, seed: int = 0, pair: str | None = None) -> Slot:
    """The student's slot of that label and seed."""
    found = [slot for slot in plan.students if (slot.label, slot.seed) == (label, seed) and pair in (None, slot.pair)]
    assert found, (label, seed, sorted({slot.label for slot in plan.students}))
    return found[0]
