"""The ledgers of a storage's other sweeps, brought here to be looked at (:mod:`sweep.ledger.neighbours`)."""

from __future__ import annotations

from sweep.layout import Root, SweepPaths
from sweep.ledger.label import Label
from sweep.ledger.lock import exclusive, holder
from sweep.ledger.snapshot import end_of, fetched_of, holds, label_of, put_in_place, stored
from sweep.ledger.store import Ledger
from trainers.errors import BusyError, StorageError


def restore_others(root: Root, name: str) -> dict[str, str]:
    """Bring the ledgers of the storage's other sweeps here, to be looked at; why not, by name, of those that cannot be.

    One that a driver of this machine writes, that is another sweep's, or that has gone on apart, stays as it is here.

    Raises:
        StorageError: when the storage does not answer.
    """
    left_out = {}
    for other in sorted(stored(root) - {name}):
        try:
            renew(root, other)
        except BusyError:
            continue  # whose own driver has begun meanwhile
        except StorageError as error:
            left_out[other] = str(error)
    root.storage.pull(root.teachers, "*/passport.json")  # whose accuracies stand in their tables
    return left_out


def renew(root: Root, name: str) -> None:
    """Bring another sweep's ledger here up to the storage's, where that knows more of the same history.

    The lock is held for the instant of the exchange alone, so that no driver that begins finds its sweep running.

    Raises:
        BusyError: when a driver of that sweep has begun meanwhile.
        StorageError: when the storage does not answer, or its snapshot is damaged.
    """
    label, paths = label_of(root, name), root.sweep(name)
    if label is None or holder(paths.lock) is not None or _is_up_to_date(paths, label):
        return
    fetched = fetched_of(root, name, label)
    with exclusive(paths.lock, f"sweep '{name}'"):
        with Ledger(fetched) as there:
            known, changed = _knows(there, paths), end_of(there)[1]
        if known:
            put_in_place(paths, fetched, changed, keep=False)
    fetched.unlink(missing_ok=True)


def _is_up_to_date(paths: SweepPaths, label: Label) -> bool:
    """Whether the ledger here is another sweep's than the storage's, or knows all that it does."""
    if not paths.ledger.exists():
        return False
    with Ledger(paths.ledger) as here:
        return here.id != label.id or holds(here, label.seq, label.time)


def _knows(there: Ledger, paths: SweepPaths) -> bool:
    """Whether a snapshot has all that the ledger here has."""
    if not paths.ledger.exists():
        return True
    with Ledger(paths.ledger) as here:
        return here.id == there.id and holds(there, *end_of(here))
