"""What the ledger's events say of a trial: the bodies of `start` and `final`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.plan.slots import Slot
    from trainers.config import TrialConfig
    from trainers.teacher.passport import Passport


STORED = "last"
"""In place of what chose the best epoch: of a teacher that was stored before, of which only its last is known."""


def start_body(slot: Slot, trial: TrialConfig) -> dict[str, Any]:
    """What the ledger notes of a trial when it starts: its place in the plan and its whole config."""
    return {
        "slot": slot.id,
        "name": slot.name,
        "stage": slot.stage,
        "pair": slot.pair,
        "method": slot.method,
        "label": slot.label,
        "row": slot.row,
        "recipe": slot.recipe,
        "seed": slot.seed,
        "config": trial.model_dump(mode="json"),
    }


def final_body(state: str, epochs: list[dict[str, Any]], protocol: str) -> dict[str, Any]:
    """What the ledger notes of a trial when it ends: its last epoch, its best one, and what it cost.

    The best epoch is the one with the highest validation accuracy (the first of equals). Test accuracy chooses it only
    under `protocol: paper`; where nothing is held out otherwise, it is the last.
    """
    if not epochs:
        return {"state": state, "epochs": 0, "seconds": 0.0}
    last = epochs[-1]
    seconds = sum(epoch["seconds"] for epoch in epochs)
    known = {"state": state, "epochs": len(epochs), "seconds": seconds, "last": last}
    return known | _best(epochs, _best_by(last, protocol))


def under_protocol(body: dict[str, Any], protocol: str, epochs: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    """A final body as this protocol reads it.

    The protocol is not part of a trial's key, so a trial that ended under another one is a trial of this sweep too,
    with another best epoch.

    Args:
        body: of a trial's end, under whatever protocol that was.
        protocol: of the plan that reads it.
        epochs: the trial's epochs, which are asked for only where its best epoch is another one.
    """
    noted = body.get("best_by")
    if noted in (None, STORED) or noted == _best_by(body["last"], protocol):
        return body
    return body | _best(epochs(), _best_by(body["last"], protocol))


def _best_by(epoch: dict[str, Any], protocol: str) -> str:
    """What chooses the best of a trial's epochs, by one of them."""
    held_out = epoch["val_acc"] is not None
    return "test_acc" if protocol == "paper" else "val_acc" if held_out else "epoch"


def _best(epochs: list[dict[str, Any]], chosen_by: str) -> dict[str, Any]:
    return {"best": max(epochs, key=lambda epoch: epoch[chosen_by]), "best_by": chosen_by}


def stored_teacher_body(passport: Passport) -> dict[str, Any]:
    """The final event of a teacher that was stored before this sweep, which only reads it."""
    numbers = {"epoch": passport.epochs, "val_acc": passport.val_acc, "test_acc": passport.test_acc}
    return taught_elsewhere(numbers, passport.reference.model_dump())


def taught_elsewhere(numbers: dict[str, Any], teacher: dict[str, Any]) -> dict[str, Any]:
    """The end of a teacher of whose training this ledger has no epochs.

    Args:
        numbers: its last epoch: `epoch`, `val_acc` and `test_acc`.
        teacher: its architecture and content hash.
    """
    return {
        "state": "finished",
        "epochs": 0,
        "seconds": 0.0,
        "last": numbers,
        "best": numbers,
        "best_by": STORED,
        "teacher": teacher,
    }
