"""Optimisers as torch computes them, without waiting for torch's compiler, and what they change of a method.

Around what an optimiser does lie wrappers that keep `torch.compile` out of it; the first call of any of them imports
the compiler: seconds of every process that trains, for nothing where nobody compiles. Read in torch 2.15; where
another release has no such wrappers, :func:`inspect.unwrap` leaves its functions as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from inspect import unwrap
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

from trainers.config import Recipe
from trainers.distillers import Distiller
from trainers.errors import InputError
from trainers.loop.parameters import groups_of
from trainers.recipe_parts import AdamW as ByAdamW
from trainers.recipe_parts import Lamb as ByLamb

WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of torch's optimisers that import the compiler, beside `step`."""

Kind = TypeVar("Kind", bound=type[Optimizer])


def _bare(kind: Kind) -> Kind:
    """A subclass of one of torch's optimisers, with that one's methods as they are inside their wrappers."""
    inside: Callable[..., Any] = unwrap(kind.step)

    @torch.no_grad()
    def step(self: Optimizer, closure: Callable[[], float] | None = None) -> float | None:
        """Change the parameters once, by their gradients; returns what the closure does, which computes the loss."""
        loss: float | None = inside(self, closure)
        return loss

    for name in WRAPPED:
        setattr(kind, name, unwrap(getattr(kind, name)))
    kind.step = step  # type: ignore[method-assign,assignment]
    return kind


@_bare
class SGD(torch.optim.SGD):
    """:class:`torch.optim.SGD`, bit for bit."""


@_bare
class AdamW(torch.optim.AdamW):
    """:class:`torch.optim.AdamW`, bit for bit."""


def lamb() -> type[Optimizer]:
    """timm's LAMB. Raises InputError, with the command that installs it, where timm is missing."""
    if importlib.util.find_spec("timm") is None:
        raise InputError("recipe.optimizer lamb needs the package timm: pip install timm")
    theirs: type[Optimizer] = importlib.import_module("timm.optim").Lamb
    return _bare(type("Lamb", (theirs,), {}))


def optimizer_of(distiller: Distiller, recipe: Recipe) -> Optimizer:
    """The optimiser that the recipe describes, of all that the method trains.

    Raises:
        InputError: where the package that has it is missing, and where the student's layers are to learn at rates of
            their own and are not known.
    """
    groups = groups_of(distiller, recipe)
    chosen = recipe.optimizer
    if isinstance(chosen, ByAdamW):
        return AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True, **dict(chosen.adamw))
    if isinstance(chosen, ByLamb):
        make: Callable[..., Optimizer] = lamb()
        return make(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, **dict(chosen.lamb))
    return SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
