"""The storage's copy of what a trial has so far, which each epoch renews."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from trainers.errors import StorageError
from trainers.storage.shared import NOWHERE, Storage

_log = logging.getLogger(__name__)

REST = 10
"""Times as long as a try took in vain the next one waits: a client of S3 asks for 100 seconds before it gives up."""


class StoredCopy:
    """Of a folder of checkpoints. What the storage has not taken the next try gives it; meanwhile it is on this disk.

    Args:
        storage: which may be away for a while, and costs the trial a tenth of its time then.
        folder: the checkpoints.
    """

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage, self._folder = storage, folder
        self._next = 0.0
        """When the storage is asked again."""

    def renewed(self) -> bool:
        """Whether the storage has the folder as it is now."""
        from trainers.storage.checkpoint import Checkpoints

        if self._storage is NOWHERE:
            return True
        began = time.monotonic()
        if began < self._next:
            return False
        Checkpoints(self._folder).settled()
        try:
            self._storage.mirror(self._folder)
        except StorageError as error:
            now = time.monotonic()
            self._next = now + REST * (now - began)
            _log.warning("%s; going on", error)
            return False
        return True
