"""Distillation methods by name, and their losses as plain functions."""

from __future__ import annotations

from trainers.config import MethodConfig
from trainers.distillers.base import Batch, Distiller, Losses, MethodParams
from trainers.distillers.dhkd import DHKD, binary_kl_norm_loss
from trainers.distillers.kd import KD, kd_loss
from trainers.distillers.scratch import Scratch
from trainers.models import Network
from trainers.registry import Registry

METHODS: Registry[type[Distiller]] = Registry("method")
METHODS.add("scratch", Scratch)
METHODS.add("kd", KD)
METHODS.add("dhkd", DHKD)


def build_distiller(config: MethodConfig, student: Network, num_classes: int) -> Distiller:
    """The method that `config` names, around `student`; its own layers are drawn from torch's global generator.

    Raises:
        InputError: for a method that does not exist.
        pydantic.ValidationError: for hyperparameters that the method does not take.
    """
    method = METHODS[config.name]
    return method.create(method.Params.model_validate(config.params), student, num_classes)


__all__ = [
    "METHODS",
    "Batch",
    "Distiller",
    "Losses",
    "MethodParams",
    "binary_kl_norm_loss",
    "build_distiller",
    "kd_loss",
]
