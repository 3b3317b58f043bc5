"""Which commit the files of a folder are at, as git says it.

Looking runs nothing that lies in the folder: a repository's own settings can name programs (hooks, filters, monitors),
and who has unpacked a folder of somebody else's has not asked for those. It writes nothing, asks no network and ends
soon, also in a large repository or on a slow disk; where git does not tell, nothing is known.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECONDS = 3.0
"""That git has for each answer."""
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
INERT = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "protocol.allow=never", "core.pager=cat")
ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class State:
    """A repository at one moment. Neither its path nor its remotes are known, which may hold names and passwords."""

    commit: str
    dirty: bool | None
    """Whether a file that it follows was changed since; None where that is not known."""

    def to_json(self) -> dict[str, str | bool | None]:
        """As it is noted."""
        return {"commit": self.commit, "dirty": self.dirty}


def top(folder: Path) -> Path | None:
    """The folder of the repository that a folder lies in; None where git knows of none."""
    told = _git(folder, "rev-parse", "--show-toplevel")
    return Path(told.removesuffix("\n")) if told else None


def state(folder: Path) -> State | None:
    """The state of the repository that a folder lies in.

    Returns:
        None where it lies in none, or that has no commit yet, git is missing or takes too long, or the repository is
        another user's, which git refuses to look at.
    """
    commit = (_git(folder, "rev-parse", "--verify", "HEAD") or "").strip()
    return State(commit, _dirty(folder)) if COMMIT.fullmatch(commit) else None


def _dirty(folder: Path) -> bool | None:
    """Whether a file was changed; None where that would run a filter of the repository's own, or takes too long."""
    if _git(folder, "config", "--local", "--includes", "--get-regexp", r"^filter\.") != "":
        return None
    what = ("--porcelain", "--untracked-files=no", "--ignore-submodules=dirty", "--no-renames")
    changed = _git(folder, "status", *what)
    return None if changed is None else bool(changed)


def _git(folder: Path, *words: str) -> str | None:
    """What git answers; an empty text also where it found nothing, None where it gave no answer."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or "CONFIG" in name}
    settings = [word for setting in INERT for word in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", *settings, *words],
            cwd=folder,
            env=inherited | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode == 1 and words[0] == "config":  # no such setting
        return ""
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
