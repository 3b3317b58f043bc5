"""Files that are written one after the other, of which none is lost because another cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.errors import StorageError

MOST_TOLD = 5
"""Failures that are told one by one."""


class Outputs:
    """Which of several files could be written, and why not the others."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        """Why, in one sentence, by the file's name."""
        self._written = 0

    @contextmanager
    def one(self, path: Path) -> Iterator[None]:
        """Write a file in this context: where that fails, what comes after it still runs."""
        try:
            yield
            self._written += 1
        except StorageError as error:
            self.failures[path.name] = str(error)

    @property
    def told(self) -> list[str]:
        """One line for each that could not be written; where there are many, the first of them and how many more."""
        lines = list(self.failures.values())
        more = len(lines) - MOST_TOLD
        return lines[:MOST_TOLD] + ([f"nor {more} other files"] if more > 0 else [])

    def check(self) -> None:
        """Raises StorageError, which names all that could not be written, where there is any."""
        rest = ["everything else is written"] if self._written else []
        if self.failures:
            raise StorageError("; ".join([*self.told, *rest]))
