"""A method in a world small enough to look at: sixteen images of 8 × 8 pixels, a resnet8 and its teacher.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from trainers.code import THEIRS, theirs
from trainers.config import MethodConfig
from trainers.distillers import METHODS, Batch, Distiller, LogitDistiller, Losses, Setting, View, build_distiller
from trainers.fit import seeded_model
from trainers.models import Network

IMAGES = 16
"""`B`."""
INDEX = torch.arange(0, 80, 2)
"""The training subset's places in its source; the batch is the first of them."""
ROOMS = (10, 100, 1000)
"""Classes to try a method with: a group of its may need more than the fewest."""
LATE = 100
"""An epoch after all warm-ups."""


@dataclass(frozen=True)
class Case:
    """A method with its hyperparameters. Everything that it gives is drawn from fixed seeds."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    """Those that differ from the defaults."""
    classes: int = ROOMS[0]
    """`C`."""

    @classmethod
    def roomy(cls, name: str, params: Mapping[str, Any] | None = None) -> Case:
        """With the fewest classes with which the method gives a loss; 10 where it never does."""
        cases = [cls(name, params or {}, classes) for classes in ROOMS]
        return next((case for case in cases if case._runs()), cases[0])

    def _runs(self) -> bool:
        try:
            with theirs():
                self.method().losses(self.batch)
        except THEIRS:  # of whatever kind: the requirements tell of it
            return False
        return True

    @property
    def kind(self) -> type[Distiller]:
        """The method's class."""
        return METHODS[self.name]

    @property
    def listens(self) -> bool:
        """Whether it has a teacher."""
        return self.kind.teacher_needs != "nothing"

    @property
    def labels(self) -> Tensor:
        """Of the training subset, int64 ``[40]``."""
        return torch.arange(len(INDEX)) % self.classes

    @cached_property
    def teacher(self) -> Network:
        """A network to imitate, in evaluation mode; it need not be good."""
        return seeded_model("resnet14", self.classes, seed=99).eval()

    @property
    def student(self) -> Network:
        """The student, as it starts."""
        return seeded_model("resnet8", self.classes, seed=0)

    @property
    def setting(self) -> Setting:
        """Where the method is built."""
        return Setting(self.classes, image_size=(8, 8), teacher=self.teacher, index=INDEX, labels=self.labels)

    def method(self) -> Distiller:
        """The method around a fresh student, in training mode."""
        student = self.student
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = MethodConfig(name=self.name, params=dict(self.params))
            return build_distiller(config, student, self.setting).train()

    @cached_property
    def batch(self) -> Batch:
        """A batch of the first epoch with a strong view, which methods of one view leave alone."""
        return self.batch_of(*torch.randn(2, IMAGES, 3, 8, 8, generator=torch.Generator().manual_seed(1)))

    def batch_of(self, weak: Tensor, strong: Tensor, *, learning_teacher: bool = False) -> Batch:
        """A batch of these views, float ``[B, 3, 8, 8]``, with the teacher's passes; without gradient, but where the
        teacher is to learn."""
        with torch.set_grad_enabled(learning_teacher):
            seen = [View(images, self.teacher.features(images)) for images in (weak, strong)]
        return Batch(weak, self.labels[:IMAGES], INDEX[:IMAGES], 1, seen[0].teacher, seen[1])

    def reordered(self, order: Tensor) -> Batch:
        """The batch in another order, int64 ``[B]``."""
        batch = self.batch_of(self.batch.images[order], self.batch.need_strong().images[order])
        return replace(batch, targets=batch.targets[order], index=batch.index[order])


def losses(method: Distiller, batch: Batch) -> Losses:
    """One pass, whose draws are the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return method.losses(batch)


def total(method: Distiller, given: Losses, epoch: int = LATE) -> Tensor:
    """The weighted sum of the terms, a scalar."""
    weights = method.weights(epoch)
    return torch.stack([weights[name] * term for name, term in given.terms.items()]).sum()


def reads_logits(method: Distiller) -> bool:
    """Whether the method's terms can be asked for logits that no network has given."""
    return isinstance(method, LogitDistiller) and method.teacher_needs == "logits"
