"""What the methods share that compare maps, or pooled features, of teacher and student.

Stages of two networks are paired from the deepest up, the stem left out. All networks of the field's tables that are
paired with one another have equally many stages (three after the stem, or four), so nothing is left over; in another
pair the deeper network's first stages have no partner. mdistiller pairs from the front, and so leaves out the last
stages, which the classifier reads; VID fails there where the student has more.

Shapes: `B` batch, `K` channels, `h`, `w` pixels of a map, `D` features.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from trainers.distillers.base import FeatureDistiller, Setting, shapes
from trainers.errors import InputError
from trainers.models import Features, Network

TINY = 1e-12
"""A norm not above this has no direction."""

Maps = tuple[Tensor, ...]


class MapDistiller(FeatureDistiller):
    """Base of the methods that keep their hyperparameters and add layers at most: they state terms and weights."""

    least_stages: ClassVar[int] = 0
    """How many stages (the stem is one) each network must have."""
    reads_pooled: ClassVar[bool] = False
    """Whether it reads what the classifier reads, of both networks."""

    def __init__(self, params: Any, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> MapDistiller:
        """The method around `student`, with layers of its own where it has some, freshly drawn.

        Raises:
            InputError: where a network has too few stages, or does not show what its classifier reads.
        """
        for network in (student, setting.teacher):
            if network is not None:
                _check_stages(network, len(network.stage_channels), cls.__name__, cls.least_stages)
                if cls.reads_pooled:
                    _check_pooled(network, setting)
        return cls(params, student, setting)


def survey(network: Network, setting: Setting, method: str, *, stages: int = 0, unpooled: bool = False) -> Features:
    """A pass over one blank image, what layers between two networks are sized by.

    Args:
        stages: how many stages (the stem is one) `method` needs at least.
        unpooled: whether it needs the map in front of the pooling.

    Raises:
        InputError: where the network does not give them.
    """
    passed = shapes(network, setting.image_size)
    _check_stages(network, len(passed.stages), method, stages)
    if unpooled and passed.unpooled.ndim != 4:
        raise InputError(
            f"{method} reads the map in front of the average pooling, and a {name_of(network)} has none: what its"
            " classifier reads is not the mean of a map"
        )
    return passed


def _check_stages(network: Network, found: int, method: str, least: int) -> None:
    if found < least:
        raise InputError(f"{method} compares stages, and a {name_of(network)} gives {found}, not {least} or more")


def _check_pooled(network: Network, setting: Setting) -> None:
    shapes(network, setting.image_size)  # a network of the user's knows by a pass whether its last layer is the head
    network.classifier  # noqa: B018 - raises InputError where it is not known


def name_of(network: Network) -> str:
    """What a user calls a network of his own, or one of timm's; of ours, the family."""
    return str(getattr(network, "name", type(network).__name__))


def paired_stages(student: Features, teacher: Features) -> tuple[Maps, Maps]:
    """Equally many stages of each, from the deepest up and without the stem, in the order of the networks."""
    count = min(len(student.stages), len(teacher.stages)) - 1
    return student.stages[-count:], teacher.stages[-count:]


def pooled_alike(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps ``[B, K, h, w]``, average-pooled to the smaller height and width of both.

    Sizes need not divide: the windows then overlap.
    """
    size = (min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3]))
    first, second = (m if m.shape[2:] == size else F.adaptive_avg_pool2d(m, size) for m in (a, b))
    return first, second


def unit(x: Tensor, dim: int) -> Tensor:
    """`x`, of any shape, over its Euclidean norm along `dim`; where that is 0, zeros with a gradient of 0."""
    norm = vector_norm(x, dim=dim, keepdim=True)
    return torch.where(norm > TINY, x / norm.clamp(min=TINY), 0.0)
