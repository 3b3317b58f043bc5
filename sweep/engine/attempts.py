"""How often each trial has failed, and whether it is tried again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sweep.engine.job import share


class Attempts:
    """Of a run's trials, by key.

    Args:
        retries: how often a trial is tried again.
        gpus: that a trial asks for, a share or a number.
    """

    def __init__(self, retries: int, gpus: Any) -> None:
        self._retries, self._gpus = retries, gpus
        self._failed: Counter[str] = Counter()
        self.crowded: Counter[str] = Counter()
        """How often each got a larger share of a GPU because memory was short, which is no failure of its own."""

    def left(self, key: str, crowded: bool, vain: bool) -> bool:
        """Whether a trial would be tried again if this attempt failed.

        Args:
            key: of the trial.
            crowded: memory was short. While there is a larger share of a GPU to give, that is no failure of its own.
            vain: the next attempt would fail as this one has.
        """
        return not vain and ((crowded and self._can_grow(key)) or self._failed[key] < self._retries)

    def note(self, key: str, crowded: bool) -> None:
        """An attempt has failed."""
        (self.crowded if crowded and self._can_grow(key) else self._failed)[key] += 1

    def _can_grow(self, key: str) -> bool:
        return 0 < share(self._gpus, self.crowded[key]) < 1
