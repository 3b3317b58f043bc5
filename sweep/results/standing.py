"""How far a plan is, by its ledger: what has ended, what is left, and the exit code that follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.exit_codes import DONE, SOME_FAILED
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.results import read
from trainers.config import TeacherConfig


@dataclass(frozen=True)
class Standing:
    """What of a plan is over."""

    slots: frozenset[str] = frozenset()
    """Ids of the plan's slots that have ended."""
    searched: Mapping[str, int] = field(default_factory=dict)
    """Trials of each search that have ended, by the cell's id; 0 where none is named."""
    confirmed: Mapping[str, int] = field(default_factory=dict)
    """And of those that confirm what it has won, beside the search's own."""
    raced: Mapping[str, int] = field(default_factory=dict)
    """And of its best's race; of one that is over all that it might have had, whatever it saved."""

    @property
    def tried(self) -> dict[str, int]:
        """All together."""
        return dict(Counter(self.searched) + Counter(self.confirmed) + Counter(self.raced))

    @property
    def trials(self) -> int:
        """Of all kinds."""
        return len(self.slots) + sum(self.tried.values())


def standing(plan: Plan, teachers: Mapping[str, TeacherConfig], ledger: Ledger | None) -> Standing:
    """What of a plan is over, whichever sweep has trained its teachers.

    Args:
        plan: the whole plan, or a part of it.
        teachers: those that are stored, by slot id.
        ledger: None where the sweep has none yet.
    """
    over = {slot.id for slot in plan.teachers if slot.id in teachers}
    if ledger is None:
        return Standing(frozenset(over))
    finals = set(ledger.finals())
    for slot in plan.students:
        known = slot.teacher is None or slot.teacher in teachers
        if known and slot.trial(teachers[slot.teacher] if slot.teacher else None).key in finals:
            over.add(slot.id)
    return Standing(frozenset(over), *_of_searches(plan, ledger, finals))


def _of_searches(plan: Plan, ledger: Ledger, finals: set[str]) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Trials that have ended, by cell: those of the search, others that confirm what it has won, and those of its
    race."""
    ended = finals | {event.trial or "" for event in ledger.events("pruned")}
    started = {slot: key for _, key, slot in ledger.starts()}
    known = read.searching(plan, ledger)
    won = {cell: body["slots"] for cell, body in known.won.items()}
    asked: dict[str, list[str]] = {cell.id: [] for cell in plan.cells}
    for event in known.asked:
        asked[event.body["cell"]].append(event.trial or "")
    searched = {cell: sum(key in ended for key in keys) for cell, keys in asked.items()}
    confirmed, raced = {}, {}
    for cell in plan.cells:
        if searched[cell.id] >= cell.budget:  # a search that grew may choose others
            confirming = {started.get(slot["id"], "") for slot in won.get(cell.id, ())}
            confirmed[cell.id] = len((confirming - set(asked[cell.id])) & finals)
            racing = {started.get(slot["id"], "") for slots in known.raced.get(cell.id, ()) for slot in slots}
            over = cell.id in won and cell.id not in known.racing
            raced[cell.id] = cell.race_trials if over else len(racing & finals)
    return searched, confirmed, raced


def no_longer_needed(
    plan: Plan, teachers: Mapping[str, TeacherConfig], ledger: Ledger | None
) -> dict[str, TeacherConfig]:
    """Teachers that are stored no longer, and that nothing of the plan waits for: all that they taught has ended.

    Args:
        plan: the whole plan, or a part of it; a teacher on which nothing of it depends is wanted for itself.
        teachers: those that are stored, by slot id.
        ledger: which knows what the others were.
    """
    finals = ledger.finals() if ledger else {}
    gone = {
        slot.id: TeacherConfig.model_validate(finals[slot.id]["teacher"])
        for slot in plan.teachers
        if slot.id not in teachers and "teacher" in finals.get(slot.id, {})
    }
    if ledger is None or not gone:
        return {}
    over = standing(plan, {**teachers, **gone}, ledger)
    left = {slot.teacher for slot in plan.students if slot.id not in over.slots}
    left |= {cell.teacher for cell in plan.cells if not _is_over(cell, gone, over, plan, ledger)}
    taught = {slot.teacher for slot in plan.students} | {cell.teacher for cell in plan.cells}
    return {slot: teacher for slot, teacher in gone.items() if slot in taught - left}


def _is_over(
    cell: SearchedCell, teachers: Mapping[str, TeacherConfig], over: Standing, plan: Plan, ledger: Ledger
) -> bool:
    """Whether a search has tried all that it may, and what it has won was run to its end with every seed."""
    known = read.searching(plan, ledger)
    teacher = teachers.get(cell.teacher or "")
    if teacher is None or over.searched.get(cell.id, 0) < cell.budget or cell.id not in known.won:
        return False
    if cell.id in known.racing or bool(cell.racing) != ("race" in known.won[cell.id]):
        return False
    finals = ledger.finals()
    return all(Slot(**slot).trial(teacher).key in finals for slot in known.won[cell.id]["slots"])


def ended(plan: Plan, teachers: Mapping[str, TeacherConfig], ledger: Ledger) -> set[str]:
    """Keys of the trials that ended for good; not those of teachers that were trained once but are no longer stored."""
    gone = {slot.id for slot in plan.teachers if slot.id not in teachers}
    return {key for key, body in ledger.finals().items() if not (key in gone and body["state"] == "finished")}


def trials_of(plan: Plan, ledger: Ledger) -> list[read.Trial]:
    """The ledger's trials, without those of its plan that `plan`, which may be a part of it, leaves out."""
    whole, trials = read.trials(ledger)
    left_out = {slot.id for slot in whole.slots} - {slot.id for slot in plan.slots}
    return [trial for trial in trials if trial.slot.id not in left_out]


def exit_code(plan: Plan, ledger: Ledger) -> int:
    """Some failed where a trial of the table did, or a search trial broke; its bad ends are part of a search."""
    trials = trials_of(plan, ledger)
    good = {"search": ("finished", "pruned", "diverged"), "race": ("finished", "diverged")}
    fine = all(trial.state in good.get(trial.slot.stage, ("finished",)) for trial in trials)
    won = {cell for cell, body in read.searching(plan, ledger).won.items() if body["slots"]}
    return DONE if fine and {cell.id for cell in plan.cells} <= won else SOME_FAILED


def done_and_left(plan: Plan, ledger: Ledger) -> tuple[int, int]:
    """How many trials ended for good, and how many epochs the others have."""
    trials = read.distinct(trials_of(plan, ledger))
    done = [trial for trial in trials if trial.state in ("finished", "diverged", "pruned")]
    return len(done), plan.epochs - sum(trial.slot.epochs for trial in done)
