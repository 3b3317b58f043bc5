"""What of the sweep's own events is told once more, where a server has refused some of it before."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.ledger.store import Event, Ledger
from sweep.tracking.progress import Refusal


def once_more(ledger: Ledger, refused: Iterable[Refusal], told: int) -> list[Event]:
    """The events that say now what was refused, in their order.

    A later event takes the place of an earlier one of its kind (what a search has won, that of the same search). To
    tell the earlier one again would put its views, its table or its state in the place of those that are there.

    Args:
        ledger: the sweep's.
        refused: of the sweep's own.
        told: `seq` up to which the server was told everything; what comes later is told in its turn.
    """
    held = [event for one in refused for event in _at(ledger, one.seq) if event.trial is None]
    kinds = {event.kind for event in held}
    ends = {"sweep", "stop"} & kinds
    some = [ledger.latest(kind) for kind in kinds - {"chosen", "stop"}]
    some += _won(ledger, {event.body.get("cell") for event in held if event.kind == "chosen"})
    some += [_end(ledger)] if ends else []  # a sweep that is told to run once more has ended all the same
    return sorted((event for event in some if event and event.seq <= told), key=lambda event: event.seq)


def _at(ledger: Ledger, seq: int) -> list[Event]:
    return [event for event in ledger.events(after=seq - 1, limit=1) if event.seq == seq]


def _won(ledger: Ledger, cells: set[str | None]) -> list[Event]:
    """What each of the searches has won last."""
    events = ledger.events("chosen") if cells else ()
    last = {event.body.get("cell"): event for event in events}
    return [event for cell, event in last.items() if cell in cells]


def _end(ledger: Ledger) -> Event | None:
    """The end of the sweep's last run; None where that goes on."""
    started, stop = ledger.latest("sweep"), ledger.latest("stop")
    return stop if stop and (started is None or stop.seq > started.seq) else None
