"""What searches that have come to their end ask for, and note in the ledger: the seeds of their races, and the slots
that confirm what was won."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from sweep.ledger.bodies import under_protocol
from sweep.ledger.store import Event, Ledger
from sweep.plan.labels import label
from sweep.plan.slots import Slot
from sweep.search.cell_search import CellSearch, tried
from sweep.search.history import Chosen
from sweep.search.race import races
from sweep.search.racing import End, Racing, outcome
from sweep.search.suggest import State


class Won:
    """The races of a plan's searches, and what they have won.

    Args:
        protocol: of the plan, by which trials' ends are read.
        ledger: the sweep's, which hears of what is new; None where nothing is noted.
    """

    def __init__(self, protocol: str, ledger: Ledger | None) -> None:
        self._protocol, self._ledger = protocol, ledger
        self._races: dict[str, Racing] = {}
        """By cell, of those searches that have come to their end."""
        self._recorded: dict[str, dict[str, Any]] = {}
        """By cell, the body of its event `chosen`."""
        self._seeds_recorded: dict[str, list[dict[str, Any]]] = {}
        """Of each cell's race, a body of the event `race` for each seed."""

    @property
    def waits(self) -> set[str]:
        """Keys of the trials that races wait for."""
        return {key for racing in self._races.values() for key in racing.waits}

    def tell(self, key: str, state: State, body: dict[str, Any] | None) -> None:
        """Note how a trial ended, if a race waits for it."""
        for racing in self._races.values():
            racing.tell(key, state, body)

    def lose(self, cell: str) -> None:
        """Give up the race of a cell."""
        self._races.pop(cell, None)

    def forget(self, cell: str) -> None:
        """Of a cell whose search begins anew, what was noted counts no more."""
        self.lose(cell)
        self._seeds_recorded.pop(cell, None)
        self._recorded.pop(cell, None)

    def slots(self, search: CellSearch, key_of: Callable[[Slot], str], broken: Callable[[str], bool]) -> list[Slot]:
        """What a complete search asks for, by its race or after it.

        Args:
            search: which is not settled.
            key_of: the key of the trial that a slot is.
            broken: whether a trial that has no final event is not tried again in this run.
        """
        if not races(search.cell, search.best()):
            return self._settle(search, {})
        racing = self._races.setdefault(search.cell.id, Racing(search))
        slots = racing.go_on(key_of, partial(self._end_of, broken), partial(self._ask_seed, search.cell.id))
        if not racing.waits:
            search.winner = racing.now.winner.number
            return self._settle(search, {"race": self.outcome(search)})
        return slots

    def outcome(self, search: CellSearch) -> dict[str, Any]:
        """How the race of a search went (:func:`sweep.search.racing.outcome`); nothing where none has raced."""
        racing = self._races.get(search.cell.id)
        return outcome(racing.now) if racing and not racing.waits else {}

    def note_seed(self, body: dict[str, Any], *, anew: bool = True) -> None:
        """One more seed of a race, which takes the place of what was noted of that seed and of later ones.

        Args:
            body: of the event `race`.
            anew: whether the ledger is to hear of it.
        """
        noted, place = self._seeds_recorded.setdefault(body["cell"], []), body["seeds"] - 1
        if noted[place : place + 1] != [body]:
            noted[place:] = [body]
            self._recorded.pop(body["cell"], None)  # what was won before counts no more
            if self._ledger is not None and anew:
                self._ledger.append("race", body=body)

    def note_chosen(self, body: dict[str, Any], *, anew: bool = True) -> None:
        """What a search has won; of its race no more counts than the seeds that led to that.

        Args:
            body: of the event `chosen`.
            anew: whether the ledger is to hear of it.
        """
        if self._recorded.get(body["cell"]) != body:
            self._recorded[body["cell"]] = body
            del self._seeds_recorded.get(body["cell"], [])[body.get("race", {}).get("seeds", 0) :]
            if self._ledger is not None and anew:
                self._ledger.append("chosen", body=body)

    def _ask_seed(self, cell: str, seeds: int, slots: list[Slot]) -> None:
        self.note_seed({"cell": cell, "seeds": seeds, "slots": [asdict(slot) for slot in slots]})

    def _end_of(self, broken: Callable[[str], bool], key: str) -> End | None:
        """How a trial has ended, where it has."""
        ends = self._ledger.events("final", trial=key) if self._ledger is not None else iter(())
        event = next(ends, None)
        if event is None or self._ledger is None:
            return ("failed", None) if broken(key) else None
        finished = event.body["state"] == "finished"
        return "finished" if finished else "failed", read_under(self._protocol, event, self._ledger)

    def _settle(self, search: CellSearch, raced: dict[str, Any]) -> list[Slot]:
        search.settled = True
        won = search.chosen()
        cell = search.cell
        slots = [cell.slot(chosen.params, "confirm", seed) for seed in cell.seeds for chosen in won]
        if len(cell.search["metrics"]) > 1:  # a Pareto front: each of it has a row of its own
            slots = [replace(slot, label=f"{slot.label} {label('', tried(cell, slot)).strip()}") for slot in slots]
        states = Counter(asked.state for asked in search.asked)
        body: dict[str, Any] = {
            "cell": search.cell.id,
            "chosen": [_body(chosen) for chosen in won],
            "states": dict(states),
            "slots": [asdict(slot) for slot in slots],
            **raced,
        }
        self.note_chosen(body)
        return slots


def read_under(protocol: str, event: Event, ledger: Ledger) -> dict[str, Any]:
    """The body of a trial's end, as a protocol reads it."""
    epochs = partial(ledger.events, "epoch", trial=event.trial or "")
    return under_protocol(event.body, protocol, lambda: [epoch.body for epoch in epochs()])


def _body(chosen: Chosen) -> dict[str, Any]:
    """As the event `chosen` lists it."""
    return {"number": chosen.number, "params": chosen.params, "values": list(chosen.values)}
