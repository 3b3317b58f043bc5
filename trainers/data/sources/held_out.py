"""Which images are to test on, where nobody has split a data set: by what they are, not by their order.

Shapes: `N` images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor


def held_out(hashes: Sequence[str], labels: Sequence[int], fraction: float) -> Tensor:
    """Which images are to test on: bool ``[N]``.

    In each class those with the smallest hashes, the share `fraction` of them: one at least, and never all. So a set
    that grows keeps most of its test images, and none of them depends on the order of files or rows. Equal images of a
    class are on one side, unless all that it has are equal.

    Args:
        hashes: of each image's content.
        labels: each image's class.
        fraction: the share of each class, between 0 and 1.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for position in sorted(range(len(hashes)), key=lambda position: (hashes[position], position)):
        members[labels[position]].append(position)
    chosen = torch.zeros(len(hashes), dtype=torch.bool)
    for positions in members.values():
        chosen[positions[: _count([hashes[position] for position in positions], fraction)]] = True
    return chosen


def _count(hashes: Sequence[str], fraction: float) -> int:
    """How many of a class's images, in the order of their hashes: next to its share, where no equal ones are parted."""
    total = len(hashes)
    wanted = min(max(1, round(fraction * total)), total - 1)
    cuts = [cut for cut in range(1, total) if hashes[cut - 1] != hashes[cut]]
    return min(cuts, key=lambda cut: abs(cut - wanted), default=wanted)
