"""A storage that is asked again where it does not answer, or has no room."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from trainers.errors import AwayError
from trainers.storage.shared import NOWHERE, Storage

T = TypeVar("T")

_log = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds for which it is asked again."""
LONGEST_WAIT = 2 * PATIENCE
"""Seconds after which nobody waits any more: the last try may begin late, and take a client of S3 minutes."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries; the first ones follow sooner."""
LOOK_SECONDS = 0.5
"""Between two looks whether to go on waiting (:func:`while_waiting`)."""
_look: ContextVar[Callable[[], object]] = ContextVar("look", default=lambda: None)


@contextmanager
def while_waiting(look: Callable[[], object]) -> Iterator[None]:
    """In the block, what waits for a storage in this thread looks up now and then; what `look` raises ends the wait."""
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


def patient(storage: Storage) -> Storage:
    """The same storage for who cannot go on without its answer: it is asked again for :data:`PATIENCE` seconds.

    What somebody has to mend (a key that is refused, a bucket that is not there) is an error at once.
    """
    return storage if storage is NOWHERE else _Patient(storage)


class _Patient(Storage):
    """See :func:`patient`. Raises StorageError, from any method."""

    def __init__(self, behind: Storage) -> None:
        self._behind = behind
        self.uri = behind.uri

    def check_writable(self) -> None:
        _asked(self._behind.check_writable)

    def sizes(self, folder: Path) -> dict[str, int]:
        return _asked(lambda: self._behind.sizes(folder))

    def has(self, path: Path) -> bool:
        return _asked(lambda: self._behind.has(path))

    def read(self, path: Path) -> bytes | None:
        return _asked(lambda: self._behind.read(path))

    def pull(self, path: Path, only: str = "*", *, anew: bool = False) -> None:
        _asked(lambda: self._behind.pull(path, only, anew=anew))

    def push(self, path: Path, *, anew: bool = False) -> None:
        _asked(lambda: self._behind.push(path, anew=anew))

    def mirror(self, folder: Path) -> None:
        _asked(lambda: self._behind.mirror(folder))

    def remove(self, path: Path) -> None:
        _asked(lambda: self._behind.remove(path))

    def release(self, folder: Path) -> None:
        self._behind.release(folder)


def _asked(question: Callable[[], T]) -> T:
    """The answer, or the error that comes when there is no patience left."""
    end, pause = time.monotonic() + PATIENCE, 1.0
    while True:
        try:
            return question()
        except AwayError as error:
            left = end - time.monotonic()
            if left <= 0:
                raise
            if pause == 1:
                _log.warning("%s; asking again for %.0f minutes", error, PATIENCE / 60)
            _rest(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)


def _rest(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        _look.get()()
        time.sleep(min(left, LOOK_SECONDS))
