"""Where a sweep is written, as Python names it and as the command's options do."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.layout import DEFAULT_ROOT, Root


def place(root: str | Path | None, storage: str | None) -> Root:
    """A root, by default ``SWEEP_ROOT`` or ``runs``, in front of a storage, by default ``SWEEP_STORAGE`` or none.

    Raises:
        InputError: where `storage` names none.
    """
    path = root if root is not None else os.environ.get("SWEEP_ROOT") or DEFAULT_ROOT
    return Root.at(Path(path).expanduser(), storage or os.environ.get("SWEEP_STORAGE") or None)
