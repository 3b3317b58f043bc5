"""What `sweep plan` prints: the trials of a spec, what of them is done, and what the rest will cost."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import datetime
from typing import Any

from search_spaces.schema import Spec
from sweep import cost
from sweep.formats import Format, listing
from sweep.layout import Root
from sweep.ledger import Ledger
from sweep.plan import Plan, build_plan
from sweep.run import stored_teachers
from trainers.data import DATASETS
from trainers.teachers import TeacherStore

MEGABYTE = 1_000_000
Row = tuple[str, str, str, str]
"""Stage, recipe, pair and method."""


def preview(spec: Spec, root: Root, how: Format) -> str:
    """The plan as text: one row per stage, recipe, pair and method. Writes nothing but the data set's cache."""
    root.offer_cache()
    plan = build_plan(spec, TeacherStore(root.teachers))
    over, tried = standing(plan, root)
    text = listing(_rows(plan, over, tried), how)
    if how is not Format.TABLE:
        return text
    left = cost.estimate(plan, over, tried, root)
    done = len(over) + sum(tried.values())
    compute = f"{plan.compute['cpus']} CPUs and {plan.compute['gpus']:g} GPUs a trial"
    most = "at most " if plan.cells else ""
    total = (
        f"{most}{plan.count} trials, {plan.epochs} epochs; {done} done, {_epochs_left(plan, over, tried)} epochs to run"
    )
    classes = DATASETS[plan.dataset].model_validate(plan.source).load().num_classes
    disk = f"disk: at most {cost.disk_bytes(plan, classes) / MEGABYTE:,.0f} MB of weights and checkpoints"
    lines = [
        f"{plan.name} on {plan.dataset}",
        text,
        f"{total}; {compute}",
        left.text(datetime.now()),
        disk,
        *plan.notes,
    ]
    return "\n".join([*lines, ""])


def _rows(plan: Plan, over: set[str], tried: dict[str, int]) -> list[dict[str, Any]]:
    trials: Counter[Row] = Counter()
    epochs: Counter[Row] = Counter()
    done: Counter[Row] = Counter()
    for slot in plan.slots:
        row: Row = (slot.stage, slot.recipe, slot.pair, slot.label)
        trials[row] += 1
        epochs[row] += slot.epochs
        done[row] += slot.id in over
    for cell in plan.cells:
        budget, ended = cell.budget, tried.get(cell.id, 0)
        parts = (("search", budget, min(ended, budget)), ("confirm", cell.trials - budget, max(ended - budget, 0)))
        for stage, count, over_here in parts:
            row = (stage, cell.recipe, cell.pair, cell.label)
            trials[row] += count
            epochs[row] += count * cell.epochs
            done[row] += over_here
    return [
        {"stage": row[0], "recipe": row[1], "pair": row[2], "method": row[3]}
        | {"trials": count, "done": done[row], "epochs": epochs[row]}
        for row, count in trials.items()
    ]


def _epochs_left(plan: Plan, over: set[str], tried: dict[str, int]) -> int:
    fixed = sum({slot.id: slot.epochs for slot in plan.slots if slot.id not in over}.values())
    return fixed + sum(max(cell.trials - tried.get(cell.id, 0), 0) * cell.epochs for cell in plan.cells)


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
