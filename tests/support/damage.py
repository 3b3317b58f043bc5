"""Files as an accident or a stranger leaves them: cut off, overwritten, swapped, or no files at all. All is seeded."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

MOST_MEMORY = 1_000_000_000
"""Bytes by which a process may grow while it reads small files."""


def damaged(content: bytes, draw: Random) -> bytes:
    """The content with one kind of damage, anywhere in it."""
    if not content:
        return bytes(draw.randrange(256) for _ in range(8))
    place, length = draw.randrange(len(content)), draw.choice((1, 1, 2, 4, 8, 64))
    noise = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length)))
    before, after = content[:place], content[place + length :]
    return draw.choice(
        (
            before + noise + after,
            before + noise + content[place:],
            before + after,
            before,
            before + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :],
        )
    )


def spoil(path: Path, others: list[Path], draw: Random) -> None:
    """Make something of a file that it should not be: mostly a damaged one, sometimes another, sometimes no file."""
    content, other = path.read_bytes(), draw.choice(others).read_bytes()
    way = draw.random()
    path.unlink()
    if way < 0.8:
        path.write_bytes(damaged(content, draw))
    elif way < 0.85:
        path.write_bytes(other)
    elif way < 0.9:
        os.mkfifo(path)
    elif way < 0.95:
        path.symlink_to(draw.choice(("/dev/zero", "/dev/null", "nowhere", path.name)))
    else:
        path.mkdir()


@contextmanager
def little_memory() -> Iterator[None]:
    """What happens inside may take :data:`MOST_MEMORY` more than the process ever had."""
    before = _peak()
    yield
    assert _peak() - before < MOST_MEMORY


def _peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
