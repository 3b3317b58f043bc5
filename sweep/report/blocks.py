"""Epochs of a sweep, many at a time, as a report adds them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ACCURACIES = ("train_acc", "val_acc", "test_acc")
LIVE = "teacher_images"
"""Of an epoch: how many images the teacher itself was run on, where a logit bank may serve them."""
DIAGNOSTICS, SYSTEM = "diagnostics.", "system."
"""Beginnings of the names of what an epoch was measured at, and of what it took of the machine."""


def is_read(name: str) -> bool:
    """Whether a report reads a number of an epoch."""
    return name in ("seconds", LIVE, *ACCURACIES) or name.startswith((DIAGNOSTICS, SYSTEM))


@dataclass(frozen=True)
class Block:
    """Some epochs."""

    trials: Sequence[str | None]
    """The key of each one's trial."""
    epochs: NDArray[np.int64]
    """Their numbers, from 1."""
    prices: NDArray[np.float64]
    """Of a second of each (see :class:`sweep.cost.prices.Bill`)."""
    devices: NDArray[np.float64]
    """That their trials had; 1 where that was not noted."""
    taught: NDArray[np.bool_]
    """Whether their trials have a teacher, and were trained here."""
    numbers: dict[str, NDArray[np.float64]]
    """By name, those that are read (see :func:`is_read`); NaN where an epoch has none."""

    def part(self, beginning: str) -> dict[str, NDArray[np.float64]]:
        """The numbers whose names begin in one way, by the rest of their names."""
        return {
            name.removeprefix(beginning): column for name, column in self.numbers.items() if name.startswith(beginning)
        }
