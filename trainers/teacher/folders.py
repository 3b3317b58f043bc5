"""The weight files below a folder, and what is passed over there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainers.errors import InputError
from trainers.storage.endings import WEIGHTS, named_as_weights
from trainers.storage.inputs import is_file, readable

HIDDEN, NO_ENDING, NO_FILE = "hidden", "without an ending", "that is no file"
ASIDE = "__MACOSX"
"""The folder that macOS puts into archives beside the real one."""


@dataclass(frozen=True)
class Below:
    """What lies below a folder."""

    weights: list[Path]
    """Files whose names end as those of weight files do, in the order of their paths."""
    passed: Counter[str] = field(default_factory=Counter)
    """How many files were passed over, by how their names end."""

    @property
    def passed_over(self) -> str:
        """``passed over 3 other files: 2 .md, 1 .json``; empty where there were none."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.passed.items(), key=lambda kind: -kind[1]))
        files = "file" if self.passed.total() == 1 else "files"
        return f"passed over {self.passed.total()} other {files}: {kinds}" if self.passed else ""


def weights_below(folder: Path) -> Below:
    """The weight files below a folder, through links to folders as well, each folder once.

    Raises:
        InputError: where there is none, with what is there, or a folder cannot be read.
    """
    found = Below([])
    for file in _files(folder):
        what = _kind(file)
        if what is None:
            found.weights.append(file)
        else:
            found.passed[what] += 1
    if not found.weights:
        there = f"; {found.passed_over}" if found.passed else ""
        raise InputError(
            f"there is no weight file below {readable(folder)}; their names end in {', '.join(WEIGHTS)}{there}"
        )
    found.weights.sort()
    return found


def _kind(file: Path) -> str | None:
    """Of what kind a file is that is passed over; None for a weight file."""
    if file.name.startswith("."):
        return HIDDEN
    if not named_as_weights(file.name):
        return file.suffix.lower() or NO_ENDING
    return None if is_file(file) else NO_FILE


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder but those in hidden ones."""

    def unreadable(error: OSError) -> None:
        raise InputError(f"cannot read {readable(error.filename)}: {error.strerror}") from error

    seen = set()
    for at, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        status = Path(at).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".") and name != ASIDE]
        yield from (Path(at, name) for name in files)
