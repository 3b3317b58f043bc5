"""Cross-entropy alone: the student without a teacher, and how teachers themselves are trained."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch.nn import functional as F

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams
from trainers.models import Network


class ScratchParams(MethodParams):
    """No hyperparameters."""


class Scratch(Distiller):
    """L = CE(z_s, y)."""

    Params: ClassVar[type[MethodParams]] = ScratchParams
    summary: ClassVar[str] = "cross-entropy alone, no teacher"
    teacher_needs: ClassVar[Literal["nothing", "logits", "features"]] = "nothing"

    @classmethod
    def create(cls, params: Any, student: Network, num_classes: int) -> Scratch:
        return cls(student, num_classes)

    def losses(self, batch: Batch) -> Losses:
        logits = self.student(batch.images).float()
        return Losses(logits, {"ce": F.cross_entropy(logits, batch.targets)})

    def weights(self, epoch: int) -> dict[str, float]:
        return {"ce": 1.0}
