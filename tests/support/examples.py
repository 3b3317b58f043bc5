"""Small specs, and trials with made-up numbers in the shape that real ones are recorded in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan, Slot
from sweep.search.searches import Searches
from trainers.config import TeacherConfig
from trainers.result import EpochResult
from trainers.storage.content import content_key

MILLISECOND = 0.001
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
    made_with: dict[str, str] | None = None,
) -> str:
    """A trial from its start to `state` (finished, diverged, failed, interrupted or running); its key."""
    job = job_of(plan, slot)
    time.sleep(MILLISECOND)  # MLflow knows the order of starts no finer
    ledger.append("start", job.key, body=start_body(job.slot, job.trial))
    vals = val_accs if val_accs is not None else [None] * len(test_accs)
    epochs = [epoch_body(n, test, val) for n, (test, val) in enumerate(zip(test_accs, vals, strict=True), start=1)]
    for epoch in epochs:
        ledger.append("epoch", job.key, epoch["epoch"], epoch)
    if state in ("finished", "diverged"):
        body = final_body(state, epochs, plan.protocol) | ({"made_with": made_with} if made_with else {})
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


def play(
    ledger: Ledger,
    plan: Plan,
    accuracy: Callable[[Slot], float],
    *,
    side_by_side: int = 1,
    last_first: bool = False,
    trials: int | None = None,
) -> list[Job]:
    """Run a plan through the real queue and ledger, with made-up accuracies; the jobs in the order of their ends.

    Args:
        ledger: of this sweep; what it holds already is not done again.
        plan: with searches, and with teachers that are trained by then (see :func:`teacher_of`).
        accuracy: of a trial's last epoch on the test set; on the validation set it is one less, and epochs rise by one.
        side_by_side: how many trials are live at a time.
        last_first: whether of those the one that was started last ends first.
        trials: after how many the driver goes away; None to go on to the end.
    """
    queue = TrialQueue(
        plan, {slot.id: teacher_of(slot) for slot in plan.teachers}, set(ledger.finals()), Searches(plan, ledger)
    )
    begin(ledger, plan)
    done: list[Job] = []
    while trials is None or len(done) < trials:
        while len(queue.live) < side_by_side and (started := queue.next()) is not None:
            ledger.append("start", started.key, body=start_body(started.slot, started.trial))
        if not queue.live:
            break
        job = queue.live[-1 if last_first else 0]
        _train(ledger, queue, job, accuracy(job.slot))
        done.append(job)
    return done


def _train(ledger: Ledger, queue: TrialQueue, job: Job, accuracy: float) -> None:
    """A live trial to its end, or to where its search gives it up."""
    held_out = queue.plan.protocol != "paper"
    last = job.slot.epochs
    for epoch in range(1, last + 1):
        reached = accuracy - (last - epoch)
        body = epoch_body(epoch, reached, reached - 1 if held_out else None)
        ledger.append("epoch", job.key, epoch, body)
        if queue.report(job.key, [body]) and epoch < last:
            queue.pruned(job.key)
            return
    epochs = [event.body for event in ledger.events("epoch", trial=job.key)]
    final = final_body("finished", epochs, queue.plan.protocol)
    ledger.append("final", job.key, body=final)
    queue.finished(job.key, None, final)
