"""How an attempt at a trial breaks, and how to tell: an exception, no memory, the end of its process, or silence."""

from __future__ import annotations

import errno
from typing import Literal

from sweep.text import shortened
from trainers.errors import kind_of, text_of

Broken = Literal["failed", "out-of-memory", "worker-died", "hung"]
"""States of a trial whose attempt broke: an exception, no memory, the end of its process, or a process that was ended
because it stood still (:mod:`sweep.engine.vigil`). All are tried again."""
BROKEN: tuple[Broken, ...] = ("failed", "out-of-memory", "worker-died", "hung")
NO_MEMORY = (
    "out of memory",
    "allocate memory",
    "bad_alloc",
    "outofmemoryerror",
    "low on memory",
    "_alloc_failed",
    "_allocation_failed",
    "unable to find an engine",
    "unable to find a valid cudnn algorithm",
    "when calling `cublascreate",
    "when calling `cudnncreate",
)
"""What torch on a GPU, its CPU allocator, CUDA's libraries and Ray say where memory is short; in lower case. cuDNN
finds no engine where none has room to work in, and where a library cannot begin at all, a full GPU is why as a rule."""
MEMORY_ADVICE = "a smaller recipe.batch_size needs less; a larger compute.cpus or compute.gpus leaves each trial more"


class WorkerLostError(Exception):
    """One of the processes that train a trial together died."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was short, on a device or on the machine."""
    short = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    return short or says_out_of_memory(f"{kind_of(error)}: {text_of(error)}")


def says_out_of_memory(text: str) -> bool:
    """Whether an error's text says so, where the exception itself stayed in another process."""
    return any(mark in text.lower() for mark in NO_MEMORY)


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
