"""What a process has of a GPU: which one, how much of its memory, and how it computes there.

Nothing here does anything to a process that trains on a CPU.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

CONTEXT_BYTES = 500_000_000
"""About what CUDA itself takes of a GPU's memory for each process, which torch does not count."""
WORKSPACE = ":4096:8"
"""Of cuBLAS, with which its products repeat (NVIDIA's documentation, "Results reproducibility")."""

# For trials that are to repeat. Torch looks once, at a process's first product on a GPU, whose ever that is: a worker's
# later ones would be refused.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)


def placed(device: str) -> torch.device:
    """The device of a name; where that has no number, the thread's current GPU, which other threads then mean as well:
    a new thread's own is the first."""
    place = torch.device(device)
    if place == torch.device("cuda"):
        return torch.device("cuda", torch.cuda.current_device())
    return place


def computing(place: torch.device, *, tf32: bool, deterministic: bool) -> None:
    """Let float32 be computed on a GPU as a recipe says, until somebody else says otherwise.

    Args:
        place: of the training.
        tf32: whether inputs of convolutions and matrix products are rounded to 10 bits of mantissa.
        deterministic: whether torch takes the algorithms that repeat, bit for bit, on one kind of GPU; it then raises
            RuntimeError where it has none.
    """
    if place.type != "cuda":
        return
    torch.use_deterministic_algorithms(deterministic)
    _round(tf32, tf32)


@contextmanager
def exact(place: torch.device) -> Iterator[None]:
    """A context in which a GPU computes float32 in full, without TF32."""
    if place.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    _round(False, False)
    try:
        yield
    finally:
        _round(*before)


def _round(convolutions: bool, products: bool) -> None:
    """Which of them read TF32 on a GPU."""
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


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
