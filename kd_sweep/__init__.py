"""Finds `sweep`, `trainers` and `search_spaces` where they are installed, whatever else has these names.

The names are common: other tools read a ``sweep.py``, and many people train with a package ``trainers``. Python imports
what it finds first on its path, which begins with the user's folder where something is started there, and in Ray's
workers always: Ray puts the driver's folder there. So whoever imports this package, whose name nobody else has, finds
ours before anything on the path. `sweep` imports it; so does each process of ours that could find another `sweep`: the
console script, Ray's workers, MLflow's server. A user's module of any other name is found as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

OURS = ("search_spaces", "sweep", "trainers")
"""Found first."""
HERE = Path(__file__).absolute().parent.parent
"""The folder that they lie in, beside this package."""


class Finder:
    """Finds our packages; of others Python's own finders know."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Where one of ours lies; None for any other module."""
        return PathFinder.find_spec(name, [str(HERE)]) if name in OURS else None


def find_ours_first() -> None:
    """Have this process import ours from now on; Ray calls it in each worker before anything else.

    Raises:
        ImportError: where it has imported another of that name already.
    """
    for name in OURS:
        _check_ours(name)
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)


def _check_ours(name: str) -> None:
    module = sys.modules.get(name)
    folders = list(getattr(module, "__path__", []))
    if module is not None and not any(_is_here(Path(folder).parent) for folder in folders):
        place = getattr(module, "__file__", None) or folders
        raise ImportError(f"another '{name}' is imported already, from {place}; import sweep before it")


@contextmanager
def spawning() -> Iterator[None]:
    """Processes that are spawned meanwhile find ours first as well: Python gives them this process's path, but none of
    its finders. So what would hide ours comes last on the path."""
    before = sys.path[:]
    sys.path.sort(key=_hides)  # which keeps the order of all others
    try:
        yield
    finally:
        sys.path[:] = before


def _hides(folder: str) -> bool:
    """Whether another module of one of our names lies there."""
    place = Path(folder)
    found = [place / kind for name in OURS for kind in (name, f"{name}.py")]
    return not _is_here(place) and any(path.exists() for path in found)


def _is_here(folder: Path) -> bool:
    return folder.exists() and HERE.samefile(folder)


def main() -> None:
    """The console script `sweep`, and ``python -m kd_sweep``."""
    from sweep.cli import main as command

    command()


find_ours_first()
