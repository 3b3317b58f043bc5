"""The parameters of a method in groups that an optimiser treats alike: whose weights decay.

By choice decay spares what has no direction to shrink along: biases, and the scales and shifts of norms, all of which
have one dimension; of timm's networks what these name themselves besides, such as position embeddings. That is timm's
rule, and DeiT's (arXiv 2012.12877).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from trainers.config import Recipe
from trainers.distillers import Distiller

Group = dict[str, Any]
"""As torch's optimisers take one: `params`, and what they are treated by."""


def groups_of(distiller: Distiller, recipe: Recipe) -> list[Group]:
    """All parameters of the method, in one group, or those that are spared before those that decay."""
    if recipe.decay_norms_and_biases:
        return [{"params": list(distiller.parameters())}]
    spared = spared_names(distiller)
    apart: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, parameter in distiller.named_parameters():
        apart[name not in spared].append(parameter)
    decays = {False: 0.0, True: recipe.weight_decay}
    return [{"params": some, "weight_decay": decays[kind]} for kind, some in apart.items() if some]


def spared_names(distiller: Distiller) -> set[str]:
    """Names of the parameters that decay spares."""
    student = {f"student.{name}" for name in distiller.student.undecayed()}
    return student | {
        name for name, parameter in distiller.named_parameters() if parameter.ndim <= 1 or name.endswith(".bias")
    }
