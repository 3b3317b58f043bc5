"""What `sweep plan` prints: the trials of a spec, and what of them is done."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from search_spaces.schema import Spec
from sweep.formats import Format, listing
from sweep.layout import Root
from sweep.ledger import Ledger
from sweep.plan import Plan, build_plan
from sweep.run import stored_teachers
from trainers.teachers import TeacherStore


def preview(spec: Spec, root: Root, how: Format) -> str:
    """The plan as text: one row per stage, recipe, pair and method. Writes nothing."""
    root.offer_cache()
    plan = build_plan(spec, TeacherStore(root.teachers))
    over = _over(plan, root)
    trials: Counter[tuple[str, str, str, str]] = Counter()
    epochs: Counter[tuple[str, str, str, str]] = Counter()
    done: Counter[tuple[str, str, str, str]] = Counter()
    for slot in plan.slots:
        row = (slot.stage, slot.recipe, slot.pair, slot.label)
        trials[row] += 1
        epochs[row] += slot.epochs
        done[row] += slot.id in over
    rows = [
        {"stage": row[0], "recipe": row[1], "pair": row[2], "method": row[3]}
        | {"trials": count, "done": done[row], "epochs": epochs[row]}
        for row, count in trials.items()
    ]
    text = listing(rows, how)
    if how is not Format.TABLE:
        return text
    left = sum({slot.id: slot.epochs for slot in plan.slots if slot.id not in over}.values())
    compute = f"{plan.compute['cpus']} CPUs and {plan.compute['gpus']:g} GPUs a trial"
    total = f"{plan.count} trials, {plan.epochs} epochs; {len(over)} done, {left} epochs to run; {compute}"
    return "\n".join([f"{plan.name} on {plan.dataset}", text, total, *plan.notes, ""])


def _over(plan: Plan, root: Root) -> set[str]:
    """Ids of the slots that ended for good."""
    teachers = stored_teachers(plan, root)
    over = set(teachers)
    path = root.sweep(plan.name).ledger
    if not path.exists():
        return over
    with closing(Ledger(path)) as ledger:
        finals = set(ledger.finals())
    for slot in plan.students:
        known = slot.teacher is None or slot.teacher in teachers
        if known and slot.trial(teachers[slot.teacher] if slot.teacher else None).key in finals:
            over.add(slot.id)
    return over
