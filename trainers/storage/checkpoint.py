"""Checkpoints of one trial: atomic, verified by checksum, the last good one is used when the newest is torn.

The disk is waited for behind the training (:meth:`Checkpoints.keep`). What a process that is killed has written is
there all the same; the sudden end of a machine may tear the newest checkpoint, and then costs the one epoch.
"""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.errors import CheckpointError, StorageError
from trainers.storage.files import flush, write_atomically

_log = logging.getLogger(__name__)
_NAME = re.compile(r"epoch-(?P<epoch>\d+)-(?P<sha>[0-9a-f]{16})\.pt")
KEEP = 2
"""Checkpoints kept per trial: the newest, and the one before it in case the newest is damaged."""

_behind: dict[Path, Future[object]] = {}
"""Of each folder what still goes on for its newest checkpoint, in a thread of this process."""
os.register_at_fork(after_in_child=_behind.clear)  # where the thread is not


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
        self._written = False

    def keep(self, epoch: int, state: dict[str, Any]) -> None:
        """:meth:`save` a state that is changed hereafter, and wait for no disk.

        Of a state on the CPU the file is there when this returns, and is flushed behind it. Of one on a GPU there is a
        copy then, for which the GPU was waited for once, and the file is written behind as well, so that the GPU can go
        on; but not the first, which shows whether anything can be written.

        Raises:
            StorageError: when it cannot be written, or the one before it could not.
        """
        self.settled()
        there, copied = on_host(state)
        if copied and self._written:
            self._go_on(lambda: self._save_there(epoch, there))
            return
        path = self.save(epoch, there, durable=False)
        self._written = True
        self._go_on(lambda: flush(path))

    def _save_there(self, epoch: int, state: dict[str, Any]) -> None:
        """:meth:`save`, unless somebody has dropped the folder: its trial has been given up."""
        try:
            if self.folder.is_dir():
                self.save(epoch, state)
        except MemoryError as error:  # of the checkpoint, and not of the trial
            raise StorageError(f"cannot write a checkpoint to {self.folder}: no memory is left") from error

    def settled(self) -> None:
        """Wait until all that :meth:`keep` was given is on the disk. Raises StorageError when something is not."""
        behind = _behind.pop(self.folder, None)
        if behind is not None:
            behind.result()

    def _go_on(self, task: Callable[[], object]) -> None:
        """Do a task in a thread, which Python ends after it."""
        pool = ThreadPoolExecutor(1, "checkpoint")
        _behind[self.folder] = pool.submit(task)
        pool.shutdown(wait=False)

    def save(self, epoch: int, state: dict[str, Any], *, durable: bool = True) -> Path:
        """Keep `state` as that of `epoch`, then drop all but the newest :data:`KEEP`.

        Others of this epoch or a later one are dropped too: training went on from before them, so they are damaged.
        Whether it is flushed is as :func:`~trainers.storage.files.write_atomically` has it. Raises StorageError.
        """
        data = to_bytes(state)
        path = self.folder / f"epoch-{epoch:04d}-{hashlib.sha256(data).hexdigest()[:16]}.pt"
        write_atomically(path, data, durable=durable)
        others = [other for other in self._newest_first() if other != path]
        older = [other for other in others if _epoch(other) < epoch]
        for other in set(others) - set(older[: KEEP - 1]):
            other.unlink(missing_ok=True)
        return path

    def newest(self) -> dict[str, Any] | None:
        """The state of the newest checkpoint that is whole; None when there is none."""
        with suppress(StorageError):  # whoever gave what is still being written did not come to hear of it
            self.settled()
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


def on_host(state: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A state with all tensors on the CPU, in containers of its own, and whether it has some elsewhere.

    In that case all are copies, those that were on the CPU too, which a training on a GPU changes meanwhile; the device
    is waited for once.
    """
    copied: list[Tensor] = []
    elsewhere = any(value.device.type != "cpu" for value in _tensors(state))

    def hosted(value: Any) -> Any:
        if isinstance(value, Tensor):
            if value.device.type == "cpu":
                return value.clone() if elsewhere else value
            copied.append(value)
            return value.to("cpu", non_blocking=True)
        if isinstance(value, dict):
            mine = copy.copy(value)  # a state of torch's knows more than its items
            mine.update((key, hosted(item)) for key, item in value.items())
            return mine
        return [hosted(item) for item in value] if isinstance(value, list) else value

    there: dict[str, Any] = hosted(state)
    if copied:
        copied[-1].new_zeros(()).item()  # comes when all that was asked for before has
    return there, bool(copied)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _epoch(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match["epoch"]) if match else 0
