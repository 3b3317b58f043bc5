"""A teacher's passport: what its weights are, where they came from, and what they scored."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from trainers.config import DatasetConfig, Frozen, Normalisation, TeacherConfig, TrialConfig
from trainers.teacher.pretrained import Imported

PROBE_IMAGES = 1000
"""Test images on which a teacher's accuracy is measured when it is stored, and again when it is loaded."""
STATED_MORE = 3.0
"""Points by which the accuracy that a file states is well above the one that is measured here."""
OTHER_IMAGES = "was it trained on this data set, at this image size, with its normalisation (mean, std)?"
LITTLE = 0.25
"""Share of the way from chance to 100 % below which a teacher's accuracy is worth a question."""


class Passport(Frozen):
    """What is known of a stored teacher."""

    hash: str
    """Content hash of the weights; the folder's name."""
    architecture: str
    num_classes: int
    dataset: DatasetConfig
    origin: TrialConfig | Imported
    """The trial that trained it, or the file that it was imported from."""
    origin_key: str
    """That trial's key; of an imported teacher the hash of its weights."""
    val_acc: float | None
    """Top-1 on the validation split after the last epoch, in percent; None for an imported teacher."""
    test_acc: float
    """Top-1 on the test set in percent: after the last epoch, or as measured here when it was imported."""
    probe_acc: float
    """Top-1 on the first :data:`PROBE_IMAGES` test images in fp32, in percent."""
    file_sha256: str
    """Checksum of the weight file."""
    normalisation: Normalisation | None = None
    """What the teacher's images are normalised by where that is not the data set's; left out of the file where it is.
    It is part of the hash."""

    @model_serializer(mode="wrap")
    def _without_the_data_set_s(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        if self.normalisation is None:
            del dumped["normalisation"]
        return dumped

    @property
    def reference(self) -> TeacherConfig:
        """What a student's config says of its teacher."""
        return TeacherConfig(architecture=self.architecture, hash=self.hash)

    @property
    def epochs(self) -> int:
        """Epochs that were trained here; none of an imported teacher's were."""
        return self.origin.recipe.epochs if isinstance(self.origin, TrialConfig) else 0

    @property
    def came_from(self) -> str:
        """Where it comes from, in a few words."""
        return self.origin.file if isinstance(self.origin, Imported) else f"trial {self.origin_key}"

    @property
    def doubtful(self) -> bool:
        """Whether the accuracy is as little as that of good weights behind other preprocessing may be."""
        chance = 100 / self.num_classes
        return self.test_acc < chance + LITTLE * (100 - chance)

    def read_from(self, origin: Imported) -> Passport:
        """The same, as what it says of a file that these weights were read from, which need not be the one that they
        were stored from."""
        return self.model_copy(update={"origin": origin})

    @property
    def remarks(self) -> list[str]:
        """What is worth knowing of it: what was changed of an imported file, its own normalisation, and doubts."""
        origin = self.origin
        notes = list(origin.notes) if isinstance(origin, Imported) else []
        own = [f"sees images with its own normalisation: {self.normalisation}"] if self.normalisation else []
        return [*notes, *own, *self.doubts]

    @property
    def doubts(self) -> list[str]:
        """Why its images may be others than it was trained on; empty where nothing says so."""
        stated = self.origin.stated if isinstance(self.origin, Imported) else None
        if stated is not None and stated.percent >= self.test_acc + STATED_MORE:
            well = f"the file states {stated.percent:.2f} ({stated.name}), well above what is measured here"
            return [f"{well}: {OTHER_IMAGES}"]
        return [f"a low accuracy: {OTHER_IMAGES}"] if self.doubtful else []
