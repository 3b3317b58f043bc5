"""One call of a user's loss before anything is trained, so that what would fail in every trial is found at the plan.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainers.code import THEIRS, limited, place_of, theirs, told
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
        InputError: where the function fails or does not end, with the user's file and line, or returns what is no loss.
    """
    draws = torch.Generator().manual_seed(0)
    targets = torch.randint(setting.num_classes, (BATCH,), generator=draws)
    logits = [torch.randn(BATCH, setting.num_classes, generator=draws) for _ in range(4)]  # each changes alone
    if isinstance(distiller, LogitFunction):
        student, teacher = _given_out(logits[0]), logits[1]
        _explained(distiller, lambda: distiller.terms(student, teacher, targets)[distiller.name])
    elif isinstance(distiller, FunctionDistiller):
        widths = _widths(distiller, setting) if distiller.teacher_needs == "features" else ""
        _explained(distiller, lambda: distiller.computed(_given(distiller, setting, targets, logits)), widths)


def _widths(distiller: FunctionDistiller, setting: Setting) -> str:
    """What a loss of features may have stumbled over, where the two networks are not of one width."""
    student, teacher = (
        [stage.shape[1] for stage in shapes(network, setting.image_size).stages]
        for network in (distiller.student, setting.need_teacher())
    )
    if student == teacher:
        return ""
    return (
        f"; the student's stages have {student} channels, the teacher's {teacher}: a class with a layer between them"
        " fits one to the other"
    )


def _given_out(tensor: Tensor) -> Tensor:
    """The same numbers as a network gives them: with a gradient, and no leaf of the graph, which torch guards from
    changes in place before we can name them."""
    return tensor.clone().requires_grad_().clone()


def _given(distiller: FunctionDistiller, setting: Setting, targets: Tensor, logits: Sequence[Tensor]) -> Given:
    """What a function reads that reads more than one view's logits."""
    batch = Batch(torch.empty(0), targets, torch.arange(BATCH), epoch=1)
    if distiller.teacher_needs != "features":
        names = ("student", "teacher", "strong_student", "strong_teacher")
        made: dict[str, Passed] = dict(zip(names, logits, strict=True))
        for learns in ("student", "strong_student"):
            made[learns] = _given_out(logits[names.index(learns)])
        taught = {
            name: value for name, value in made.items() if distiller.teacher_needs != "nothing" or "student" in name
        }
        strong = {name: value for name, value in taught.items() if name.startswith("strong") and distiller.strong_view}
        return Given.of(batch, made["student"], taught.get("teacher"), **strong)
    student = _seen(distiller.student, setting, learns=True)
    teacher = _seen(setting.need_teacher(), setting)
    strong = {"strong_student": student, "strong_teacher": teacher} if distiller.strong_view else {}
    return Given.of(batch, student, teacher, **strong)


def _seen(network: Network, setting: Setting, *, learns: bool = False) -> Features:
    """What a network has made of a blank image, as often as there are images here."""

    def several(tensor: Tensor) -> Tensor:
        repeated = tensor.repeat(BATCH, *[1] * (tensor.dim() - 1)) if tensor.numel() else tensor
        return _given_out(repeated.float()) if learns else repeated.float()

    seen = shapes(network, setting.image_size)
    stages, before = (tuple(several(tensor) for tensor in part) for part in (seen.stages, seen.preactivations))
    return Features(several(seen.logits), several(seen.pooled), stages, before, several(seen.unpooled))


def _with_gradient(loss: Tensor) -> float:
    """A loss as a number, once its gradient is computed as well: a loss may have used up its own graph."""
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def _explained(method: LogitFunction | FunctionDistiller, call: Callable[[], Tensor], perhaps: str = "") -> None:
    """Raises InputError where the call or its gradient fails, `perhaps` for that reason, or gives no number for logits
    as random draws are."""
    try:
        with theirs(f"method '{method.name}'"), limited():
            loss = _with_gradient(call())
    except InputError:
        raise
    except THEIRS as error:
        why = f"method '{method.name}' fails: {told(error)}{perhaps}"
        raise (InputError(why) if place_of(error) else method.origin.refuse(why)) from error
    if method.teacher_needs != "features" and not math.isfinite(loss):  # of features there are only shapes here
        raise method.origin.refuse(f"'{method.name}' returned {loss} for logits drawn from N(0, 1); a loss is finite")
