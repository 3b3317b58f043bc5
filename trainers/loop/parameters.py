"""The parameters of a method in groups that an optimiser treats alike: whose weights decay, and how fast each learns.

By choice decay spares what has no direction to shrink along: biases, and the scales and shifts of norms, all of which
have one dimension; of timm's networks what these name themselves besides, such as position embeddings. That is timm's
rule, and DeiT's (arXiv 2012.12877). By choice the learning rate falls from layer to layer towards the image.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from trainers.config import Recipe
from trainers.distillers import Distiller
from trainers.errors import InputError

SCALE = "lr_scale"
"""In a group: the share of the learning rate that it gets; all of it where nothing is said."""
Group = dict[str, Any]
"""As torch's optimisers take one: `params`, and what they are treated by."""


def groups_of(distiller: Distiller, recipe: Recipe) -> list[Group]:
    """All parameters of the method, each in one group: of those that are treated alike.

    Raises:
        InputError: where the learning rate is to fall from layer to layer, and the student's are not known.
    """
    spared = set() if recipe.decay_norms_and_biases else spared_names(distiller)
    scales = layer_scales(distiller, recipe.layer_decay) if recipe.layer_decay is not None else {}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in distiller.named_parameters():
        groups.setdefault((scales.get(name, 1.0), name not in spared), []).append(parameter)
    return [_group(some, scale, decays, recipe) for (scale, decays), some in groups.items()]


def _group(parameters: list[nn.Parameter], scale: float, decays: bool, recipe: Recipe) -> Group:
    of_decay = {} if decays else {"weight_decay": 0.0}
    of_rate = {} if recipe.layer_decay is None else {SCALE: scale}
    return {"params": parameters} | of_decay | of_rate


def layer_scales(distiller: Distiller, decay: float) -> dict[str, float]:
    """Of each of the student's parameters, by name, the share of the learning rate that it gets; what the method adds
    to the student gets all of it.

    Raises:
        InputError: where the student's layers are not known.
    """
    depths = distiller.student.layer_depths()
    if not depths:
        raise InputError("recipe.layer_decay needs one of timm's networks that says which layers it has; leave it out")
    last = max(depths.values())
    return {f"student.{name}": decay ** (last - depth) for name, depth in depths.items()}


def spared_names(distiller: Distiller) -> set[str]:
    """Names of the parameters that decay spares."""
    student = {f"student.{name}" for name in distiller.student.undecayed()}
    return student | {
        name for name, parameter in distiller.named_parameters() if parameter.ndim <= 1 or name.endswith(".bias")
    }
