"""An exponential moving average of the network that a method trains (Polyak & Juditsky, 1992, in timm's form).

::

    average <- decay * average + (1 - decay) * network      after every step, from the initial network on

Running statistics of norms are averaged as weights are; whole numbers, such as the count of batches, are the network's.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from trainers.models import Network


class Average:
    """The average of a network, which is followed from now on.

    Args:
        network: stays the very tensors that it is made of, wherever they are changed.
        decay: share of the average that a step keeps.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network as it is after a step."""
        averages, current = (list(tensors) for tensors in zip(*self._floats, strict=True))
        torch._foreach_lerp_(averages, current, 1 - self._decay)
        for average, now in self._others:
            average.copy_(now)


def _tensors(network: Network) -> list[Tensor]:
    """Parameters and stored buffers, as what they are."""
    return list(network.state_dict(keep_vars=True).values())
