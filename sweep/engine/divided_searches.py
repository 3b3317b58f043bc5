"""The searches of a plan that several drivers divide, as one of them has them: it runs those that it has claimed, each
to the end of its budget and its race, and hears of the others what they have won.

What a search does depends on all that it has done before, so it is one driver's at a time. It tells the others of each
step before it is taken (:mod:`sweep.ledger.histories`); so another can go on with it where this one is killed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sweep.engine.display import Display
from sweep.engine.divided_queue import DividedQueue
from sweep.layout import SweepPaths
from sweep.ledger.claims import LOOK_SECONDS, Claims
from sweep.ledger.histories import Histories, Part, asked_by, bring, news
from sweep.ledger.store import Ledger
from sweep.plan.slots import SearchedCell, Slot
from sweep.search.cell_search import CellSearch


@dataclass
class _Told:
    """What the others know of a search that is ours."""

    parts: int
    keys: set[str]
    """Of the trials that it has asked for."""


class DividedSearches:
    """A member's part in the searches of a divided sweep.

    Args:
        paths: of the sweep.
        claims: the member's.
        ledger: its own.
        display: which hears of what others have searched.
    """

    def __init__(self, paths: SweepPaths, claims: Claims, ledger: Ledger, display: Display) -> None:
        self._claims, self._ledger, self._display = claims, ledger, display
        self._histories = Histories(paths.divided)
        self._ours: dict[str, _Told] = {}
        """By cell, of those that have not come to their end."""
        self._told = 0
        """`seq` of the last event in the ledger that the others know, as far as it is of a search that is ours."""
        self._seen: dict[str, int] = {}
        """The last part that was looked at, by cell."""
        self._looked = 0.0
        self._works = False
        """Whether the last trial that was taken up here has not failed."""
        self.any = False
        """Whether the plan has any."""

    def begin(self, queue: DividedQueue) -> None:
        """From now on a search goes on only when it is claimed."""
        self._queue, self.any = queue, bool(queue.searches.all)
        if self.any:
            queue.claim_search, queue.look = self.claim, self.look

    def look(self) -> None:
        """Tell the others what has happened here, and hear, once in a while, which searches they have ended."""
        self.tell()
        if time.monotonic() - self._looked > LOOK_SECONDS or not self._looked:
            self._hear()
            self._looked = time.monotonic()

    def claim(self, cell: SearchedCell, anew: bool) -> bool:
        """Whether a search goes on here; where nobody runs it, and `anew`, from now on."""
        return cell.id in self._ours or (anew and self._claims.take(_name(cell.id)) and self._take_up(cell.id))

    def tell(self) -> None:
        """Tell the others what has happened in the searches that are ours."""
        last = self._ledger.last_seq()
        for cell, told in list(self._ours.items()):
            search = self._queue.searches.get(cell)
            if search is None:  # its teacher has failed here
                self._give_back(cell)
                continue
            over = search.complete and search.settled
            if over or last != self._told:
                self._tell(search, told, over=over)
        self._told = last

    def ended(self) -> None:
        """A trial has come to its end here."""
        self._works = True

    def failed(self, key: str) -> None:
        """Let another driver go on with a search one of whose trials this one gives up, where it may be this one's
        fault: none has come to its end here since the last that failed, and no other driver has given this one up."""
        works, self._works = self._works, False
        tried = sum(not event.body.get("again", False) for event in self._ledger.events("failed", trial=key))
        if works or tried > 1:
            return
        for search in self._queue.searches.of(key):
            told = self._ours.get(search.cell.id)
            if told is not None:
                self._tell(search, told, over=False)
                self._give_back(search.cell.id)
                self._queue.leave(search.cell.id)

    def _tell(self, search: CellSearch, told: _Told, *, over: bool) -> None:
        cell = search.cell.id
        events = news(self._ledger, cell, after=self._told, told=told.keys)
        if not (events or over):
            return
        part = Part(events, won=self._won(cell) if over else None, spec=self._claims.spec)
        if not self._histories.tell(cell, told.parts, part):
            self._claims.lose()
            return
        self._ours[cell] = _Told(told.parts + 1, asked_by(self._ledger, cell))
        self._seen[cell] = told.parts
        if over:
            del self._ours[cell]
            self._claims.done(_name(cell))

    def _won(self, cell: str) -> list[dict[str, Any]]:
        """The slots that confirm what a search has won, as the ledger has them."""
        chosen = [event.body for event in self._ledger.events("chosen") if event.body["cell"] == cell]
        return list(chosen[-1]["slots"])

    def _give_back(self, cell: str) -> None:
        del self._ours[cell]
        self._claims.give_back(_name(cell))

    def _take_up(self, cell: str) -> bool:
        """Go on with a search that was claimed just now; False where it has come to its end."""
        if self._heard(cell, self._histories.last().get(cell, -1)):
            return False
        self.tell()
        before, history = self._told, self._histories.taken_over(cell)
        bring(self._ledger, [history])
        self._told = self._ledger.last_seq()
        self._ours[cell] = _Told(history.parts, asked_by(self._ledger, cell))
        if history.events:
            self._queue.go_on(self._ledger, before)
        return True

    def _hear(self) -> None:
        """Hear which searches others have ended."""
        for cell, number in self._histories.last().items():
            if cell not in self._ours:
                self._heard(cell, number)

    def _heard(self, cell: str, number: int) -> bool:
        """Whether a search has come to its end elsewhere, by the part of its history that has a number."""
        search = self._queue.searches.get(cell)
        if search is None or number <= self._seen.get(cell, -1):
            return False
        self._seen[cell] = number
        part = self._histories.part(cell, number)
        if part.won is None or part.spec != self._claims.spec:
            return False
        self._display.searched(search.cell, len(part.won))
        self._queue.settle(cell, [Slot(**slot) for slot in part.won])
        return True


def _name(cell: str) -> str:
    """Of a search, as it is claimed."""
    return f"search-{cell}"
