"""How far a tracking server has been told of a sweep and what it refused, as the ledger remembers it for each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from sweep.ledger.store import Ledger
from trainers.storage.content import content_key


def delivered(ledger: Ledger, uri: str) -> int:
    """`seq` of the last event up to which a server has been told everything."""
    return int(ledger.fact(fact(uri)) or 0)


def fact(uri: str) -> str:
    """The ledger's name for how far a server has been told."""
    return f"delivered:{content_key(uri)}"


def told_of(mark: str) -> int:
    """Up to which event a server says that it was told everything; 0 where it says nothing that can be read."""
    return _number(mark.partition(" ")[0])


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


@dataclass(frozen=True)
class Refusal:
    """Something that a server did not take, and would not take again."""

    what: str
    why: str
    trial: str | None
    """Whose events hold it; None of the sweep's own."""
    seq: int
    """Of the event that holds it."""


class Progress:
    """What one server has been told. It is written down after each trial's events, so that nothing is told anew."""

    def __init__(self, ledger: Ledger, uri: str) -> None:
        self._ledger, self._fact, key = ledger, fact(uri), content_key(uri)
        self._ahead_fact, self._refused_fact = f"told-ahead:{key}", f"refused:{key}"
        self._mark_fact = f"marked:{key}"
        self.mark = ledger.fact(self._mark_fact) or ""
        """What the server was last made to say of it; empty where it was not. See :meth:`new_mark`."""
        self.told = delivered(ledger, uri)
        """`seq` of the last event up to which everything was told."""
        self._ahead: dict[str, int] = json.loads(ledger.fact(self._ahead_fact) or "{}")
        """`seq` of the last event of a trial that was told, where it is later than that."""
        self.refused = [Refusal(**one) for one in json.loads(ledger.fact(self._refused_fact) or "[]")]

    def is_told(self, seq: int, trial: str) -> bool:
        """Whether the server has been told an event of a trial."""
        return seq <= max(self.told, self._ahead.get(trial, 0))

    def tell(self, trial: str, seq: int) -> None:
        """A trial's events up to this one were told, ahead of other trials'."""
        self._ahead[trial] = seq
        self._ledger.set_fact(self._ahead_fact, json.dumps(self._ahead))

    def reach(self, seq: int) -> None:
        """Everything up to this event was told."""
        self._write(seq)
        self._forget_ahead()

    def back(self, seq: int) -> None:
        """The server has forgotten what came after this event."""
        self._forget_ahead()
        self._write(min(seq, self.told))

    def _write(self, seq: int) -> None:
        self.told = seq
        self._ledger.set_fact(self._fact, str(seq))

    def _forget_ahead(self) -> None:
        if self._ahead:
            self._ahead = {}
            self._ledger.set_fact(self._ahead_fact, "{}")

    def last_told(self) -> dict[str, int]:
        """`seq` of the last event of each trial that was told."""
        return self._ledger.last_of_trials(self.told) | self._ahead

    @property
    def has_all(self) -> int:
        """`seq` up to which the server has all it was told of the sweep itself: less than `told` where it refused some.

        Where it is set back to what it was meanwhile, all after that is told again.
        """
        return min([self.told, *(one.seq - 1 for one in self.refused if one.trial is None)])

    def new_mark(self) -> str:
        """What the server is to say of how far it was told: how far, and the number of the mark.

        A server that says what it was made to say before has been set back.
        """
        return f"{self.has_all} {_number(self.mark.partition(' ')[2]) + 1}"

    def marked(self, mark: str) -> None:
        """The server says this."""
        self.mark = mark
        self._ledger.set_fact(self._mark_fact, mark)

    def refuse(self, refusal: Refusal) -> bool:
        """Set something aside, in place of the same of an earlier event; False where it, or a later one, is already."""
        of = (refusal.what, refusal.trial)
        same = next((one for one in self.refused if (one.what, one.trial) == of), None)
        if same is not None and (same == refusal or same.seq > refusal.seq):
            return False
        self._remember([*(one for one in self.refused if one is not same), refusal])
        return True

    def forgive(self, some: Iterable[Refusal]) -> None:
        """What was set aside is so no longer: it is about to be tried once more."""
        forgiven = list(some)
        self._remember(one for one in self.refused if one not in forgiven)

    def _remember(self, refused: Iterable[Refusal]) -> None:
        self.refused = list(refused)
        self._ledger.set_fact(self._refused_fact, json.dumps([vars(one) for one in self.refused]))
