"""How much time an epoch of a trial takes."""

from __future__ import annotations

import time
from types import TracebackType


class Clock:
    """Wall time, in seconds, of what happens in its ``with`` blocks."""

    def __init__(self) -> None:
        self._kept = 0.0
        self._since: float | None = None

    def __enter__(self) -> Clock:
        self._since = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept, self._since = self.seconds, None

    def charge(self, seconds: float) -> None:
        """Count what was spent elsewhere on its account."""
        self._kept += seconds

    @property
    def seconds(self) -> float:
        """So far; within a block, up to now."""
        return self._kept + (time.perf_counter() - self._since if self._since is not None else 0.0)
