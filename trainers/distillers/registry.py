"""The methods by name. Each is registered where the package is imported: :mod:`trainers.distillers`."""

from __future__ import annotations

from trainers.config import MethodConfig
from trainers.distillers.base import Distiller, Setting
from trainers.models import Network
from trainers.registry import Registry

METHODS: Registry[type[Distiller]] = Registry("method")


def has_teacher(config: MethodConfig) -> bool:
    """Whether the method that `config` names listens to a teacher, who needs no labels. Raises InputError."""
    return METHODS[config.name].teacher_needs != "nothing"


def build_distiller(config: MethodConfig, student: Network, setting: Setting) -> Distiller:
    """The method that `config` names, around `student`; its own layers are drawn from torch's global generator.

    Raises:
        InputError: for a method that does not exist, or one that does not go with these networks.
        pydantic.ValidationError: for hyperparameters that the method does not take.
    """
    method = METHODS[config.name]
    return method.create(method.Params.model_validate(config.params), student, setting)
