"""What is asked of a GPU beside training: its memory, what it did in an epoch, and torch's settings as it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

MEGA = 1e6
CALLS = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")
"""How CUDA's calls begin with which the host asks a GPU for something."""
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
"""CUDA's calls that the host waits in."""


def as_torch_begins(device: str) -> None:
    """Have a GPU compute as it does by default, whatever a trial has asked for in this process: convolutions in TF32.
    On a CPU nothing is changed, not even to what it is: torch would compile anew."""
    if not device.startswith("cuda"):
        return
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = False


def held() -> dict[str, float]:
    """Of the GPU's memory, in 10⁶ bytes: what torch's tensors hold, and what torch holds."""
    return {
        "allocated_mb": torch.cuda.memory_allocated() / MEGA,
        "reserved_mb": torch.cuda.memory_reserved() / MEGA,
    }


@dataclass(frozen=True)
class Busy:
    """What a GPU did while some work ran."""

    kernels: int
    """Kernels, copies and fills that ran on it, those of graphs included."""
    seconds: float
    """In which at least one of them ran."""
    calls: int
    """The host's, which asked for them: a graph is one."""
    waits: int
    """Times that the host waited."""


def busy(work: Callable[[], Any]) -> Busy:
    """What the GPU does while `work` runs, as its profiler sees it."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    events: list[Any] = list(seen.events() or [])
    ran = [e for e in events if e.device_type == DeviceType.CUDA and not getattr(e, "is_user_annotation", False)]
    called = Counter(e.name for e in events if e.device_type == DeviceType.CPU)
    covered = union((e.time_range.start, e.time_range.end) for e in ran) / MEGA  # of microseconds
    waits = sum(called[name] for name in WAITS) - 1  # the last is ours
    return Busy(len(ran), covered, sum(n for name, n in called.items() if name.startswith(CALLS)), max(waits, 0))


def union(spans: Iterable[tuple[float, float]]) -> float:
    """How much of a line some spans cover together."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return covered
