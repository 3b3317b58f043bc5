"""What the ledger's events say of a trial: the bodies of `start` and `final`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.plan.slots import Slot
    from trainers.config import TrialConfig
    from trainers.teacher.passport import Passport


def start_body(slot: Slot, trial: TrialConfig, devices: float | None = None) -> dict[str, Any]:
    """What the ledger notes of a trial when it starts: its place in the plan and its whole config.

    Args:
        slot: its place.
        trial: its config.
        devices: that it has: GPUs, or CPUs where it has none; None where that is not known.
    """
    noted = {} if devices is None else {"devices": devices}
    return noted | {
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
    held_out = epochs[0]["val_acc"] is not None
    chosen_by = "test_acc" if protocol == "paper" else "val_acc" if held_out else "epoch"
    return {
        "state": state,
        "epochs": len(epochs),
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "last": epochs[-1],
        "best": max(epochs, key=lambda epoch: epoch[chosen_by]),
        "best_by": chosen_by,
    }


def stored_teacher_body(passport: Passport) -> dict[str, Any]:
    """The final event of a teacher that was stored before this sweep, which only reads it."""
    numbers = {"epoch": passport.epochs, "val_acc": passport.val_acc, "test_acc": passport.test_acc}
    return {
        "state": "finished",
        "epochs": 0,
        "seconds": 0.0,
        "last": numbers,
        "best": numbers,
        "best_by": "last",
        "teacher": passport.reference.model_dump(),
    }
