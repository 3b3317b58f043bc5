"""On what disk a folder lies: whether other machines can be expected to see it, and what room is there."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTED = Path("/proc/self/mountinfo")
"""Where Linux tells what is mounted where."""
SHARED = frozenset(
    {
        *("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "panfs", "wekafs", "afs", "orangefs"),
        *("ocfs2", "gfs2", "cvmfs2", "fuse.cvmfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.beegfs"),
    }
)
"""File systems of several machines."""
MEMORY = frozenset({"tmpfs", "ramfs"})
"""Of one machine's memory."""


def whereabouts(path: Path) -> tuple[bool | None, str]:
    """Whether a compute node sees a place, as far as that can be said here, and why.

    Args:
        path: absolute; what does not exist yet lies where its folder does.
    """
    there = _existing(path)
    kind = _file_system(there.resolve())
    if kind in MEMORY:
        return False, f"{path} lies in this machine's memory ({kind}), which no other sees"
    if kind in SHARED:
        return True, f"{path} ({kind})"
    return None, f"{path} lies on {kind or 'a file system that is not known'}: do the compute nodes see it?"


def free(path: Path) -> tuple[int, int | None]:
    """Bytes and inodes that are free; None for inodes where they are made as they are needed."""
    told = os.statvfs(_existing(path))
    return told.f_bavail * told.f_frsize, told.f_favail if told.f_files else None


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _file_system(path: Path) -> str:
    """Of the innermost mount that holds a path; the latest where several lie at one place. Empty where Linux does not
    say."""
    try:
        lines = MOUNTED.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    mounts = [(_unescaped(before.split()[4]), after.split()[0]) for before, _, after in map(_halves, lines)]
    holding = [(len(Path(place).parts), kind) for place, kind in mounts if path.is_relative_to(place)]
    deepest = max((depth for depth, _ in holding), default=0)
    return next((kind for depth, kind in reversed(holding) if depth == deepest), "")


def _halves(line: str) -> tuple[str, str, str]:
    return line.partition(" - ")


def _unescaped(place: str) -> str:
    """Spaces and the like stand as ``\\040``."""
    return place.encode("latin-1", "backslashreplace").decode("unicode_escape")
