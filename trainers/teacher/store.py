"""The teacher store: weights under their content hash, each with a passport.

A teacher is trained once, or imported once, and then only read. It is refused when its file is not what the passport
says, or when its accuracy on a probe of the test set is not what was measured when the passport was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from pydantic import ValidationError

from trainers.config import DatasetConfig, Normalisation, TeacherConfig, TrialConfig
from trainers.data.base import ImageData
from trainers.errors import CheckpointError, InputError
from trainers.models import MODELS, Network, build
from trainers.result import EpochResult
from trainers.storage.checkpoint import from_bytes, to_bytes
from trainers.storage.content import file_sha256, tensors_key
from trainers.storage.files import write_atomically
from trainers.storage.shared import NOWHERE, Storage
from trainers.teacher.normalisation import normalisation_of, renormalised
from trainers.teacher.passport import Passport
from trainers.teacher.pretrained import NORMALISATION, Imported, Pretrained
from trainers.teacher.probe import Note, probe, top1

WEIGHTS, PASSPORT = "weights.pt", "passport.json"
"""A teacher's files."""
PROBE_TOLERANCE = 1.0
"""Points of accuracy by which the two may differ (other devices and precisions round differently)."""
SHORTEST_PREFIX = 6
"""Digits of a hash that a reference must have."""


class TeacherStore:
    """The teachers below one folder, ``<hash>/weights.pt`` and ``<hash>/passport.json``, and in the storage behind it.

    Passports are fetched when they are looked for, weights when they are loaded.
    """

    def __init__(self, folder: Path, storage: Storage = NOWHERE) -> None:
        self.folder = folder
        self._storage = storage

    def add(
        self, teacher: Network, config: TrialConfig, data: ImageData, last: EpochResult, device: str = "cpu"
    ) -> Passport:
        """Store a trained teacher, whose accuracy `device` measures; storing the same weights again changes nothing."""
        weights = _weights(config.model, teacher)
        passport = Passport(
            hash=tensors_key(teacher.state_dict()),
            architecture=config.model,
            num_classes=data.num_classes,
            dataset=config.dataset,
            origin=config,
            origin_key=config.key,
            val_acc=last.val_acc,
            test_acc=last.test_acc,
            probe_acc=probe(teacher, data, device),
            file_sha256=hashlib.sha256(weights).hexdigest(),
        )
        if not self._is_whole(self.folder / passport.hash):
            self._write(passport, weights)
        self._offer(passport.hash)
        return passport

    def adopt(self, pretrained: Pretrained, data: ImageData, dataset: DatasetConfig, device: str = "cpu") -> Passport:
        """Store a teacher that was trained elsewhere, with its accuracy on the whole test set as it is measured here.

        Weights that are stored already, imported or trained, stay as they are, and so does their passport.

        Args:
            pretrained: the weights, from :func:`trainers.teacher.pretrained.read`.
            data: the data set that the teacher was trained on.
            dataset: what a trial's config says of it.
            device: torch's name of the device that measures.

        Raises:
            InputError: when the data set has another number of classes or images of a size that the network does not
                take, or the store has these weights for other data.
        """
        pretrained = pretrained.on(data)
        what = f"teacher {pretrained.origin.file} ({pretrained.architecture})"
        if pretrained.num_classes != data.num_classes:
            raise InputError(
                f"{what} tells {pretrained.num_classes} classes apart, but data set '{data.name}' has"
                f" {data.num_classes}; import it for the data set that it was trained on"
            )
        if self._is_whole(self.folder / pretrained.hash):
            self._offer(pretrained.hash)
            return self._known(what, pretrained.hash, dataset)
        teacher = pretrained.teacher(data)
        weights = _weights(pretrained.architecture, pretrained.network(), pretrained.normalisation)
        try:
            probed = probe(teacher, data)
        except RuntimeError as error:  # such as an image too small to be halved once more
            height, width = data.image_size
            raise InputError(f"{what} does not take images of {height} × {width} pixels: {error}") from error
        passport = Passport(
            hash=pretrained.hash,
            architecture=pretrained.architecture,
            num_classes=pretrained.num_classes,
            dataset=dataset,
            origin=pretrained.origin,
            origin_key=pretrained.hash,
            val_acc=None,
            probe_acc=probed,
            test_acc=top1(teacher, data.test, data, device),
            file_sha256=hashlib.sha256(weights).hexdigest(),
            normalisation=pretrained.normalisation,
        )
        self._write(passport, weights)
        self._offer(passport.hash)
        return passport

    def _known(self, what: str, known: str, dataset: DatasetConfig) -> Passport:
        """The passport of weights that are here already. Raises InputError where it was written for other data."""
        folder = self.folder / known
        stored = self._passport(folder / PASSPORT)
        if stored.dataset.content != dataset.content:
            raise InputError(
                f"{what} is stored already, measured on other data ({stored.dataset.name}, {stored.dataset.content})"
                f" than these ({dataset.name}, {dataset.content}); remove {folder} first"
            )
        return stored

    def find(self, reference: str) -> Passport:
        """The stored teacher that `reference` names: ``resnet56@0123abcd``, or the first digits of a hash alone.

        Raises:
            InputError: when it names none or several, with those that are stored.
            CheckpointError: when a passport cannot be read.
        """
        architecture, _, prefix = reference.rpartition("@")
        if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},}}", prefix):
            raise InputError(
                f"a stored teacher is named by at least {SHORTEST_PREFIX} digits of its hash, alone or as"
                f" architecture@hash, found '{reference}'; {self._stored()}"
            )
        matching = [self._passport(path) for path in self._passports_of(prefix)]
        passports = [passport for passport in matching if architecture in ("", passport.architecture)]
        if len(passports) != 1:
            how = "no stored teacher is" if not passports else "several stored teachers are"
            raise InputError(f"{how} named by '{reference}'; {self._stored()}")
        return passports[0]

    def _stored(self) -> str:
        """What is there, for a message."""
        names = [f"{p.architecture}@{p.hash} ({p.dataset.name}, {p.test_acc:.2f} %)" for p in self.passports()]
        return f"stored: {', '.join(names)}" if names else f"none is stored below {self.folder}"

    def passports(self) -> list[Passport]:
        """All stored teachers. Raises CheckpointError for a passport that cannot be read."""
        return [self._passport(path) for path in self._passports_of()]

    def trained_by(self, trial_key: str) -> Passport | None:
        """The teacher that a trial has produced, if it is stored; other teachers' passports are not judged."""
        for path in self._passports_of():
            if f'"{trial_key}"' in path.read_text("utf-8", "replace"):
                passport = self._passport(path)
                if passport.origin_key == trial_key:
                    return passport
        return None

    def check(self, passport: Passport) -> None:
        """Compare the weight file with its passport's checksum; one that only the storage has, whoever loads it does.

        Raises:
            CheckpointError: when the file is missing or is not the one that was stored.
        """
        path = self.folder / passport.hash / WEIGHTS
        if not path.is_file() and self._storage.has(path):
            return
        checksum = file_sha256(path) if path.is_file() else None
        if checksum != passport.file_sha256:
            what = "is missing" if checksum is None else "is damaged: its checksum is not the passport's"
            imported = isinstance(passport.origin, Imported)
            again = f"import {passport.came_from} again" if imported else "run again to train it anew"
            raise CheckpointError(
                f"teacher {passport.architecture} ({passport.hash}): {path} {what};"
                f" remove the folder {path.parent} and {again}"
            )

    def offer(self) -> None:
        """Give the storage the teachers that lie here and not there. Raises StorageError when it takes none."""
        there = self._storage.sizes(self.folder)
        for path in sorted(self.folder.glob(f"[0-9a-f]*/{PASSPORT}")):
            if path.relative_to(self.folder).as_posix() not in there:
                self._offer(path.parent.name)

    def load(self, wanted: TeacherConfig, data: ImageData, device: str = "cpu") -> Network:
        """The teacher in evaluation mode, on the CPU.

        Its accuracy is measured on `device`, the first time that a process of this machine loads it.

        Raises:
            CheckpointError: when the file is missing, damaged or not what its name says, or when the accuracy is not
                the one in the passport.
        """
        self._storage.pull(self.folder / wanted.hash)
        passport = self.passport(wanted.hash)
        if passport.reference != wanted:
            raise CheckpointError(
                f"teacher {wanted.architecture} ({wanted.hash}): its passport is that of {passport.architecture}"
                f" ({passport.hash})"
            )
        teacher = self.network(passport, normalisation_of(data))
        note = Note(self.folder / passport.hash, passport, data, device)
        known = note.read() if not MODELS.module(passport.architecture) else None  # another's code may have changed
        measured = probe(teacher, data, device) if known is None else known
        if tensors_key(teacher.state_dict()) != wanted.hash or abs(measured - passport.probe_acc) > PROBE_TOLERANCE:
            raise CheckpointError(
                f"teacher {passport.architecture} ({passport.hash}) is not what its passport says: accuracy on the"
                f" probe {measured:.2f}, passport {passport.probe_acc:.2f}"
            )
        if known is None:
            note.write(measured)
        return teacher

    def network(self, passport: Passport, given: Normalisation) -> Network:
        """A stored teacher, in evaluation mode, on the CPU, without measuring it again.

        Args:
            passport: the teacher's.
            given: what the images that it will get are normalised by; one with a normalisation of its own changes them.

        Raises:
            CheckpointError: when the file is missing or damaged, or is not what the passport says.
        """
        self._storage.pull(self.folder / passport.hash)
        self.check(passport)
        built = self._built(passport, self.folder / passport.hash / WEIGHTS).eval()
        return renormalised(built, passport.normalisation, given)

    def passport(self, content_hash: str) -> Passport:
        """The passport of the teacher of that hash. Raises CheckpointError where there is none, or none to be read."""
        self._storage.pull(self.folder / content_hash / PASSPORT)
        return self._passport(self.folder / content_hash / PASSPORT)

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

    def _write(self, passport: Passport, weights: bytes) -> None:
        """The passport comes last: a folder without one is not a teacher yet."""
        folder = self.folder / passport.hash
        write_atomically(folder / WEIGHTS, weights)
        write_atomically(folder / PASSPORT, passport.model_dump_json(indent=2).encode() + b"\n")

    def _offer(self, teacher: str) -> None:
        for name in (WEIGHTS, PASSPORT):  # in this order: see _write
            if (self.folder / teacher / name).is_file():  # else the storage has it
                self._storage.push(self.folder / teacher / name)

    def _passports_of(self, prefix: str = "[0-9a-f]") -> list[Path]:
        """The passports of teachers whose hash begins with `prefix`, of the storage too."""
        self._storage.pull(self.folder, f"{prefix}*/{PASSPORT}")
        return sorted(self.folder.glob(f"{prefix}*/{PASSPORT}"))

    def _is_whole(self, folder: Path) -> bool:
        try:
            self._storage.pull(folder / PASSPORT)
            self.check(self._passport(folder / PASSPORT))
        except CheckpointError:
            return False
        return True

    @staticmethod
    def _passport(path: Path) -> Passport:
        try:
            return Passport.model_validate(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise CheckpointError(f"teacher passport {path} cannot be read; remove {path.parent}: {error}") from error


def _weights(architecture: str, network: Network, own: Normalisation | None = None) -> bytes:
    """The file of a network, and of what its images are normalised by where that is not the data set's."""
    behind = {NORMALISATION: own.model_dump(mode="json")} if own is not None else {}
    return to_bytes({"architecture": architecture, **behind, "state_dict": network.state_dict()})
