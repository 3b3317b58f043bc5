"""Logits for the tests of losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

Loss = Callable[..., Tensor]

SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 30))
"""Batch and classes."""
TEMPERATURES = st.sampled_from([0.5, 1.0, 2.0, 4.0, 10.0])
SEEDS = st.integers(0, 10_000)


def logits(shape: tuple[int, int], seed: int, scale: float = 3.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal logits ``[B, C]``."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def value_and_gradient(loss: Loss, student: Tensor, teacher: Tensor, **options: float) -> tuple[Tensor, Tensor]:
    """A loss and its gradient by the student's logits."""
    student = student.clone().requires_grad_()
    value = loss(student, teacher, **options)
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


def extreme_logits(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rows of 0 and plus or minus 10,000, agreeing and opposing."""
    big = 1e4
    student = [[big, -big, 0, 0], [big, big, -big, 0], [-big, 0, 0, big], [0, 0, 0, 0], [big, 1, 2, 3]]
    teacher = [[-big, big, 0, 0], [big, big, -big, 0], [0, 0, 0, 0], [-big, 0, 0, big], [1, 2, 3, big]]
    return torch.tensor(student, dtype=dtype), torch.tensor(teacher, dtype=dtype)
