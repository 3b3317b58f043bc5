"""One call of a user's loss before anything is trained, so that what would fail in every trial is found at the plan.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainers.code import told
from trainers.distillers import Batch, Distiller, Setting
from trainers.distillers.base import shapes
from trainers.errors import InputError
from trainers.models import Features, Network
from trainers.own.given import Given, Passed
from trainers.own.methods import FunctionDistiller, LogitFunction

BATCH = 4
"""Images of the attempt."""


def try_once(distiller: Distiller, setting: Setting) -> None:
    """Call a function of the user's with numbers of the right shapes; a class of the user's is left alone.

    Args:
        distiller: around a network that :func:`trainers.distillers.base.shapes` has seen.
        setting: the same that it was built in.

    Raises:
        InputError: where the function fails, with the user's file and line, or returns what is no loss.
    """
    draws = torch.Generator().manual_seed(0)
    targets = torch.randint(setting.num_classes, (BATCH,), generator=draws)
    if isinstance(distiller, LogitFunction):
        student, teacher = (torch.randn(BATCH, setting.num_classes, generator=draws) for _ in range(2))
        _explained(distiller.name, lambda: distiller.terms(student.requires_grad_(), teacher, targets))
    elif isinstance(distiller, FunctionDistiller):
        _explained(distiller.name, lambda: distiller.computed(_given(distiller, setting, targets)))


def _given(distiller: FunctionDistiller, setting: Setting, targets: Tensor) -> Given:
    """What a function reads that reads more than one view's logits."""
    needs = distiller.teacher_needs
    student = _seen(distiller.student, setting, learns=True)
    teacher = None if setting.teacher is None or needs == "nothing" else _seen(setting.teacher, setting)
    batch = Batch(torch.empty(0), targets, torch.arange(BATCH), epoch=1)

    def part(passed: Features | None) -> Passed | None:
        return passed if passed is None or needs == "features" else passed.logits

    strong = {"strong_student": part(student), "strong_teacher": part(teacher)} if distiller.strong_view else {}
    return Given.of(batch, student if needs == "features" else student.logits, part(teacher), **strong)


def _seen(network: Network, setting: Setting, *, learns: bool = False) -> Features:
    """What a network has made of a blank image, as often as there are images here."""

    def several(tensor: Tensor) -> Tensor:
        repeated = tensor.repeat(BATCH, *[1] * (tensor.dim() - 1)) if tensor.numel() else tensor
        return repeated.float().requires_grad_(learns)

    seen = shapes(network, setting.image_size)
    stages, before = (tuple(several(tensor) for tensor in part) for part in (seen.stages, seen.preactivations))
    return Features(several(seen.logits), several(seen.pooled), stages, before, several(seen.unpooled))


def _explained(name: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except InputError:
        raise
    except Exception as error:  # whatever a user's function raises is his, and told as such
        raise InputError(f"method '{name}' fails: {told(error)}") from error
