"""What came of a sweep: each planned trial with its state, and each search with what it has found.

Read from the ledger: the latest plan says which trials belong to the sweep, later events what became of them. Nothing
that failed is left out: every slot of the plan has a :class:`Trial`, started or not.
"""

from __future__ import annotations

import json
import socket
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

from sweep.layout import SweepPaths
from sweep.ledger import lock
from sweep.ledger.bodies import under_protocol
from sweep.ledger.store import Event, Ledger
from sweep.plan.labels import teacher_of
from sweep.plan.slots import Plan, SearchedCell, Slot, as_under
from trainers.config import TeacherConfig
from trainers.errors import InputError

PASSPORTS = "passports"
"""In the folder of a sweep that came in a pack."""
FOR_GOOD = ("finished", "diverged")
"""States that no later event changes."""


@dataclass(frozen=True)
class Trial:
    """A planned trial and what the ledger knows of it."""

    slot: Slot
    key: str | None
    """None until it has been started."""
    state: str
    """finished, diverged, pruned, failed, out-of-memory, worker-died, running, interrupted or waiting."""
    body: dict[str, Any]
    """Of the event that gave the state; empty while it waits or runs."""
    epochs: int
    """Epochs recorded; 0 where they were not asked for."""


@dataclass(frozen=True)
class Searched:
    """How far the search of one cell is."""

    asked: int = 0
    """Configurations suggested."""
    states: dict[str, int] = field(default_factory=dict)
    """Where it has come to its end: how its trials ended, by state."""
    chosen: tuple[dict[str, Any], ...] = ()
    """What it has won, best first: `number`, `params` and `values` of each."""
    ended: bool = False
    racing: bool = False
    """Whether its best race for what it will have won."""
    samplers: dict[str, int] = field(default_factory=dict)
    """How many of the configurations each sampler suggested: a spec's may be changed while a search goes on."""
    race: dict[str, Any] = field(default_factory=dict)
    """How that race went, as :func:`sweep.search.racing.outcome` has it; empty where there was none."""


@dataclass(frozen=True)
class Results:
    """All that a table is made of."""

    plan: Plan
    trials: list[Trial]
    searches: dict[str, Searched]
    """By cell id; every cell of the plan has one."""
    teachers: dict[str, float]
    """Test accuracy in percent by the teacher's name in its pairs."""

    @property
    def states(self) -> dict[str, int]:
        """How many trials are in each state, each trial once."""
        return dict(Counter(trial.state for trial in distinct(self.trials)))


def read(ledger: Ledger, *, counts_epochs: bool = False) -> Results:
    """The results as the ledger has them now.

    Args:
        ledger: the sweep's.
        counts_epochs: whether each trial says how many epochs are recorded of it, which takes longer.

    Raises:
        InputError: when the sweep has no plan yet.
    """
    plan = planned(ledger)
    trials = _trials(plan, ledger, ledger.epochs_done() if counts_epochs else {})
    teachers = _stored_teachers(plan, SweepPaths(ledger.path.parent)) | trained_teachers(trials)
    return Results(plan, trials, _searches(plan, ledger), teachers)


def trials(ledger: Ledger) -> tuple[Plan, list[Trial]]:
    """The latest plan with the state of each of its slots, and the epochs that are recorded of it.

    Raises:
        InputError: when the sweep has no plan yet.
    """
    plan = planned(ledger)
    return plan, _trials(plan, ledger, ledger.epochs_done())


def planned(ledger: Ledger) -> Plan:
    """The latest plan; raises InputError where there is none."""
    event = ledger.latest("plan")
    if event is None:
        raise InputError(f"{ledger.path} holds no plan yet")
    return Plan.from_json(event.body)


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Each trial once: scratch stands under every pair that shares its student, and a search's best is confirmed."""
    return list({trial.slot.id: trial for trial in trials}.values())


def merit(some: Iterable[Trial], protocol: str) -> float:
    """How good trials are by what a protocol may choose by, mean over those that finished.

    The papers' protocol chooses by the best test accuracy, the other by the validation accuracy after the last epoch.

    Returns:
        Percent; -1, less than any accuracy, where no trial has finished or nothing is held out.
    """
    done = [trial.body for trial in some if trial.state == "finished"]
    values = [body["best"]["test_acc"] if protocol == "paper" else body["last"]["val_acc"] for body in done]
    return statistics.fmean(values) if values and None not in values else -1.0


def outcomes(
    ledger: Ledger, protocol: str | None = None
) -> tuple[dict[str, str], dict[str, tuple[str, dict[str, Any]]]]:
    """Of all that was ever started, planned or not: the key of each slot's latest trial, and each key's state.

    With a state comes the body of the event that gave it, as a protocol reads it or as it was noted; an empty one of a
    trial that runs.
    """
    keys: dict[str, str] = {}
    states: dict[str, tuple[str, dict[str, Any]]] = {}
    starts = ((seq, key, "running", {"slot": slot}) for seq, key, slot in ledger.starts())
    ends = (
        (event.seq, event.trial or "", event.kind, event.body)
        for event in ledger.events("failed", "interrupted", "pruned", "final", "retrained")
    )
    for _, key, kind, body in merge(starts, ends, key=itemgetter(0)):
        if kind == "running":
            keys[body["slot"]] = key
        if kind == "retrained" or states.get(key, ("", {}))[0] not in FOR_GOOD:
            known = {} if kind == "running" else _under(protocol, key, body, ledger) if protocol else body
            states[key] = (str(known.get("state", kind)), known)
    return keys, states


def _under(protocol: str, key: str, body: dict[str, Any], ledger: Ledger) -> dict[str, Any]:
    return under_protocol(body, protocol, lambda: [event.body for event in ledger.events("epoch", trial=key)])


def _trials(plan: Plan, ledger: Ledger, done: dict[str, int]) -> list[Trial]:
    keys, states = outcomes(ledger, plan.protocol)
    slots = [*plan.slots, *_searched_slots(plan, ledger)]
    keys |= _known_otherwise(slots, keys, states)
    keys |= _taught_anew(slots, ledger)
    interrupted = any(state == "running" for state, _ in states.values()) and not _driven(ledger)

    def trial(slot: Slot) -> Trial:
        key = keys.get(slot.id)
        if key not in states:
            return Trial(slot, None, "waiting", {}, 0)
        state, body = states[key]
        return Trial(slot, key, "interrupted" if state == "running" and interrupted else state, body, done.get(key, 0))

    return [trial(slot) for slot in slots]


def _driven(ledger: Ledger) -> bool:
    """Whether a driver is, or may be, at work on the sweep; one that was killed cannot note that its trials run no
    longer. Of one on another machine, whose ledger is here as a copy alone, nothing can be seen."""
    paths, begun = SweepPaths(ledger.path.parent), ledger.latest("sweep")
    if not paths.lock.exists() and begun is not None and begun.body["host"] != socket.gethostname():
        return True
    return lock.holder(paths.lock) is not None


def _taught_anew(slots: list[Slot], ledger: Ledger) -> dict[str, str]:
    """Keys of slots whose teacher was trained again to other weights: what its former one taught is no result of it."""
    teachers = {event.trial: _config(event.body["teacher"]) for event in ledger.events("retrained")}
    return {slot.id: slot.trial(teachers[slot.teacher]).key for slot in slots if slot.teacher in teachers}


def _known_otherwise(
    slots: list[Slot], keys: dict[str, str], states: dict[str, tuple[str, dict[str, Any]]]
) -> dict[str, str]:
    """Keys of those slots whose trial was started as another slot's: the same one, in a spec that named it otherwise.

    A teacher may be named by its architecture in one run and by its hash in the next; the key is the same.
    """
    new = [slot for slot in slots if slot.id not in keys]
    if not new or states.keys() <= {keys[slot.id] for slot in slots if slot.id in keys}:
        return {}
    teachers = {key: body["teacher"] for key, (_, body) in states.items() if "teacher" in body}
    known = [slot for slot in new if slot.teacher is None or slot.teacher in teachers]
    found = {slot.id: slot.trial(_config(teachers.get(slot.teacher or ""))).key for slot in known}
    return {slot: key for slot, key in found.items() if key in states}


def _config(teacher: dict[str, Any] | None) -> TeacherConfig | None:
    return None if teacher is None else TeacherConfig.model_validate(teacher)


@dataclass(frozen=True)
class Searching:
    """What the searches of a plan have done."""

    asked: list[Event]
    """For which trials, in that order."""
    won: dict[str, dict[str, Any]]
    """The body of what each has won, by cell."""
    raced: dict[str, list[list[dict[str, Any]]]]
    """The slots of the race of each, by cell, seed by seed."""
    racing: set[str]
    """Cells whose race goes on: the latest that is known of them."""


def searching(plan: Plan, ledger: Ledger) -> Searching:
    """What the plan's searches have asked for and won.

    A search that was begun anew, as its teacher is another one, has asked for nothing before that, and won nothing.
    """
    cells = {cell.id for cell in plan.cells}
    known = Searching([], {}, {}, set())
    for event in ledger.events("ask", "race", "chosen"):
        cell = event.body["cell"]
        if event.kind == "ask" and event.body["number"] == 0 and cell in cells:
            known.asked[:] = [earlier for earlier in known.asked if earlier.body["cell"] != cell]
            known.won.pop(cell, None)
            known.raced.pop(cell, None)
        if cell in cells:
            _note(known, cell, event)
    return known


def _note(known: Searching, cell: str, event: Event) -> None:
    known.racing.discard(cell)
    if event.kind == "ask":
        known.asked.append(event)
    elif event.kind == "race":
        known.raced.setdefault(cell, [])[event.body["seeds"] - 1 :] = [event.body["slots"]]
        known.racing.add(cell)
    else:
        known.won[cell] = event.body
        known.raced[cell] = known.raced.get(cell, [])[: event.body.get("race", {}).get("seeds", 0)]


def _searched_slots(plan: Plan, ledger: Ledger) -> list[Slot]:
    """The slots that the plan's searches have added: what they tried, and what confirms what they have won."""
    cells = {cell.id: cell for cell in plan.cells}
    known = searching(plan, ledger)
    bodies = [(event.body["cell"], event.body["slot"]) for event in known.asked]
    bodies += [(cell, slot) for cell in cells for seed in known.raced.get(cell, ()) for slot in seed]
    bodies += [
        (cell, slot) for cell in cells if cell in known.won for slot in known.won[cell]["slots"]
    ]  # in the plan's order
    slots = [
        as_under(place, cells[cell], Slot(**body)) if cells[cell].also else Slot(**body)
        for cell, body in bodies
        for place in cells[cell].places
    ]
    return list({(slot.id, slot.stage, slot.pair): slot for slot in slots}.values())


def trained_teachers(trials: Iterable[Trial]) -> dict[str, float]:
    """Test accuracies after the last epoch of the teachers that the sweep has trained."""
    done = [trial for trial in trials if trial.slot.stage == "teacher" and trial.state == "finished"]
    return {trial.slot.pair: trial.body["last"]["test_acc"] for trial in done}


def stored(plan: Plan, paths: SweepPaths) -> dict[str, tuple[str, Path]]:
    """Hashes and passports of the teachers that the plan takes as they are stored, by their names in its pairs, where
    these are here: in the store, or beside a ledger that came in a pack (:mod:`sweep.packs`)."""
    places: list[Slot | SearchedCell] = [*plan.students, *plan.searched]
    taught = [(teacher_of(place.pair), place.config["teacher"]) for place in places]
    hashes = {name: teacher["hash"] for name, teacher in taught if teacher}
    there = {
        name: [paths.root.teachers / hashed / "passport.json", paths.folder / PASSPORTS / f"{hashed}.json"]
        for name, hashed in hashes.items()
    }
    found = {name: next((file for file in files if file.exists()), None) for name, files in there.items()}
    return {name: (hashes[name], file) for name, file in found.items() if file is not None}


def _stored_teachers(plan: Plan, paths: SweepPaths) -> dict[str, float]:
    """Accuracies of the teachers that the plan takes as they are stored."""
    passports = {name: file for name, (_, file) in stored(plan, paths).items()}
    return {name: json.loads(file.read_bytes())["test_acc"] for name, file in passports.items()}


def _searches(plan: Plan, ledger: Ledger) -> dict[str, Searched]:
    known = searching(plan, ledger)
    asked = Counter(event.body["cell"] for event in known.asked)
    samplers = _samplers(known.asked, ledger)
    searches = {}
    for cell in plan.cells:
        body = known.won.get(cell.id, {"states": {}, "chosen": []})
        ends = {"ended": cell.id in known.won, "racing": cell.id in known.racing, "race": body.get("race", {})}
        by = dict(samplers.get(cell.id, {}))
        searches[cell.id] = Searched(asked[cell.id], body["states"], tuple(body["chosen"]), samplers=by, **ends)
    return searches


def _samplers(asked: Iterable[Event], ledger: Ledger) -> dict[str, Counter[str]]:
    """By cell how many suggestions came from each sampler: that of the plan that was noted last before each."""
    plans = list(ledger.events("plan"))[::-1] if asked else []
    noted = [(event.seq, {cell["id"]: cell["search"]["sampler"] for cell in event.body["cells"]}) for event in plans]
    found: dict[str, Counter[str]] = {}
    for event in asked:
        cell = event.body["cell"]
        sampler = next((by[cell] for seq, by in noted if seq < event.seq and cell in by), None)
        if sampler is not None:
            found.setdefault(cell, Counter())[sampler] += 1
    return found
