"""What of a plan other sweeps below the root have finished, which a run would take over; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sweep.ledger.neighbours import Neighbours
from sweep.ledger.origin import origin_of
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.read import Trial, distinct
from sweep.results.standing import Standing
from trainers.config import TeacherConfig


def elsewhere(
    plan: Plan, teachers: Mapping[str, TeacherConfig], over: Standing, neighbours: Neighbours, ledger: Ledger | None
) -> dict[str, str]:
    """The slots of a plan that are done in other sweeps and not in its own: the sweep that has trained each, by slot
    id. What searches will ask for is not known.

    Args:
        plan: the whole plan, or a part of it.
        teachers: those that are stored, by slot id.
        over: what is done in its own ledger.
        neighbours: the other sweeps.
        ledger: its own; None where it has none yet. What somebody has asked for again is not taken over.
    """
    again = {event.trial for event in ledger.events("again")} if ledger else set()
    left = [slot for slot in plan.students if slot.id not in over.slots]
    ready = [slot for slot in left if slot.teacher is None or slot.teacher in teachers]
    keys = {slot.id: slot.trial(teachers[slot.teacher] if slot.teacher else None).key for slot in ready}
    offers = neighbours.offers(set(keys.values()) - again) if keys else {}
    return {slot: offers[key][0].origin.sweep for slot, key in keys.items() if key in offers}


def taken_from(trials: Iterable[Trial]) -> list[str]:
    """Of those trials that were taken over, each once, the sweep that has trained it."""
    origins = [origin_of(trial.body) for trial in distinct(trials)]
    return [origin.sweep for origin in origins if origin is not None]
