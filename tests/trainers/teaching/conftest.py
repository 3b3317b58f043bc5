"""The small world of :mod:`tests.trainers`."""

from __future__ import annotations

from tests.trainers.conftest import digits, few, teacher

__all__ = ["digits", "few", "teacher"]
