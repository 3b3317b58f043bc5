"""Where the trials of a sweep stand in it now; growing a sweep may rename their rows while the trials stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sweep.ledger.store import Ledger
from sweep.plan.slots import Slot
from sweep.results import read
from sweep.tracking.mlflow_internals import run_name
from sweep.tracking.run_content import slot_tags
from sweep.tracking.runs import Shown


def places(ledger: Ledger) -> dict[str, list[Slot]]:
    """The slots that each started trial fills by the latest plan, by key; scratch may fill one under every pair."""
    slots: dict[str, list[Slot]] = {}
    if ledger.latest("plan") is None:
        return slots
    for trial in read.read(ledger).trials:
        if trial.key is not None:
            slots.setdefault(trial.key, []).append(trial.slot)
    return slots


def winners(ledger: Ledger) -> dict[str, str]:
    """The search trials that count for a row of the table, by key, with the row: what each search has won last."""
    asked = {(event.body["cell"], event.body["number"]): event.trial or "" for event in ledger.events("ask")}
    rows: dict[str, str] = {}
    for cell, body in {event.body["cell"]: event.body for event in ledger.events("chosen")}.items():
        slots = [Slot(**slot) for slot in body["slots"]]
        for winner in body["chosen"]:
            rows[asked[cell, winner["number"]]] = slot_of(winner, slots).row
    return rows


def slot_of(winner: dict[str, Any], slots: list[Slot]) -> Slot:
    """The first of the slots, of whatever seed, that confirm what a search has won."""
    return next(slot for slot in slots if winner["params"].items() <= slot.varied.items())


def moved(shown: dict[str, Shown], ledger: Ledger) -> Iterator[tuple[str, Shown]]:
    """The runs that do not stand where their trials do, by key, with what they should show: the name, and those tags
    that differ."""
    won, slots = winners(ledger), places(ledger)
    for key, run in shown.items():
        slot = _slot_of(run, slots[key]) if key in slots else None
        wanted = slot_tags(slot) if slot else {}
        if "row" not in wanted and (key in won or (slot and run.tags.get("row"))):
            wanted["row"] = won.get(key, "")
        tags = {name: value for name, value in wanted.items() if run.tags.get(name) != value}
        name = run_name(slot.name) if slot else run.name
        if tags or name != run.name:
            yield key, Shown(name, tags)


def _slot_of(run: Shown, slots: list[Slot]) -> Slot:
    """The one of a trial's slots that its run stands for: where it can, the one that it has stood for."""
    return max(slots, key=lambda slot: (slot.stage == run.tags.get("stage"), slot.pair == run.tags.get("pair")))
