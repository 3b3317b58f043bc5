"""A teacher's passport: what its weights are, where they came from, and what they scored."""

from __future__ import annotations

from trainers.config import DatasetConfig, Frozen, TeacherConfig, TrialConfig
from trainers.teacher.pretrained import Imported

PROBE_IMAGES = 1000
"""Test images on which a teacher's accuracy is measured when it is stored, and again when it is loaded."""
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
