"""Architectures by the field's usual names: ``build("resnet8", num_classes=100)``.

``ResNet18`` and the like have a stem for small images, ``imagenet/ResNet18`` has the paper's and torchvision's keys.
``timm:deit_tiny_patch16_224`` and the like are timm's, where that package is installed.
"""

from __future__ import annotations

from trainers.errors import InputError
from trainers.models import (
    imagenet_mobilenetv2,
    imagenet_resnet,
    mobilenetv1,
    mobilenetv2,
    resnet,
    shufflenetv1,
    shufflenetv2,
    tiny_imagenet_mobilenetv2,
    vgg,
    wrn,
)
from trainers.models.base import Features, Network
from trainers.models.dual_head import auxiliary_head
from trainers.models.timm_networks import TIMM, Models, TimmNetwork, without_drop_path

MODELS = Models("model")
for _family in (
    *(resnet, wrn, vgg, mobilenetv2, shufflenetv1, shufflenetv2),
    *(imagenet_resnet, mobilenetv1, imagenet_mobilenetv2, tiny_imagenet_mobilenetv2),
):
    for _name, _builder in _family.ARCHITECTURES.items():
        MODELS.add(_name, _builder)


def build(name: str, *, num_classes: int, drop_path: float = 0.0) -> Network:
    """A freshly initialised network (from torch's global generator), whose weights `drop_path` leaves as they are.

    Raises:
        InputError: for a name that does not exist, with the valid ones, and for a drop path where there is none.
    """
    builder = MODELS[name]
    if drop_path == 0:
        return builder(num_classes)
    if not name.startswith(TIMM):
        raise InputError(without_drop_path(name))
    return TimmNetwork(name.removeprefix(TIMM), num_classes, drop_path)


__all__ = ["MODELS", "TIMM", "Features", "Network", "auxiliary_head", "build"]
