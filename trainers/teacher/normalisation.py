"""A teacher that was trained behind another normalisation than the data set's here: its own, before its first layer.

Every pass of a trial sees images that are normalised as the data set says, x = (pixel - m) / s. A teacher that expects
(pixel - m') / s' gets x * s / s' + (m - m') / s', which is the same but for rounding. So whatever runs it – the bank,
the methods that read its maps, a measurement – gives it what all others get, and need not know.

m, s: mean and standard deviation of the data set's channels; m', s': the teacher's; pixels are scaled to [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainers.config import Normalisation
from trainers.data.base import ImageData
from trainers.models import Features, Network


class Renormalised(Network):
    """A network behind its own normalisation.

    Args:
        network: which expects images that are normalised by `own`.
        own: mean and standard deviation; both are part of the state dict, and so of a content hash.
        given: what the images that it gets are normalised by.
    """

    mean: Tensor  # [3]
    std: Tensor  # [3]
    scale: Tensor  # [1, 3, 1, 1]
    shift: Tensor  # [1, 3, 1, 1]

    def __init__(self, network: Network, own: Normalisation, given: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.stage_channels, self.feature_dim = network.stage_channels, network.feature_dim
        for name, tensor in _tensors(own).items():
            self.register_buffer(name, tensor)
        mean, std, their_mean, their_std = map(_exact, (own.mean, own.std, given.mean, given.std))
        for name, tensor in (("scale", their_std / std), ("shift", (their_mean - mean) / std)):
            self.register_buffer(name, tensor.float().view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Features:
        """The network's pass over ``[B, 3, H, W]``, normalised anew."""
        return self.network.features(images * self.scale + self.shift)

    @property
    def classifier(self) -> nn.Linear:
        """The network's."""
        return self.network.classifier

    def last_norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The network's."""
        return self.network.last_norms()

    def init_head(self, head: nn.Linear) -> None:
        """As the network does."""
        self.network.init_head(head)


def normalisation_of(data: ImageData) -> Normalisation:
    """A data set's, whatever numbers it has."""
    return Normalisation.model_construct(mean=data.mean, std=data.std)


def renormalised(network: Network, own: Normalisation | None, given: Normalisation) -> Network:
    """The network as it is where it has no normalisation of its own, else behind it."""
    return network if own is None else Renormalised(network, own, given).eval()


def state_behind(state: Mapping[str, Tensor], own: Normalisation | None) -> dict[str, Tensor]:
    """The state dict of :func:`renormalised`, of a network's."""
    if own is None:
        return dict(state)
    return {f"network.{key}": value for key, value in state.items()} | _tensors(own)


def _tensors(own: Normalisation) -> dict[str, Tensor]:
    return {"mean": torch.tensor(own.mean), "std": torch.tensor(own.std)}


def _exact(numbers: tuple[float, float, float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
