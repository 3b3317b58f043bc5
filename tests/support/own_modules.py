"""A user's own modules that have the names of our packages, and tell when they are run."""

from __future__ import annotations

from pathlib import Path

NAMES = ("sweep.py", "trainers/__init__.py", "search_spaces/__init__.py")
"""As somebody has them who sweeps with another tool, or trains with a package of their own."""
OTHER = "my_helpers"
"""A module of the user's with a name of its own."""


def write_own_modules(folder: Path, *names: str) -> Path:
    """Put modules of those names into a folder, each of which notes that it was run; where they note it."""
    ran = folder / "RAN"
    for name in names or NAMES:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(ran)!r}, 'a').write(__name__ + ' ')\n")
    (folder / f"{OTHER}.py").write_text("ANSWER = 42\n")
    return ran
