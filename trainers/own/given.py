"""What a user's loss is given, and what is asked of what it returns.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.distillers.base import Batch
from trainers.models import Features
from trainers.own.registration import Origin

Passed = Tensor | Features
"""A network's logits ``[B, C]``, or its whole pass."""

READS = ("student", "teacher", "targets", "epoch", "index")
"""What every loss may read."""
STRONG = ("strong_student", "strong_teacher")
"""What a loss with a strong view may read as well."""


@dataclass(frozen=True)
class Given:
    """The arguments of one call, by name."""

    values: dict[str, Any]

    @classmethod
    def of(cls, batch: Batch, student: Passed, teacher: Passed | None, **strong: Passed | None) -> Given:
        """Those of a batch, with the passes as the loss reads them."""
        read = {"student": student, "teacher": teacher, "targets": batch.targets, "epoch": batch.epoch}
        return cls(read | {"index": batch.index} | strong)

    def versions(self) -> dict[str, list[int]]:
        """How often each tensor was changed in place, by the argument that it came in."""
        return {name: [tensor._version for tensor in _tensors(value)] for name, value in self.values.items()}

    def check(self, loss: object, before: dict[str, list[int]], name: str, origin: Origin) -> Tensor:
        """What a user's function has returned, which must be a loss.

        Args:
            loss: what it returned.
            before: :meth:`versions` before the call.
            name: the method's.
            origin: where the function stands.

        Raises:
            InputError: where it is no scalar tensor of floats on the networks' device with a gradient to the student,
                or an argument was changed in place.
        """
        student = next(_tensors(self.values["student"]))
        if not isinstance(loss, Tensor):
            raise origin.refuse(f"'{name}' returned {type(loss).__name__}; a loss is a scalar tensor")
        if loss.shape != () or not loss.is_floating_point():
            found = f"{str(loss.dtype).removeprefix('torch.')} {list(loss.shape)}"
            raise origin.refuse(f"'{name}' returned a tensor {found}; a loss is a scalar: take its mean, say")
        if loss.device != student.device:
            raise origin.refuse(f"'{name}' returned a tensor on {loss.device}, but trains on {student.device}")
        if torch.is_grad_enabled() and student.requires_grad and not loss.requires_grad:
            raise origin.refuse(f"'{name}' returned a loss without a gradient: nothing in it depends on the student")
        changed = [argument for argument, versions in self.versions().items() if versions != before[argument]]
        if changed:
            raise origin.refuse(f"'{name}' changes its argument '{changed[0]}' in place; work on a copy")
        return loss


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an argument."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _tensors(item)
