"""Weighing terms is multiplying, adding and going backward from the total, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainers.loop.weighing import Weighing

WEIGHTS = {"ce": 0.1, "kd": 0.9, "off": 0.0, "fixed": 2.0}


def problem() -> tuple[Tensor, dict[str, Tensor]]:
    """A weight that three terms depend on, and one term that depends on nothing."""
    weight = torch.linspace(-1, 2, 7).requires_grad_()
    terms = {"ce": weight.square().sum(), "kd": weight.exp().mean(), "off": weight.sum(), "fixed": torch.tensor(3.0)}
    return weight, terms


@pytest.fixture(params=["cpu", "no device"])
def summed_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of going backward: from the sum, and from the terms as on a GPU."""
    monkeypatch.setattr("trainers.loop.weighing.SUMMED_ON", request.param)


@pytest.mark.usefixtures("summed_on")
def test_terms_that_depend_on_nothing_are_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        Weighing(WEIGHTS, torch.device("cpu")).backward({"fixed": torch.tensor(3.0)})


@pytest.mark.usefixtures("summed_on")
def test_the_gradient_is_that_of_the_weighted_sum() -> None:
    weight, terms = problem()
    (expected,) = torch.autograd.grad(torch.stack([WEIGHTS[name] * terms[name] for name in WEIGHTS]).sum(), weight)
    weight, terms = problem()
    Weighing(WEIGHTS, torch.device("cpu")).backward(terms)
    assert weight.grad is not None
    assert torch.equal(weight.grad, expected)


@pytest.mark.parametrize("count", range(1, 9))
def test_totals_are_the_weighted_sums_of_each_step(count: int) -> None:
    draws = torch.Generator().manual_seed(count)
    records = torch.randn(5, count, generator=draws) * torch.logspace(-2, 2, count)
    weights = {f"term-{number}": 0.1 + 0.3 * number for number in range(count)}
    expected = [
        torch.stack([weight * step[column] for column, weight in enumerate(weights.values())]).sum() for step in records
    ]
    assert torch.equal(Weighing(weights, torch.device("cpu")).totals(list(weights), records), torch.stack(expected))


def test_a_term_without_weight_is_left_out_even_where_it_is_no_number() -> None:
    weighing = Weighing({"ce": 2.0, "off": 0.0}, torch.device("cpu"))
    assert weighing.totals(["off", "ce"], torch.tensor([[torch.nan, 3.0]])).tolist() == [6.0]
    assert weighing.counted({"ce": torch.tensor(1.0), "off": torch.tensor(1.0)}) == ["ce"]


def test_a_term_that_no_weight_is_known_of_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="other"):
        Weighing({"ce": 1.0}, torch.device("cpu")).counted({"other": torch.tensor(1.0)})
