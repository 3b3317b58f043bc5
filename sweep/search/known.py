"""What is known already of a trial that a search asks for, or takes up again: another slot may be the same one."""

from __future__ import annotations

from sweep.ledger.store import Ledger
from sweep.search.cell_search import CellSearch
from sweep.search.suggest import State
from sweep.search.won import read_under


def is_known(search: CellSearch, key: str, ledger: Ledger | None, protocol: str, before: int | None = None) -> bool:
    """Tell a search what the ledger has of one of its trials; whether it then waits for that no longer, so that nothing
    runs twice.

    Args:
        search: which has just asked for the trial.
        key: the trial's.
        ledger: None where nothing is noted.
        protocol: of the plan, by which trials' ends are read.
        before: `seq` of the event after which the ledger is not read, where that is replayed. What a search that pauses
            made of these epochs is noted then.
    """
    if ledger is None:
        return not search.runs(key)
    decided = before is not None and search.pausing is not None
    for event in ledger.events("epoch", "final", trial=key):
        if before is not None and event.seq > before:
            break
        if event.kind == "epoch":
            search.report(key, event.body, again=decided)
        else:
            state: State = "finished" if event.body["state"] == "finished" else "failed"
            search.tell(key, state, read_under(protocol, event, ledger))
    return not search.runs(key)
