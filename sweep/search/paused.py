"""The trials that a plan's searches have paused, and the ledger's memory of it: when each paused, went on, and was
given up in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sweep.ledger.bodies import final_body
from sweep.ledger.store import Entry, Event, Ledger
from sweep.plan.slots import Slot
from sweep.search.cell_search import CellSearch


class PausedTrials:
    """What searches pause, take up again and leave.

    Args:
        searches: all of a plan, by their cells' ids.
        protocol: of the plan, by which a trial's best epoch is told.
        ledger: the sweep's, which hears of what is new; None where nothing is noted.
    """

    def __init__(self, searches: Mapping[str, CellSearch], protocol: str, ledger: Ledger | None) -> None:
        self._searches, self._protocol, self._ledger = searches, protocol, ledger
        self.let_go: Callable[[Slot, dict[str, Any]], object] = lambda slot, body: None
        """Hears of each trial that was paused and is given up; `body` is what the ledger says of it."""

    def holds(self, key: str) -> bool:
        """Whether a search has paused a trial; another one may wait for it."""
        return any(search.has_paused(key) for search in self._searches.values())

    def note(self, *beside: Entry) -> None:
        """Note what was paused since, once the ledger has the epochs after which it was, and something `beside` before
        it; all of it or, where the process is killed in between, nothing."""
        entries = [*beside, *(entry for search in self._searches.values() for entry in _paused_by(search))]
        if self._ledger is not None and entries:
            self._ledger.append_all(entries)

    def replay_pause(self, event: Event) -> None:
        """A search is where it paused a trial, whatever the ledger has of that trial by then."""
        search = self._searches.get(event.body["cell"])
        if search is not None:
            search.pause(event.trial or "", event.body["epoch"])

    def replay_resumed(self, event: Event) -> CellSearch | None:
        """The search that went on with a trial; None where it has not paused it, or there is none."""
        search, number = self._searches.get(event.body["cell"]), event.body["number"]
        if search is None or number not in search.paused:
            return None
        search.resume(number)
        return search

    def leave(self, ready: Callable[[str | None], bool]) -> None:
        """Give up what is paused and will not go on, where all else of a search has come to its end.

        Args:
            ready: whether a slot's teacher is there.
        """
        for search in self._searches.values():
            for number in search.paused if search.lets_go and ready(search.cell.teacher) else ():
                key = search.keys[number]
                body = self.note_given_up(key, [search.cell.id], self._place(key))
                search.give_up(key)
                self.let_go(search.slot(number), body)

    def note_given_up(self, key: str, cells: Iterable[str], noted: Mapping[str, Any]) -> dict[str, Any]:
        """Note that the searches of some cells give a trial up; what the ledger says of it, with what else is to be
        `noted`."""
        epochs = [event.body for event in self._ledger.events("epoch", trial=key)] if self._ledger else []
        body = final_body("pruned", epochs, self._protocol) | dict(noted) | {"cells": list(cells)}
        if self._ledger is not None:
            self._ledger.append("pruned", key, body=body)
        return body

    def _place(self, key: str) -> dict[str, Any]:
        """Where a trial ran that was interrupted last, as far as it has said."""
        bodies = [event.body for event in self._ledger.events("interrupted", trial=key)] if self._ledger else []
        return {"ran_on": bodies[-1]["ran_on"]} if bodies and "ran_on" in bodies[-1] else {}


def resumed(search: CellSearch, number: int) -> Entry:
    """That a search goes on with a suggestion which it had paused."""
    return "resumed", search.keys[number], None, {"cell": search.cell.id, "number": number}


def _paused_by(search: CellSearch) -> list[Entry]:
    """What a search has paused and the ledger has not heard of, which it hears now."""
    numbers = [number for number in search.unnoted if search.asked[number].state == "paused"]
    search.unnoted.clear()
    return [("paused", search.keys[number], None, _pause(search, number)) for number in numbers]


def _pause(search: CellSearch, number: int) -> dict[str, Any]:
    return {"cell": search.cell.id, "number": number, "epoch": max(search.asked[number].epochs, default=0)}
