"""The teacher store: weights under their content hash, each with a passport.

A teacher is trained once and then only read. It is refused when its file is not what the passport says, or when its
accuracy on a probe of the test set is not what was measured when the passport was written.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from pydantic import ValidationError

from trainers.checkpoint import from_bytes, to_bytes
from trainers.config import DatasetConfig, Frozen, TeacherConfig, TrialConfig
from trainers.content import file_sha256, tensors_key
from trainers.data.base import ImageData
from trainers.data.views import Views
from trainers.errors import CheckpointError, InputError
from trainers.evaluate import accuracy
from trainers.files import write_atomically
from trainers.fit import EpochResult
from trainers.models import Network, build

PROBE_IMAGES = 1000
"""Test images on which a teacher's accuracy is measured when it is stored, and again when it is loaded."""
PROBE_TOLERANCE = 1.0
"""Points of accuracy by which the two may differ (other devices and precisions round differently)."""


class Passport(Frozen):
    """What is known of a stored teacher."""

    hash: str
    """Content hash of the weights; the folder's name."""
    architecture: str
    num_classes: int
    dataset: DatasetConfig
    origin: TrialConfig
    """The trial that trained it."""
    origin_key: str
    """That trial's key."""
    val_acc: float | None
    """Top-1 on the validation split after the last epoch, in percent."""
    test_acc: float
    """Top-1 on the test set after the last epoch, in percent."""
    probe_acc: float
    """Top-1 on the first :data:`PROBE_IMAGES` test images in fp32, in percent."""
    file_sha256: str
    """Checksum of the weight file."""

    @property
    def reference(self) -> TeacherConfig:
        """What a student's config says of its teacher."""
        return TeacherConfig(architecture=self.architecture, hash=self.hash)


class TeacherStore:
    """The teachers below one folder: ``<hash>/weights.pt`` and ``<hash>/passport.json``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, teacher: Network, config: TrialConfig, data: ImageData, last: EpochResult) -> Passport:
        """Store a trained teacher; storing the same weights again changes nothing."""
        weights = to_bytes({"architecture": config.model, "state_dict": teacher.state_dict()})
        passport = Passport(
            hash=tensors_key(teacher.state_dict()),
            architecture=config.model,
            num_classes=data.num_classes,
            dataset=config.dataset,
            origin=config,
            origin_key=config.key,
            val_acc=last.val_acc,
            test_acc=last.test_acc,
            probe_acc=_probe(teacher, data, config),
            file_sha256=hashlib.sha256(weights).hexdigest(),
        )
        folder = self.folder / passport.hash
        if not self._is_whole(folder):  # the passport comes last: a folder without one is not a teacher yet
            write_atomically(folder / "weights.pt", weights)
            write_atomically(folder / "passport.json", passport.model_dump_json(indent=2).encode() + b"\n")
        return passport

    def passports(self) -> list[Passport]:
        """All stored teachers. Raises CheckpointError for a passport that cannot be read."""
        return [self._passport(path) for path in sorted(self.folder.glob("[0-9a-f]*/passport.json"))]

    def trained_by(self, trial_key: str) -> Passport | None:
        """The teacher that a trial has produced, if it is stored; other teachers' passports are not judged."""
        for path in sorted(self.folder.glob("[0-9a-f]*/passport.json")):
            if f'"{trial_key}"' in path.read_text(errors="replace"):
                passport = self._passport(path)
                if passport.origin_key == trial_key:
                    return passport
        return None

    def check(self, passport: Passport) -> None:
        """Compare the weight file with its passport's checksum.

        Raises:
            CheckpointError: when the file is missing or is not the one that was stored.
        """
        path = self.folder / passport.hash / "weights.pt"
        found = file_sha256(path) if path.is_file() else None
        if found != passport.file_sha256:
            what = "is missing" if found is None else "is damaged: its checksum is not the passport's"
            raise CheckpointError(
                f"teacher {passport.architecture} ({passport.hash}): {path} {what};"
                f" remove the folder {path.parent} and run again to train it anew"
            )

    def load(self, wanted: TeacherConfig, data: ImageData) -> Network:
        """The teacher in evaluation mode, on the CPU.

        Raises:
            CheckpointError: when the file is missing, damaged or not what its name says, or when the accuracy is not
                the one in the passport.
        """
        passport = self._passport(self.folder / wanted.hash / "passport.json")
        if passport.reference != wanted:
            raise CheckpointError(
                f"teacher {wanted.architecture} ({wanted.hash}): its passport is that of {passport.architecture}"
                f" ({passport.hash})"
            )
        self.check(passport)
        teacher = self._built(passport, self.folder / wanted.hash / "weights.pt")
        measured = _probe(teacher, data, passport.origin)
        if tensors_key(teacher.state_dict()) != wanted.hash or abs(measured - passport.probe_acc) > PROBE_TOLERANCE:
            raise CheckpointError(
                f"teacher {passport.architecture} ({passport.hash}) is not what its passport says: accuracy on the"
                f" probe {measured:.2f}, passport {passport.probe_acc:.2f}"
            )
        return teacher.eval()

    @staticmethod
    def _built(passport: Passport, path: Path) -> Network:
        content = from_bytes(path.read_bytes(), f"teacher {path}")
        try:
            teacher = build(passport.architecture, num_classes=passport.num_classes)
            teacher.load_state_dict(content["state_dict"])
        except (InputError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"teacher {path} is no {passport.architecture}: {reason}") from error
        return teacher

    def _is_whole(self, folder: Path) -> bool:
        try:
            self.check(self._passport(folder / "passport.json"))
        except CheckpointError:
            return False
        return True

    @staticmethod
    def _passport(path: Path) -> Passport:
        try:
            return Passport.model_validate(json.loads(path.read_text()))
        except (OSError, ValueError, ValidationError) as error:
            raise CheckpointError(f"teacher passport {path} cannot be read; remove {path.parent}: {error}") from error


def _probe(teacher: Network, data: ImageData, config: TrialConfig) -> float:
    """Top-1 on the first test images, in fp32 on the CPU."""
    views = Views(config.recipe, data, torch.device("cpu"))
    some = data.test.take(torch.arange(min(PROBE_IMAGES, len(data.test))))
    return accuracy(teacher, some, views, torch.autocast("cpu", torch.bfloat16, enabled=False)).top1
