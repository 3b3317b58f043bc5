"""The time that a run was given, by a batch system as a rule: no epoch begins that cannot end in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from trainers.errors import InputError

RESERVE_SECONDS = 120.0
"""Of the time given, at most so much is kept for the end of the run itself: Ray, and what MLflow has not been told."""
RESERVE_SHARE = 0.1
"""And no more than this share of what is left when the run begins."""


class Until:
    """When a run has to be over.

    Args:
        ends: seconds since 1970.
        clock: seconds since 1970.

    Raises:
        InputError: where that has passed.
    """

    def __init__(self, ends: float, clock: Callable[[], float] = time.time) -> None:
        given = ends - clock()
        if given <= 0:
            raise InputError(f"--until {datetime.fromtimestamp(ends):%Y-%m-%d %H:%M:%S} has passed; give a later time")
        self._last = ends - min(RESERVE_SECONDS, RESERVE_SHARE * given)
        self._clock = clock

    def left(self) -> float:
        """Seconds in which epochs may yet run."""
        return self._last - self._clock()


def until(text: str) -> Until:
    """A time as it is typed: ``2026-01-31T18:05``, here, or with its zone; or seconds since 1970, as Slurm has them.

    Raises:
        InputError: where it is neither, or has passed.
    """
    try:
        told = datetime.fromtimestamp(float(text)) if text.isdecimal() else datetime.fromisoformat(text)
        return Until(told.timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"--until {text} is no time; write 2026-01-31T18:05, or seconds since 1970 (as SLURM_JOB_END_TIME)"
        ) from error
