"""A user's own files: read beside a spec, known by their content, imported in every process that needs them.

Others use :func:`read` and :class:`Code` (the files), :func:`load` and :func:`current` (what this process has
imported), :func:`fingerprint` (of one module), :func:`theirs` and :func:`limited` (contexts in which such code is run,
the latter not for ever), :func:`running` (which of it runs now), :func:`told` (an error in such a file, in one line)
and :func:`settings_kept` (torch's settings, set back at the end).
"""

from __future__ import annotations

from trainers.code.files import MOST_BYTES, NO_CODE, Code
from trainers.code.finder import current
from trainers.code.installed import load_installed
from trainers.code.limit import OverdueError, limited
from trainers.code.loaded import fingerprint, load, unload
from trainers.code.places import THEIRS, place_of, raised_by_theirs, running, theirs, told
from trainers.code.reading import read
from trainers.code.settings import settings_kept

__all__ = [
    "MOST_BYTES",
    "NO_CODE",
    "THEIRS",
    "Code",
    "OverdueError",
    "current",
    "fingerprint",
    "limited",
    "load",
    "load_installed",
    "place_of",
    "raised_by_theirs",
    "read",
    "running",
    "settings_kept",
    "theirs",
    "told",
    "unload",
]
