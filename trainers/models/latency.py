"""How long a network takes for its images: a forward pass, timed here and now.

A pass is timed again and again after a warm-up, and the median counts: what disturbs a machine now and then makes
single passes slower, never faster. A GPU is waited for before and after each pass.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from trainers.models import build

BATCHES = (1, 64)
"""Images of a pass: one that is waited for, and as many as a service collects."""
WARM_UP, FEWEST, MOST = 5, 20, 500
"""Passes that do not count; and those that do, as a rule at least and at most."""
SECONDS = 1.0
"""After which no more passes are timed, once there are :data:`FEWEST`."""
PATIENCE, LEAST = 10, 3
"""After so many times :data:`SECONDS` no more are timed either, once there are so many: a busy machine may take minutes
for twenty."""


@dataclass(frozen=True)
class Latency:
    """Of a forward pass."""

    batch: int
    milliseconds: float
    """The median of all passes, for the whole batch."""
    fastest: float
    """Milliseconds of the fastest pass: where the median is far above it, other work was done beside."""
    passes: int
    device: str
    """``cpu`` or ``cuda``."""
    threads: int
    """That computed it on a CPU, as torch was told."""


def latencies(
    model: str, num_classes: int, image_size: tuple[int, int], *, device: str = "cpu", seconds: float = SECONDS
) -> tuple[Latency, ...]:
    """The latency of an architecture, for each of :data:`BATCHES`: float32, in evaluation mode, images already there.

    Its weights are the initial ones, which take as long as any others.

    Args:
        model: by its name.
        num_classes: `C`.
        image_size: height and width in pixels.
        device: ``cpu``, with as many threads as torch uses, or ``cuda``.
        seconds: see :data:`SECONDS`.

    Raises:
        InputError: for a model that does not exist.
    """
    network = build(model, num_classes=num_classes).eval().to(device)
    return tuple(_timed(network, torch.rand(batch, 3, *image_size, device=device), seconds) for batch in BATCHES)


@torch.inference_mode()
def _timed(network: nn.Module, images: torch.Tensor, seconds: float) -> Latency:
    began = time.perf_counter()
    for _ in range(WARM_UP):
        _pass(network, images)
        if time.perf_counter() > began + seconds:
            break
    passes: list[float] = []
    began = time.perf_counter()
    while _goes_on(len(passes), time.perf_counter() - began, seconds):
        passes.append(_pass(network, images))
    median, fastest = 1000 * statistics.median(passes), 1000 * min(passes)
    return Latency(len(images), median, fastest, len(passes), images.device.type, torch.get_num_threads())


def _goes_on(passes: int, spent: float, seconds: float) -> bool:
    """Whether another pass is timed after so many, which took so long together."""
    if passes < LEAST:
        return True
    return passes < MOST and spent < seconds * (PATIENCE if passes < FEWEST else 1)


def _pass(network: nn.Module, images: torch.Tensor) -> float:
    """Seconds of one."""
    on_gpu = images.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(images.device)
    began = time.perf_counter()
    network(images)
    if on_gpu:
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - began
