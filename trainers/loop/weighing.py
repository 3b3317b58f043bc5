"""The weights of an epoch's loss terms, and the backward pass from all of them at once.

The gradient of a weighted sum starts at each term with its weight, so the sum need not be formed in a step at all: what
the total was is worked out afterwards, for many steps together (:class:`~trainers.loop.tally.Tally`). To the last bit
the numbers are those of multiplying, adding and going backward from the total.

Shapes: `S` steps, `n` terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SUMMED_ON = "cpu"
"""The kind of device on which the sum is formed all the same: its launches cost nothing there, and torch imports its
compiler, seconds of a core, where a backward pass starts anywhere else than at one number."""


class Objective(NamedTuple):
    """A sum of scalars that a gradient is taken of."""

    outputs: list[Tensor]
    """The scalars."""
    starts: list[Tensor] | None
    """What the gradient starts at, each scalar's weight; None: at 1, of one scalar."""


class Weighing:
    """The weights of an epoch.

    Args:
        weights: of each term by name; one of 0 leaves its term out.
        device: where the terms are.
    """

    def __init__(self, weights: Mapping[str, float], device: torch.device) -> None:
        self._weights, self._device = dict(weights), device
        numbers = torch.tensor(list(self._weights.values()), device=device)  # once an epoch: a step waits for nothing
        self._there = dict(zip(self._weights, numbers.unbind(), strict=True))

    def counted(self, terms: Mapping[str, Tensor]) -> list[str]:
        """The names of the terms that have a weight; raises KeyError where a term's is not known."""
        return [name for name in terms if self._weights[name] != 0]

    def objective(self, terms: Mapping[str, Tensor], names: Sequence[str]) -> Objective:
        """The weighted sum of the `terms` (scalars) of these names, as gradients are taken of it."""
        reaching = [name for name in names if terms[name].requires_grad]
        if self._device.type == SUMMED_ON or not reaching:  # the latter for torch's message
            total = torch.stack([self._weights[name] * terms[name] for name in names]).sum()
            return Objective([total], None)
        starts = [self._there[name].to(terms[name].dtype) for name in reaching]
        return Objective([terms[name] for name in reaching], starts)

    def backward(self, terms: Mapping[str, Tensor]) -> None:
        """Add the gradient of the weighted sum of `terms` (scalars) to what they were computed from."""
        objective = self.objective(terms, self.counted(terms))
        if objective.starts is None:
            objective.outputs[0].backward()  # type: ignore[no-untyped-call]
        else:
            torch.autograd.backward(objective.outputs, objective.starts)

    def totals(self, names: Sequence[str], records: Tensor) -> Tensor:
        """The weighted sums ``[S]`` of terms ``[S, n]`` of these names."""
        chosen = [column for column, name in enumerate(names) if self._weights[name] != 0]
        weights = torch.stack([self._there[names[column]] for column in chosen]).to(records.dtype)
        return (torch.stack([records[:, column] for column in chosen], dim=1) * weights).sum(dim=1)
