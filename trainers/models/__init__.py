"""Architectures by the field's usual names: ``build("resnet8", num_classes=100)``.

``ResNet18`` and the like have a stem for small images, ``imagenet/ResNet18`` has the paper's and torchvision's keys.
"""

from __future__ import annotations

from collections.abc import Callable

from trainers.models import (
    imagenet_resnet,
    mobilenetv1,
    mobilenetv2,
    resnet,
    shufflenetv1,
    shufflenetv2,
    vgg,
    wrn,
)
from trainers.models.base import Features, Network
from trainers.models.dual_head import auxiliary_head
from trainers.registry import Registry

MODELS: Registry[Callable[[int], Network]] = Registry("model")
for _family in (resnet, wrn, vgg, mobilenetv2, shufflenetv1, shufflenetv2, imagenet_resnet, mobilenetv1):
    for _name, _builder in _family.ARCHITECTURES.items():
        MODELS.add(_name, _builder)


def build(name: str, *, num_classes: int) -> Network:
    """A freshly initialised network (from torch's global generator).

    Raises:
        InputError: for a name that does not exist, with the valid ones.
    """
    return MODELS[name](num_classes)


__all__ = ["MODELS", "Features", "Network", "auxiliary_head", "build"]
