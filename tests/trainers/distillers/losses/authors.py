"""Numbers of the authors' code for one method: tests/goldens/losses/<name>.json, read beside the sets of all."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.goldens import arrays, index

Inputs = dict[str, Tensor]
Case = dict[str, Any]


@cache
def arrays_of(name: str) -> dict[str, Tensor]:
    """Inputs and gradients of a method's cases."""
    return arrays("losses/losses") | arrays(f"losses/{name}")


def cases_of(name: str, *losses: str) -> list[Any]:
    """The cases of these losses, as parameters of a test."""
    chosen = [case for case in index(f"losses/{name}") if case["loss"] in losses]
    assert chosen
    return [pytest.param(case, id=case["id"]) for case in chosen]


def inputs_of(name: str, case: Case) -> Inputs:
    """What goes into a case; labels as int64."""
    found = {key: arrays_of(name)[place].clone() for key, place in case["inputs"].items()}
    return {key: value.long() if key == "target" else value for key, value in found.items()}


def assert_the_authors(name: str, case: Case, loss: Callable[[Inputs], Tensor]) -> None:
    """Loss and gradient of the student's logits are those of the authors' code; in double precision where theirs
    underflows in single, for then nothing says how far single precision may be off."""
    given = inputs_of(name, case)
    if not case["float32_finite"]:
        given = {key: value.double() if value.is_floating_point() else value for key, value in given.items()}
    given["student"].requires_grad_()
    found = loss(given)
    (gradient,) = torch.autograd.grad(found, given["student"])
    assert found.item() == pytest.approx(case["loss_f64"], rel=case["loss_rtol"])
    expected = arrays_of(name)[f"{case['id']}/grad_student"]
    kept = gradient if gradient.shape == expected.shape else gradient.flatten()[::3]
    torch.testing.assert_close(kept.float(), expected, rtol=0, atol=case["grad_atol"]["student"])


def assert_loss_and_gradients(
    stored: dict[str, Tensor], case: Case, given: Inputs, loss: Callable[[Inputs], Tensor]
) -> None:
    """The loss, and the gradient of each input that the case has one of, are those of the authors' code."""
    for name in case["grad_atol"]:
        given[name].requires_grad_()
    found = loss(given)
    found.backward()  # type: ignore[no-untyped-call]
    assert found.item() == pytest.approx(case["loss_f64"], rel=1e-5)
    for name, tolerance in case["grad_atol"].items():
        gradient, expected = given[name].grad, stored[f"{case['id']}/grad_{name}"]
        assert gradient is not None
        kept = gradient if gradient.shape == expected.shape else gradient.flatten()[::3]
        torch.testing.assert_close(kept, expected, rtol=0, atol=tolerance)
