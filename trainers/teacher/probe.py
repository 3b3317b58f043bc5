"""A teacher's accuracy on the first test images: whether it is still what its passport says, asked once on a machine.

What was measured is noted beside the weights, with all that it was measured of, so that of the processes of a machine
that load one teacher only the first measures it.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from trainers.config import Recipe
from trainers.data.base import ImageData, Images
from trainers.errors import StorageError
from trainers.loop.evaluate import accuracy
from trainers.models import Network
from trainers.storage.content import content_key
from trainers.storage.files import write_atomically
from trainers.teacher.passport import PROBE_IMAGES, Passport
from trainers.versions import made_with
from trainers.views.views import Views

PROBED = "probed"
"""The folder of notes, in the teacher's."""


def probe(teacher: Network, data: ImageData, device: str = "cpu") -> float:
    """:func:`top1` on the first test images."""
    return top1(teacher, data.test.take(torch.arange(min(PROBE_IMAGES, len(data.test)))), data, device)


def top1(teacher: Network, split: Images, data: ImageData, device: str = "cpu") -> float:
    """Top-1 on a split of `data`, in fp32 on a device, in percent; the teacher is on the CPU again afterwards."""
    place = torch.device(device)
    views = Views(Recipe(), data, place)  # what is evaluated is the plain view, the same in every recipe
    autocast = torch.autocast(place.type, torch.bfloat16, enabled=False)
    try:
        return accuracy(teacher.to(place), split.to(place), views, autocast).top1
    finally:
        teacher.cpu()


class Note:
    """What this machine has measured of a stored teacher.

    Args:
        folder: the teacher's.
        passport: of it, whose checksum the weight file has.
        data: that it is measured on.
        device: torch's name of the device that measures.
    """

    def __init__(self, folder: Path, passport: Passport, data: ImageData, device: str) -> None:
        kind = torch.device(device).type
        of = [passport.file_sha256, passport.architecture, data.content, kind, made_with(), platform.node()]
        self._file = folder / PROBED / content_key(of)

    def read(self) -> float | None:
        """The accuracy in percent; None where nothing was measured of just this, or the note is damaged."""
        try:
            return float(json.loads(self._file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, measured: float) -> None:
        """Keep it; where it cannot be written, the next process measures again."""
        try:
            write_atomically(self._file, json.dumps(measured).encode())
        except StorageError:
            return
