"""Checkpoints of one trial: atomic, verified by checksum, the last good one is used when the newest is torn."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from pathlib import Path
from typing import Any

import torch

from trainers.errors import CheckpointError
from trainers.storage.files import write_atomically

_log = logging.getLogger(__name__)
_NAME = re.compile(r"epoch-(?P<epoch>\d+)-(?P<sha>[0-9a-f]{16})\.pt")
KEEP = 2
"""Checkpoints kept per trial: the newest, and the one before it in case the newest is damaged."""


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """`torch.save`, atomically. Raises StorageError when there is no room."""
    write_atomically(path, to_bytes(content))


def to_bytes(content: dict[str, Any]) -> bytes:
    """What `torch.save` would write."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes, what: str) -> dict[str, Any]:
    """Read tensors and plain values, never code (`weights_only`).

    Raises:
        CheckpointError: naming `what`, where the bytes are no such file.
    """
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises anything from EOFError to UnpicklingError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{what} cannot be read as a torch weight file: {reason}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{what} holds a {type(content).__name__}, expected a dict of tensors")
    return content


class Checkpoints:
    """The checkpoints in one folder, named ``epoch-0007-<checksum>.pt``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, epoch: int, state: dict[str, Any]) -> Path:
        """Keep `state` as that of `epoch`, then drop all but the newest :data:`KEEP`.

        Others of this epoch or a later one are dropped too: training went on from before them, so they are damaged.
        """
        data = to_bytes(state)
        path = self.folder / f"epoch-{epoch:04d}-{hashlib.sha256(data).hexdigest()[:16]}.pt"
        write_atomically(path, data)
        others = [other for other in self._newest_first() if other != path]
        older = [other for other in others if _epoch(other) < epoch]
        for other in set(others) - set(older[: KEEP - 1]):
            other.unlink(missing_ok=True)
        return path

    def newest(self) -> dict[str, Any] | None:
        """The state of the newest checkpoint that is whole; None when there is none."""
        for path in self._newest_first():
            try:
                return self._verified(path)
            except (CheckpointError, OSError) as error:
                _log.warning("%s; trying the one before it", error)
        return None

    def _newest_first(self) -> list[Path]:
        checkpoints = [path for path in self.folder.glob("epoch-*.pt") if _NAME.fullmatch(path.name)]
        return sorted(checkpoints, key=_epoch, reverse=True)

    @staticmethod
    def _verified(path: Path) -> dict[str, Any]:
        data = path.read_bytes()
        match = _NAME.fullmatch(path.name)
        if match is None or hashlib.sha256(data).hexdigest()[:16] != match["sha"]:
            raise CheckpointError(f"checkpoint {path} is damaged: its checksum does not match its name")
        return from_bytes(data, f"checkpoint {path}")


def _epoch(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match["epoch"]) if match else 0
