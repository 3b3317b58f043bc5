"""What a distillation method is: a module that holds the student and returns named, unweighted loss terms.

The trainer (:mod:`trainers.fit`) weighs the terms, sums them, logs them by name and steps the optimiser over all of
the distiller's parameters. What a method learns beside the student (an auxiliary head, connectors) is a submodule of
the distiller, so it trains with the student and is dropped when `distiller.student` is exported.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.config import Frozen
from trainers.models import Features, Network


@dataclass(frozen=True)
class Batch:
    """One step's input, on the training device."""

    images: Tensor  # float [B, 3, H, W], the student's view
    targets: Tensor  # int64 [B]
    index: Tensor  # int64 [B], each image's place in the data set
    epoch: int
    """Counted from 1."""
    teacher: Features | None = None
    """The teacher's pass over the same view, without gradient; None for methods that need no teacher."""

    def need_teacher(self) -> Features:
        """The teacher's pass; raises TypeError where a method was wired without one."""
        if self.teacher is None:
            raise TypeError("this method needs a teacher, and the batch carries none")
        return self.teacher


@dataclass(frozen=True)
class Losses:
    """What one forward pass of a distiller gives."""

    logits: Tensor  # [B, C], the main head's, for the training accuracy
    terms: dict[str, Tensor]
    """Unweighted scalar loss terms by name; `ce` is the cross-entropy with the labels."""


class MethodParams(Frozen):
    """Base of the methods' hyperparameters."""


class Distiller(nn.Module, ABC):
    """Base of all methods."""

    Params: ClassVar[type[MethodParams]]
    """The method's hyperparameters; its fields are the keys that a spec may set."""
    summary: ClassVar[str]
    """One line, with the source, for `sweep list methods`."""
    teacher_needs: ClassVar[Literal["nothing", "logits", "features"]] = "logits"
    """What of the teacher's pass the method reads."""

    def __init__(self, student: Network, num_classes: int) -> None:
        super().__init__()
        self.student = student
        self.num_classes = num_classes

    @classmethod
    @abstractmethod
    def create(cls, params: Any, student: Network, num_classes: int) -> Distiller:
        """The method around `student`, which is already initialised."""

    @abstractmethod
    def losses(self, batch: Batch) -> Losses:
        """One forward pass in training mode."""

    @abstractmethod
    def weights(self, epoch: int) -> dict[str, float]:
        """The weight of each term of :meth:`losses` in this epoch (counted from 1)."""

    @property
    def align_gradients(self) -> bool:
        """Whether the gradients of the other terms are aligned with that of `ce` (DHKD, section 4.3)."""
        return False


class LogitDistiller(Distiller):
    """Base of the methods that read one view's logits and add nothing to the student: they state terms and weights."""

    def __init__(self, params: Any, student: Network, num_classes: int) -> None:
        super().__init__(student, num_classes)
        self.params = params

    @classmethod
    def create(cls, params: Any, student: Network, num_classes: int) -> LogitDistiller:
        return cls(params, student, num_classes)

    @abstractmethod
    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The unweighted distillation terms from float32 logits ``[B, C]`` and labels ``[B]``."""

    def losses(self, batch: Batch) -> Losses:
        logits = self.student(batch.images).float()
        teacher = batch.need_teacher().logits.float()
        ce = F.cross_entropy(logits, batch.targets)
        return Losses(logits, {"ce": ce, **self.terms(logits, teacher, batch.targets)})


def ramp(epoch: int, epochs: int) -> float:
    """Factor of a weight that rises linearly over its first `epochs` epochs, 1 from there on; 0 epochs: no ramp."""
    return min(epoch / epochs, 1.0) if epochs > 0 else 1.0
