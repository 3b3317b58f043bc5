"""What a method's gradients must be.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from trainers.contract.case import IMAGES, Case, losses, reads_logits, total
from trainers.contract.requirement import Remark
from trainers.distillers import Distiller, LogitDistiller

EXACT, ROUGH = 1e-3, 0.05
"""By how much a gradient in double and in single precision may be off, as a share of its length."""


def none_to_the_teacher(case: Case) -> str | None:
    """No gradient reaches the teacher, also where its pass would hand one on."""
    method = case.method()
    batch = case.batch_of(case.batch.images, case.batch.need_strong().images, learning_teacher=True)
    total(method, losses(method, batch)).backward()  # type: ignore[no-untyped-call]
    reached = [name for name, parameter in case.teacher.named_parameters() if parameter.grad is not None]
    return f"a gradient reaches the teacher ({reached[-1]}); detach what is read of it" if reached else None


def to_all_that_learns(case: Case) -> str | None:
    """Every learned parameter gets a finite gradient, but for the student's own classifier where something else is
    evaluated in its place."""
    method = case.method()
    total(method, losses(method, case.batch)).backward()  # type: ignore[no-untyped-call]
    replaced = [] if method.predictor is method.student else list(method.student.classifier.parameters())
    for name, parameter in method.named_parameters():
        if not parameter.requires_grad or any(parameter is other for other in replaced):
            continue
        if parameter.grad is None:
            return f"no gradient reaches {name}; use it, or set its requires_grad to False"
        if not parameter.grad.isfinite().all():
            return f"the gradient of {name} is not finite"
    return None


def its_own(case: Case) -> str | None:
    """The gradient of each term is how much the term changes (central differences): in double precision where it can be
    asked for logits, else along the gradient of the student's parameters."""
    method = case.method().eval()
    return _of_logits(case, method) if reads_logits(method) else _of_network(case, method)


def _of_logits(case: Case, method: Distiller) -> str | None:
    assert isinstance(method, LogitDistiller)
    draws = torch.Generator().manual_seed(3)
    student, teacher = torch.randn(2, IMAGES, case.classes, generator=draws, dtype=torch.float64) * 2

    def terms(logits: Tensor) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return method.terms(logits, teacher.to(logits.dtype), case.labels[:IMAGES])

    try:
        exact = all(term.dtype == torch.float64 for term in terms(student.clone().requires_grad_()).values())
    except RuntimeError:  # it mixes in numbers of single precision
        exact = False
    start = student if exact else student.float()
    for name, term in terms(at := start.clone().requires_grad_()).items():
        (gradient,) = torch.autograd.grad(term, at, retain_graph=True)
        for direction in (gradient, torch.randn(start.shape, generator=draws, dtype=start.dtype)):
            unit = direction / direction.norm().clamp_min(1e-30)

            def moved(step: float, name: str = name, unit: Tensor = unit) -> float:
                return terms((start + step * unit).requires_grad_())[name].item()

            wrong = _differs(moved, (gradient * unit).sum().item(), gradient.norm().item(), exact=exact)
            if wrong:
                return _said(name, term, wrong)
    return None


def _of_network(case: Case, method: Distiller) -> str | None:
    learned = [parameter for parameter in method.student.parameters() if parameter.requires_grad]
    terms = losses(method, case.batch).terms
    slopes = [torch.autograd.grad(term, learned, allow_unused=True, retain_graph=True) for term in terms.values()]
    for (name, term), gradients in zip(terms.items(), slopes, strict=True):
        ways = [(p, g) for p, g in zip(learned, gradients, strict=True) if g is not None]
        length = torch.stack([gradient.norm() for _, gradient in ways]).norm().item() if ways else 0.0

        def moved(
            step: float, name: str = name, ways: Sequence[tuple[Tensor, Tensor]] = ways, by: float = length
        ) -> float:
            with torch.no_grad():
                for parameter, gradient in ways:
                    parameter += step / by * gradient
                found = losses(method, case.batch).terms[name].item()
                for parameter, gradient in ways:
                    parameter -= step / by * gradient
            return found

        wrong = _differs(moved, length, length, exact=False) if length > 0 else None
        if wrong:
            return _said(name, term, wrong)
    return None


def _differs(
    moved: Callable[[float], float], expected: float, length: float, *, exact: bool
) -> tuple[float, float] | None:
    """The slope that was found and the one that the gradient tells, where they differ at every step that was tried."""
    slope = expected
    for step in (1e-6, 1e-5) if exact else (1e-2, 3e-3, 1e-3):
        slope = (moved(step) - moved(-step)) / (2 * step)
        if abs(slope - expected) <= (EXACT if exact else ROUGH) * max(length, abs(slope)) + (1e-9 if exact else 1e-4):
            return None
    return slope, expected


def _said(name: str, term: Tensor, differing: tuple[float, float]) -> str:
    slope, expected = differing
    what = f"the gradient of '{name}' is not how much it changes: {expected:.3g} where differences give {slope:.3g}"
    if _written_by_hand(term):
        return f"{what}; look at the backward of your autograd Function"
    return Remark(f"{what}; a part of the student is held fixed (detach, no_grad), or the loss is not smooth here")


def _written_by_hand(term: Tensor) -> bool:
    """Whether a gradient in a term's graph is not torch's own."""
    seen: set[Any] = set()
    waiting: list[Any] = [term.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, BackwardCFunction):
            return True
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False
