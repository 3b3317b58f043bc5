"""KD's divergence at several temperatures at once, as methods take it that sum over them.

::

    K(z_s, z_t) = sum over T of T² KL(softmax(z_t / T) || softmax(z_s / T)), mean over the batch

A temperature more costs no kernel more, but for the sum of its gradient. To the last bit the loss and its gradient are
those of one temperature after the other: each has copies of the logits to itself, and what comes back through them is
added in the order in which autograd would walk backward through the losses, the last one's first. That is why
temperatures lie in reversed order here. Only where a sum is so long that torch shares it out among threads, or so short
that it is added up otherwise (MLKD's of two classes), may the last bit be another.

Shapes: `B` batch, `C` classes, `T` temperatures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Softening(nn.Module):
    """Temperatures as tensors, which a step need not make.

    Args:
        temperatures: all `T`, in the order in which losses are summed.
        like: its type and device are theirs; None: float32, and the module is moved to where it is used.
    """

    divisors: Tensor  # [T, 1, 1], the last temperature first
    squares: Tensor  # [T], T² in the same order

    def __init__(self, temperatures: Sequence[float], like: Tensor | None = None) -> None:
        super().__init__()
        self.temperatures = tuple(temperatures)
        like = torch.zeros(()) if like is None else like
        last_first = self.temperatures[::-1]
        numbers = {"divisors": last_first, "squares": [each**2 for each in last_first]}
        for name, each in numbers.items():
            self.register_buffer(name, torch.tensor(each, dtype=like.dtype, device=like.device), persistent=False)
        self.divisors = self.divisors[:, None, None]

    def copies(self, logits: Tensor) -> Tensor:
        """``[T, B, C]``: logits ``[B, C]`` that learn at each temperature."""
        return torch.stack([logits] * len(self.temperatures))

    def chosen(self, first: Sequence[bool], ones: Tensor, others: Tensor) -> Tensor:
        """:meth:`copies` of `ones` at temperatures of which `first` is true, and of `others` at the rest."""
        return torch.stack([ones if each else others for each in reversed(first)])

    def divergences(self, student: Tensor, teacher: Tensor) -> Tensor:
        """T² KL(teacher || student), mean over the batch: ``[T]``, the last temperature first.

        Args:
            student, teacher: logits, :meth:`copies` where they learn, else ``[B, C]``.
        """
        log_student = F.log_softmax(student / self.divisors, dim=2)
        log_teacher = F.log_softmax(teacher / self.divisors, dim=2)
        each = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)  # [T, B, C]
        return each.sum(dim=(1, 2)) / each.shape[1] * self.squares

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The sum of :meth:`divergences`, a scalar."""
        return self.divergences(student, teacher).flip(0).sum()


def softening(temperatures: Sequence[float] | Softening, like: Tensor) -> Softening:
    """Temperatures as tensors, of the type and on the device of `like`; what is one already stays as it is."""
    return temperatures if isinstance(temperatures, Softening) else Softening(temperatures, like)
