"""How far a plan is, by its ledger: what has ended, what is left, and the exit code that follows."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from sweep.engine.queue import TrialQueue
from sweep.exit_codes import DONE, SOME_FAILED
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.plan.teachers import stored_teachers
from sweep.results import read
from trainers.config import TeacherConfig


def standing(plan: Plan, root: Root) -> tuple[set[str], dict[str, int]]:
    """What is over: ids of the plan's slots, and how many trials of each search, its confirming ones included."""
    teachers = stored_teachers(plan, root)
    over = set(teachers)
    path = root.sweep(plan.name).ledger
    if not path.exists():
        return over, {}
    with closing(Ledger(path)) as ledger:
        finals = set(ledger.finals())
        pruned = {event.trial for event in ledger.events("pruned")}
        asked = [(event.body["cell"], event.trial or "") for event in ledger.events("ask")]
        won = {event.body["cell"]: event.body["slots"] for event in ledger.events("chosen")}
        started = {event.body["slot"]: event.trial or "" for event in ledger.events("start")}
    for slot in plan.students:
        known = slot.teacher is None or slot.teacher in teachers
        if known and slot.trial(teachers[slot.teacher] if slot.teacher else None).key in finals:
            over.add(slot.id)
    tried: Counter[str] = Counter()
    for cell in plan.cells:
        searched = [key for of, key in asked if of == cell.id]
        tried[cell.id] += sum(key in finals or key in pruned for key in searched)
        confirming = {started.get(slot["id"], "") for slot in won.get(cell.id, [])} - set(searched)
        if tried[cell.id] >= cell.budget:  # a search that grew may choose others
            tried[cell.id] += len(confirming & finals)
    return over, dict(tried)


def ended(plan: Plan, teachers: dict[str, TeacherConfig], ledger: Ledger) -> set[str]:
    """Keys of the trials that ended for good; not those of teachers that were trained once but are no longer stored."""
    gone = {slot.id for slot in plan.teachers if slot.id not in teachers}
    return {key for key, body in ledger.finals().items() if not (key in gone and body["state"] == "finished")}


def over_and_tried(plan: Plan, queue: TrialQueue, ledger: Ledger) -> tuple[set[str], dict[str, int]]:
    """Ids of the slots that have ended, and how many trials of each search, its confirming ones included."""
    waiting = queue.waiting_ids
    over = {slot.id for slot in plan.slots} - waiting
    ended = {event.trial for event in ledger.events("pruned", "final")}
    tried = Counter(event.body["cell"] for event in ledger.events("ask") if event.trial in ended)
    won = {event.body["cell"]: event.body["slots"] for event in ledger.events("chosen")}
    for cell in plan.cells:
        if tried[cell.id] >= cell.budget:  # a search that grew may choose others
            confirming = {slot["id"] for slot in won.get(cell.id, ()) if slot["seed"] != plan.seeds[0]}
            tried[cell.id] += len(confirming - waiting)
    return over, dict(tried)


def trials_of(plan: Plan, ledger: Ledger) -> list[read.Trial]:
    """The ledger's trials, without those of its plan that `plan`, which may be a part of it, leaves out."""
    whole, found = read.trials(ledger)
    left_out = {slot.id for slot in whole.slots} - {slot.id for slot in plan.slots}
    return [trial for trial in found if trial.slot.id not in left_out]


def exit_code(plan: Plan, ledger: Ledger) -> int:
    """Some failed where a trial of the table did, or a search trial broke; its bad ends are part of a search."""
    trials = trials_of(plan, ledger)
    good = {"search": ("finished", "pruned", "diverged")}
    fine = all(trial.state in good.get(trial.slot.stage, ("finished",)) for trial in trials)
    won = {event.body["cell"] for event in ledger.events("chosen") if event.body["slots"]}
    return DONE if fine and {cell.id for cell in plan.cells} <= won else SOME_FAILED


def so_far(plan: Plan, ledger: Ledger) -> tuple[int, int]:
    """How many trials ended for good, and how many epochs the others have."""
    trials = read.distinct(trials_of(plan, ledger))
    done = [trial for trial in trials if trial.state in ("finished", "diverged", "pruned")]
    return len(done), plan.epochs - sum(trial.slot.epochs for trial in done)
