"""Whether a method's hyperparameters count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, get_args

import torch

from trainers.contract.case import Case, losses, total
from trainers.contract.requirement import Remark

EPOCHS = (100, 7, 1)
"""At which a method is asked, and in whose midst warm-ups end."""


def count(case: Case) -> str | None:
    """Each moves the loss, its gradient, a weight or the prediction, at one of a few other values; a remark where one
    does not: it may take part under other hyperparameters only."""
    before = list(_told(case))
    idle = [name for name in case.kind.Params.model_fields if not _moves(case, name, before)]
    return Remark(f"no effect seen of {', '.join(idle)}, the others at these values") if idle else None


def _moves(case: Case, name: str, before: list[Any]) -> bool:
    """Whether one of the other values changes something; also where there is none to try."""
    tried = 0
    for value in _others(case, name):
        other = replace(case, params={**case.params, name: value})
        try:
            if any(one != after for one, after in zip(before, _told(other), strict=True)):
                return True
        except Exception:  # a value that does not go with the others
            continue
        tried += 1
    return not tried


def _others(case: Case, name: str) -> Iterator[Any]:
    """Other values that the field takes."""
    params = case.kind.Params.model_validate(dict(case.params))
    now = getattr(params, name)
    for value in _guesses(now, case.kind.Params.model_fields[name].annotation):
        try:
            case.kind.Params.model_validate({**case.params, name: value})
        except ValueError:
            continue
        if value != now:
            yield value


def _guesses(now: Any, annotation: Any) -> Iterator[Any]:
    if isinstance(now, bool):
        yield not now
    elif isinstance(now, int | float):
        yield from (now + 1, now * 2, now / 2, now - 1, now + 10, now + 0.25, now - 0.25, -now)
    elif isinstance(now, tuple | list):
        yield from (now[:-1], [*now, *now[-1:]], [item * 2 for item in now if isinstance(item, int | float)])
    elif now is None:
        yield from (1, 2, 0.5, 5)
    yield from (value for value in _named(annotation) if isinstance(value, str))


def _named(annotation: Any) -> Iterator[Any]:
    """What stands in an annotation's brackets, the values of a ``Literal`` among them."""
    return chain.from_iterable([value, *_named(value)] for value in get_args(annotation))


def _told(case: Case) -> Iterator[Any]:
    """All that a hyperparameter can decide: weights, terms, logits, gradients of a few epochs, the cheapest first."""
    method, batch = case.method(), case.batch
    yield [method.strong_view, sorted(method.anchors), [method.weights(epoch) for epoch in EPOCHS]]
    learned = [parameter for parameter in method.parameters() if parameter.requires_grad]
    for epoch in EPOCHS:
        given = losses(method, replace(batch, epoch=epoch))
        yield {name: term.item() for name, term in given.terms.items()} | {"logits": given.logits.norm().item()}
        gradients = torch.autograd.grad(total(method, given, epoch), learned, allow_unused=True)
        yield [0.0 if gradient is None else gradient.double().norm().item() for gradient in gradients]
