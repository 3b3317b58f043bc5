"""Cross-entropy alone: the student without a teacher, and how teachers themselves are trained.

::

    L = CE(z_s, y)

z_s: the student's logits; y: the label. It is what the other methods add to.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from trainers.distillers.base import Batch, LogitDistiller, Losses, MethodParams


class ScratchParams(MethodParams):
    """No hyperparameters."""


class Scratch(LogitDistiller):
    """The cross-entropy with the labels, without a teacher."""

    Params: ClassVar[type[MethodParams]] = ScratchParams
    summary: ClassVar[str] = "cross-entropy alone, no teacher"
    teacher_needs: ClassVar[Literal["nothing", "logits", "features"]] = "nothing"

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """None: there is no teacher to learn from."""
        return {}

    def losses(self, batch: Batch) -> Losses:
        """`ce` alone, of the student's float32 logits; the batch need not carry a teacher's pass."""
        logits = self.passed(batch.images).logits.float()
        return Losses(logits, {"ce": batch.ce(logits)})

    def weights(self, epoch: int) -> dict[str, float]:
        """1 for `ce`, in every epoch."""
        return {"ce": 1.0}
