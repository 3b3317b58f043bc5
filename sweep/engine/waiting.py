"""The slots that wait for their turn, in order: to find, add or take one out costs the same however many there are."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from sweep.plan.slots import Slot

Group = tuple[str | None, bool]
"""What slots have in common: the teacher that they wait for, and whether they confirm, and so come last."""


class Waiting:
    """Slots in order.

    Args:
        slots: those that wait from the beginning.
    """

    def __init__(self, slots: Iterable[Slot] = ()) -> None:
        self._begin(slots)

    def _begin(self, slots: Iterable[Slot]) -> None:
        self._first, self._last = 0, 0
        self._groups: dict[Group, OrderedDict[int, Slot]] = {}
        """Slots by their places, in order."""
        self._by_id: dict[str, dict[int, Slot]] = {}
        self._count = 0
        for slot in slots:
            self.append(slot)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Slot]:
        """All of them, in order; none may be added or taken out meanwhile."""
        return self._merged(self._groups.values())

    def __contains__(self, slot: object) -> bool:
        return isinstance(slot, Slot) and any(other is slot for other in self._by_id.get(slot.id, {}).values())

    @property
    def ids(self) -> set[str]:
        """Of all that wait."""
        return set(self._by_id)

    def able(self, ready: Callable[[str | None], bool], *, confirming: bool = True) -> Iterator[Slot]:
        """Those whose teacher is there, in order; none may be added or taken out meanwhile.

        Args:
            ready: whether a teacher is there.
            confirming: False leaves out those that confirm.
        """
        groups = self._groups.items()
        return self._merged(some for (teacher, last), some in groups if (confirming or not last) and ready(teacher))

    def beside(self, slot: Slot) -> Iterable[Slot]:
        """Those that wait for the same teacher, and confirm where this one does, in order; none may be added or taken
        out meanwhile."""
        return self._groups.get(_group(slot), {}).values()

    def of(self, slot_id: str) -> Slot | None:
        """The first with an id; None where none has it."""
        places = self._by_id.get(slot_id)
        return places[min(places)] if places else None

    def append(self, slot: Slot) -> None:
        """Put a slot behind all others."""
        self._last += 1
        self._put(self._last, slot)

    def put_first(self, slot: Slot) -> None:
        """Put a slot before all others."""
        self._first -= 1
        self._put(self._first, slot)
        self._groups[_group(slot)].move_to_end(self._first, last=False)

    def remove(self, slot: Slot) -> None:
        """Take a slot out. Raises KeyError for one that does not wait."""
        places = self._by_id.get(slot.id, {})
        place = next((place for place, other in places.items() if other is slot), None)
        if place is None:
            raise KeyError(slot.id)
        del places[place]
        if not places:
            del self._by_id[slot.id]
        del self._groups[_group(slot)][place]
        self._count -= 1

    def keep(self, wanted: Callable[[Slot], bool]) -> list[Slot]:
        """Take out all that are not wanted; these, in their order."""
        gone = [slot for slot in self if not wanted(slot)]
        for slot in gone:
            self.remove(slot)
        return gone

    def sort(self, key: Callable[[Slot], float]) -> None:
        """Order them by a number; equal ones stay as they are."""
        self._begin(sorted(self, key=key))

    def _put(self, place: int, slot: Slot) -> None:
        self._groups.setdefault(_group(slot), OrderedDict())[place] = slot
        self._by_id.setdefault(slot.id, {})[place] = slot
        self._count += 1

    @staticmethod
    def _merged(groups: Iterable[OrderedDict[int, Slot]]) -> Iterator[Slot]:
        places = (some.items() for some in groups if some)
        return (slot for _, slot in heapq.merge(*places, key=_place))


def _place(item: tuple[int, Slot]) -> int:
    return item[0]


def _group(slot: Slot) -> Group:
    return slot.teacher, slot.stage == "confirm"
