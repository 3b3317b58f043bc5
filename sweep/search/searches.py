"""All searches of a plan, rebuilt from the ledger's events: the suggestions (`ask`), the epochs, and how trials
ended."""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from functools import partial
from typing import Any

from sweep.ledger.kinds import Kind
from sweep.ledger.store import Event, Ledger
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.search.begun import begun_by
from sweep.search.cell_search import CellSearch
from sweep.search.known import is_known
from sweep.search.paused import PausedTrials, resumed
from sweep.search.suggest import State
from sweep.search.transfer import Transfer
from sweep.search.won import Won, read_under


class Searches:
    """All searches of a plan, and the ledger's memory of them."""

    def __init__(self, plan: Plan, ledger: Ledger | None = None) -> None:
        self.plan = plan
        self._ledger = ledger
        self._cells_of: dict[str, set[str]] = {}
        """Cells that have ever asked for a trial, by its key."""
        self._all = {cell.id: self._search(cell) for cell in plan.cells}
        self._transfer = Transfer(self._all)
        self._places = {cell.id: place for place, cell in enumerate(plan.cells)}
        self.unfinished: dict[str, Slot] = {}
        """Search trials of earlier runs that have not come to their end, by key."""
        self.claim: Callable[[SearchedCell, bool], bool] = lambda cell, anew: True
        """Whether a search goes on here (:mod:`sweep.engine.divided_searches`), and where that is not settled (`anew`)
        whether it may from now on."""
        self.pauses = PausedTrials(self._all, plan.protocol, ledger)
        self._won = Won(plan.protocol, ledger)
        if ledger is not None:
            self._replay(ledger)

    @classmethod
    def read(cls, plan: Plan, ledger: Ledger) -> list[CellSearch]:
        """The searches as a ledger has them; writes nothing."""
        searches = cls(plan)
        searches._replay(ledger)
        return searches.all

    @property
    def all(self) -> list[CellSearch]:
        """The searches, in the plan's order."""
        return list(self._all.values())

    def go_on(self, ledger: Ledger, after: int) -> None:
        """Bring a search that has not begun here to where another driver has left it.

        Args:
            ledger: which has got its events.
            after: `seq` of the last event before those.
        """
        self._replay(ledger, after)

    def _replay(self, ledger: Ledger, after: int = 0) -> None:
        """Bring the searches to where the ledger's events leave them; epochs of a sweep without any are not read."""
        if not self._all:
            return
        end = partial(self._replay_end, ledger)
        begun = {search.cell.id for search in self._all.values() if search.asked}
        replayed: dict[Kind, Callable[[Event], None]] = {
            "ask": partial(self._replay_ask, ledger),
            "epoch": self._replay_epoch,
            "paused": self._replay_paused,
            "resumed": partial(self._replay_resumed, ledger),
            "failed": partial(self._replay_failed, begun),
            "pruned": end,
            "final": end,
            "race": self._replay_race,
            "chosen": self._replay_chosen,
        }
        for event in ledger.events(*replayed, after=after):
            replayed[event.kind](event)
        for search in self._all.values():
            if search.cell.id not in begun:
                search.replayed()
        self._drop_given_up()

    def _replay_ask(self, ledger: Ledger, event: Event) -> None:
        """A suggestion is part of its search again; its trial is unfinished, unless what came before says how it ended.
        The first of a search begins it anew: a teacher that was trained again may be another one."""
        body, key = event.body, event.trial or ""
        if body["cell"] not in self._all:
            return
        if body["number"] == 0:
            self._begin_anew(body["cell"])
        search = self._all[body["cell"]]
        if body["number"] == 0:
            search.learned = body.get("learned", [])
        search.ask(body["params"], key)
        if not (search.repeat(key) or self._is_known(search, key, ledger, event.seq)):
            self.unfinished.setdefault(key, Slot(**body["slot"]))

    def _replay_paused(self, event: Event) -> None:
        self.pauses.replay_pause(event)
        if not self.runs(event.trial or ""):
            self.unfinished.pop(event.trial or "", None)

    def _replay_resumed(self, ledger: Ledger, event: Event) -> None:
        search, key = self.pauses.replay_resumed(event), event.trial or ""
        if search is not None and not self._is_known(search, key, ledger, event.seq):
            self.unfinished.setdefault(key, search.slot(event.body["number"]))

    def _replay_epoch(self, event: Event) -> None:
        for search in self.of(event.trial or ""):
            search.report(event.trial or "", event.body, again=True)

    def _replay_failed(self, begun: AbstractSet[str], event: Event) -> None:
        """A trial broke; to a search that had `begun` here it did not, where it was another driver's."""
        if not event.body.get("again", False):
            for search in self.of(event.trial or ""):
                if search.cell.id not in begun:
                    search.broke(event.trial or "")

    def _replay_end(self, ledger: Ledger, event: Event) -> None:
        if event.kind == "pruned" and "cells" in event.body:
            self._given_up_by(event.trial or "", event.body["cells"])
            return
        self.ended(event.trial or "", event.body["state"], read_under(self.plan.protocol, event, ledger))

    def _replay_race(self, event: Event) -> None:
        self._won.note_seed(event.body, anew=False)
        self._replay_winner(event.body["cell"], None)

    def _replay_chosen(self, event: Event) -> None:
        self._won.note_chosen(event.body, anew=False)
        raced = event.body["chosen"] if "race" in event.body else []
        self._replay_winner(event.body["cell"], raced[0]["number"] if raced else None)

    def _replay_winner(self, cell: str, number: int | None) -> None:
        if cell in self._all and self._all[cell].cell.racing:
            self._all[cell].winner = number

    def _drop_given_up(self) -> None:
        """Nothing waits for a trial that its search gave up or paused, which is noted now where it was not yet."""
        self.pauses.note()
        planned = {slot.id for slot in self.plan.slots}
        for key, slot in list(self.unfinished.items()):
            if not self.given_up(key):
                continue
            del self.unfinished[key]
            if slot.id not in planned and not self.pauses.holds(key):
                self.prune(key)

    def _given_up_by(self, key: str, cells: Collection[str]) -> None:
        """Note that some searches have given a trial up; another one, of another driver, may yet wait for it."""
        for search in self.of(key):
            if search.cell.id in cells:
                search.give_up(key)
        if not self.runs(key):
            self.unfinished.pop(key, None)

    def prune(self, key: str, noted: dict[str, Any] | None = None) -> dict[str, Any]:
        """Note that a search gives a trial up; what the ledger says of it, with what else is to be `noted`."""
        cells = [search.cell.id for search in self.of(key) if not search.has_paused(key)]
        body = self.pauses.note_given_up(key, cells, noted or {})
        self.ended(key, "pruned", body)
        return body

    def of(self, key: str) -> list[CellSearch]:
        """The searches that a trial is part of."""
        cells = sorted(self._cells_of.get(key, ()), key=self._places.__getitem__)
        return [self._all[cell] for cell in cells if cell in self._all and self._all[cell].asked_for(key)]

    def _search(self, cell: SearchedCell) -> CellSearch:
        """A cell's search that has not begun; which trials it asks for is heard of here."""
        return CellSearch(cell, lambda key: self._cells_of.setdefault(key, set()).add(cell.id))

    def given_up(self, key: str) -> bool:
        """Whether no search waits for a trial that some of them asked for."""
        return bool(self.of(key)) and not self.runs(key)

    def report(self, key: str, epoch: dict[str, Any]) -> None:
        """Note an epoch of a trial."""
        for search in self.of(key):
            search.report(key, epoch)

    def heard(self, key: str) -> int:
        """The last epoch of a trial that a search has noted; 0 where none has."""
        return max((search.heard(key) for search in self.of(key)), default=0)

    def taken_over(self, key: str, epochs: list[dict[str, Any]], final: dict[str, Any]) -> None:
        """Note a trial that another sweep has finished, which the ledger has by now."""
        for epoch in epochs:
            self.report(key, epoch)
        self.ended(key, final["state"], final)
        self.pauses.note()

    def ended(self, key: str, state: str, body: dict[str, Any] | None = None) -> None:
        """Note that a trial came to its end, whatever it is part of: finished, diverged, pruned or failed."""
        told: State = "finished" if state == "finished" else "pruned" if state == "pruned" else "failed"
        self.unfinished.pop(key, None)
        for search in self.of(key):
            search.tell(key, told, body)
        self._won.tell(key, told, body)

    def ask(
        self,
        ready: Callable[[str | None], bool],
        key_of: Callable[[Slot], str],
        taken: Callable[[Slot], bool] = lambda slot: False,
    ) -> tuple[str, Slot] | None:
        """The next search trial, of the search that is furthest behind; None where no search may go on now.

        Args:
            ready: whether a slot's teacher is there.
            key_of: the key of the trial that a slot is.
            taken: takes a trial over that another sweep has finished, where there is one; whether it did. A search that
                minds how long a trial takes has none: that depends on the machine.
        """
        self.pauses.leave(ready)
        while True:
            search = self._next(ready)
            if search is None:
                return None
            if search is not self._all.get(search.cell.id):
                continue  # another driver has begun it
            paused = search.resumes()
            key, slot, known = self._ask(search, key_of) if paused is None else self._resume(search, paused)
            timed = "device_seconds" in search.cell.search["metrics"]
            if not known and (timed or not taken(slot)):
                return key, slot
            self.pauses.note()
            self.pauses.leave(ready)

    def _ask(self, search: CellSearch, key_of: Callable[[Slot], str]) -> tuple[str, Slot, bool]:
        """The trial that a search suggests, and whether enough is known of it already."""
        self._transfer.begin(search)
        params = search.suggest()
        slot = search.cell.slot(params, "search", search.cell.seeds[0])
        key, number = key_of(slot), len(search.asked)
        search.ask(params, key)
        body = {"cell": search.cell.id, "number": number, "params": params, "slot": asdict(slot)}
        known = search.repeat(key) or self._is_known(search, key, self._ledger)
        self.pauses.note(("ask", key, None, body | ({} if number else begun_by(search))))
        return key, slot, known

    def _resume(self, search: CellSearch, number: int) -> tuple[str, Slot, bool]:
        """The same of a trial that it had paused: others may have trained it meanwhile."""
        search.resume(number)
        key = search.keys[number]
        known = self._is_known(search, key, self._ledger)
        self.pauses.note(resumed(search, number))
        return key, search.slot(number), known

    def _is_known(self, search: CellSearch, key: str, ledger: Ledger | None, before: int | None = None) -> bool:
        return is_known(search, key, ledger, self.plan.protocol, before)

    def _next(self, ready: Callable[[str | None], bool]) -> CellSearch | None:
        """The search that is furthest behind, of those that go on here, and where none does, of those that may."""
        able = [search for search in self._all.values() if self._wants_more(search, ready)]
        able.sort(key=lambda search: search.progress)
        return next((search for anew in (False, True) for search in able if self.claim(search.cell, anew)), None)

    def _wants_more(self, search: CellSearch, ready: Callable[[str | None], bool]) -> bool:
        return search.wants_more and ready(search.cell.teacher) and not self._transfer.waits(search)

    def renew(self, ready: Callable[[str | None], bool], key_of: Callable[[Slot], str]) -> None:
        """Begin those searches anew whose trials had another teacher than the one that is there now."""
        for search in list(self._all.values()):
            cell = search.cell
            if not search.keys or not ready(cell.teacher):
                continue
            if key_of(cell.slot(search.asked[0].params, "search", cell.seeds[0])) != search.keys[0]:
                self._begin_anew(cell.id)

    def _begin_anew(self, cell: str) -> None:
        before = self._all[cell]
        self._all[cell] = self._search(before.cell)
        self._won.forget(cell)
        self.unfinished = {key: slot for key, slot in self.unfinished.items() if self.of(key) or key not in before.keys}

    def leave(self, cell: str) -> None:
        """Let another driver have a search."""
        self._all.pop(cell, None)
        self._won.lose(cell)
        self.unfinished = {key: slot for key, slot in self.unfinished.items() if self.of(key)}

    def get(self, cell: str) -> CellSearch | None:
        """A search; None where it was given up, or is another driver's."""
        return self._all.get(cell)

    def runs(self, key: str) -> bool:
        """Whether a search waits for a trial."""
        return any(search.runs(key) for search in self.of(key))

    def lose(self, teacher: str) -> list[SearchedCell]:
        """Give up the searches that wait for a teacher that failed."""
        lost = [search.cell for search in self._all.values() if search.cell.teacher == teacher]
        for cell in lost:
            self.leave(cell.id)
        return lost

    @property
    def exhausted(self) -> bool:
        """Whether every search has come to its end, and its confirming slots were handed out."""
        return all(search.complete and search.settled for search in self._all.values())

    @property
    def racing(self) -> set[str]:
        """Keys of the trials that races wait for."""
        return self._won.waits

    def wanted(self, key_of: Callable[[Slot], str]) -> Callable[[Slot], bool]:
        """Whether a search still waits for a slot of its own: a suggestion that has not ended, or one of its race."""
        unfinished, racing = {slot.id for slot in self.unfinished.values()}, self.racing

        def still(slot: Slot) -> bool:
            key = key_of(slot)
            return key in racing if slot.stage == "race" else slot.id in unfinished or self.runs(key)

        return still

    def confirming(
        self,
        ready: Callable[[str | None], bool],
        key_of: Callable[[Slot], str],
        broken: Callable[[str], bool] = lambda key: False,
    ) -> list[Slot]:
        """The slots that complete searches ask for: those of the next seed of a race, and when it is over, or there is
        none, those that confirm what was won; each once.

        Args:
            ready: whether a slot's teacher is there. A race waits for it, since its trials are known by their keys.
            key_of: the key of the trial that a slot is.
            broken: whether a trial that has no final event is not tried again in this run.
        """
        slots: list[Slot] = []
        for search in self._all.values():
            waits = search.cell.racing and not ready(search.cell.teacher)
            if search.complete and not search.settled and not waits:
                slots += self._won.slots(search, key_of, broken)
        return slots

    def outcome(self, search: CellSearch) -> dict[str, Any]:
        """How the race of a search went (:func:`sweep.search.racing.outcome`); nothing where none has raced."""
        return self._won.outcome(search)
