"""A race under way: which trial is which place of it, what has ended, and what it asks for next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sweep.plan.slots import Slot
from sweep.search.cell_search import CellSearch
from sweep.search.race import Place, Race, race
from sweep.search.suggest import State

End = tuple[State, dict[str, Any] | None]
"""How a trial ended, and the body of its final event."""


class Racing:
    """The race of one search.

    Args:
        search: which has come to its end.
    """

    def __init__(self, search: CellSearch) -> None:
        self._search = search
        self._contestants = search.best()
        self._numbers: dict[Place, float | None] = {}
        self.waits: dict[str, Place] = {}
        """What has not ended, by the trial's key."""

    @property
    def now(self) -> Race:
        """How it stands."""
        return race(self._search.cell, self._contestants, self._numbers)

    def go_on(
        self,
        key_of: Callable[[Slot], str],
        end_of: Callable[[str], End | None],
        note: Callable[[int, list[Slot]], None],
    ) -> list[Slot]:
        """What it asks for next, where nothing is waited for; nothing when it is over.

        Args:
            key_of: the key of the trial that a slot is.
            end_of: how a trial has ended, where it has.
            note: hears of each seed, how many they are with it, and the slots that it is given to.
        """
        asked: dict[str, Slot] = {}
        while not self.waits and (now := self.now).waits:
            asked = {key_of(slot): slot for slot in map(self._slot, now.waits)}
            self.waits = dict(zip(asked, now.waits, strict=True))
            note(now.seeds, list(asked.values()))
            for key in asked:
                if (end := end_of(key)) is not None:
                    self.tell(key, *end)
        return [slot for key, slot in asked.items() if key in self.waits]

    def _slot(self, place: Place) -> Slot:
        number, seed = place
        return self._search.cell.slot(self._search.asked[number].params, "race", seed)

    def tell(self, key: str, state: State, body: dict[str, Any] | None) -> None:
        """Note how a trial ended, if it is waited for."""
        place = self.waits.pop(key, None)
        if place is not None:
            self._numbers[place] = self._search.values_of(body)[0] if state == "finished" and body else None


def outcome(race: Race) -> dict[str, Any]:
    """What the event `chosen` says of a race that is over; `tied` are those that are not told apart from the winner.

    Where some failed or diverged with a seed, `broke_off` is how many. As many as `contestants`: none has won.
    """
    counts = {"contestants": len(race.contestants), "seeds": race.seeds, "of_seeds": race.of_seeds}
    counts |= {"trials": len(race.asked), "saved": race.saved}
    counts |= {"broke_off": race.broke_off} if race.broke_off else {}
    return counts | {"tied": [one.params for one in race.left[1:]]}
