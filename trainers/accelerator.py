"""What a process has of a GPU: which one, how much of its memory, and how it computes there.

Nothing here does anything to a process that trains on a CPU.
"""

from __future__ import annotations

import gc
import sys

import torch

CONTEXT_BYTES = 500_000_000
"""About what CUDA itself takes of a GPU's memory for each process, which torch does not count."""


def placed(device: str) -> torch.device:
    """The device of a name; where that has no number, the thread's current GPU, which other threads then mean as well:
    a new thread's own is the first."""
    place = torch.device(device)
    if place.type == "cuda" and place.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return place


def limited(share: float) -> None:
    """Bound this process's tensors to its share of the current GPU's memory, so that it does not take its neighbours'.

    Args:
        share: 0.25 is a quarter of the GPU, 1 or more all of it; 0, a process without one.
    """
    if share:
        torch.cuda.set_per_process_memory_fraction(min(share, 1.0))


def given_back() -> None:
    """Free what ended trials have left on the GPU: for this process's next trial, and for its neighbours.

    A compiled network is a cycle that only the garbage collector takes apart, and its recorded graphs hold memory.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    compiled_forgotten()
    gc.collect()
    torch.cuda.empty_cache()


def compiled_forgotten() -> None:
    """Forget what was compiled in this process. Torch compiles one function for a few networks only (eight), and then
    runs it for others as it is, without a word."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
