"""What the ledger's events say of a trial."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sweep.queue import Job
    from trainers.teachers import Passport

Broken = Literal["failed", "out-of-memory", "worker-died"]
"""States of a trial whose attempt broke: an exception, no memory, or the end of its process. All are tried again."""
BROKEN: tuple[Broken, ...] = ("failed", "out-of-memory", "worker-died")
NO_MEMORY = ("out of memory", "allocate memory", "_alloc_failed", "outofmemoryerror", "low on memory")
"""What torch on a GPU, its CPU allocator, CUDA's libraries and Ray say where memory is short; in lower case."""
MEMORY_ADVICE = "a smaller recipe.batch_size needs less; a larger compute.cpus or compute.gpus leaves each trial more"


def start_body(job: Job) -> dict[str, Any]:
    """What the ledger notes of a trial when it starts: its place in the plan and its whole config."""
    slot = job.slot
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
        "config": job.trial.model_dump(mode="json"),
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


LONGEST_REASON = 160


class WorkerLostError(Exception):
    """One of the processes that train a trial together died."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was short, on a device or on the machine."""
    short = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    return short or says_out_of_memory(f"{type(error).__name__}: {error}")


def says_out_of_memory(text: str) -> bool:
    """Whether an error's text says so, where the exception itself stayed in another process."""
    return any(mark in text.lower() for mark in NO_MEMORY)


def first_line(error: BaseException, hide: Callable[[str], str] = str) -> str:
    """An exception in one line: ``ValueError: what it says``."""
    lines = hide(str(error)).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return shortened(text)


def shortened(line: str) -> str:
    """A line that fits a table."""
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def with_advice(state: Broken, reason: str) -> str:
    """A reason, and what would help where memory was short."""
    return f"{reason}; {MEMORY_ADVICE}" if state == "out-of-memory" else reason


def worker_death(text: str) -> tuple[Broken, str]:
    """State and reason of a trial whose worker died, from what Ray Tune writes of its failures.

    Each begins with a line ``Failure # 1 (occurred at …)``. Then comes the worker's traceback where it raised, which it
    does with a broken device; otherwise a sentence, and below it what Ray knows of the actor.
    """
    lines = [line.strip() for line in text.rpartition("Failure # ")[2].splitlines()[1:] if line.strip()]
    why = (lines[-1] if lines[0].startswith("ray::") else lines[0].partition(". ")[0]) if lines else "no reason given"
    state: Broken = "out-of-memory" if says_out_of_memory(why) else "worker-died"
    return state, with_advice(state, shortened(f"its worker died: {why}"))
