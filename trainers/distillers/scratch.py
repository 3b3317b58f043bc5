"""Cross-entropy alone: the student without a teacher, and how teachers themselves are trained."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import Batch, LogitDistiller, Losses, MethodParams


class ScratchParams(MethodParams):
    """No hyperparameters."""


class Scratch(LogitDistiller):
    """L = CE(z_s, y)."""

    Params: ClassVar[type[MethodParams]] = ScratchParams
    summary: ClassVar[str] = "cross-entropy alone, no teacher"
    teacher_needs: ClassVar[Literal["nothing", "logits", "features"]] = "nothing"

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {}

    def losses(self, batch: Batch) -> Losses:
        logits = self.passed(batch.images).logits.float()
        return Losses(logits, {"ce": F.cross_entropy(logits, batch.targets)})

    def weights(self, epoch: int) -> dict[str, float]:
        return {"ce": 1.0}
