"""What a process has of a GPU: which one, how much of its memory, and how it computes there.

Nothing here does anything to a process that trains on a CPU.
"""

from __future__ import annotations

import torch


def placed(device: str) -> torch.device:
    """The device of a name; where that has no number, the thread's current GPU, which other threads then mean as well:
    a new thread's own is the first."""
    place = torch.device(device)
    if place.type == "cuda" and place.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return place

