"""TeKAP, DHO, SDD and CRLD: the numbers of the authors' code (tests/goldens/losses), and what is theirs alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.goldens import arrays, index
from trainers.distillers import tekap_loss
from trainers.distillers.tekap import draw_noise

CASES: list[dict[str, Any]] = index("losses/heads_regions_views")
ARRAYS = arrays("losses/losses") | arrays("losses/heads_regions_views")

Inputs = dict[str, Tensor]
Hyper = dict[str, Any]

LOSSES: dict[str, Callable[[Inputs, Hyper], Tensor]] = {
    "tekap": lambda x, hyper: tekap_loss(x["student"], x["teacher"], x["noise"], temperature=hyper["T"]),
}


def _cases(*losses: str) -> Any:
    chosen = [case for case in CASES if case["loss"] in losses]
    return pytest.mark.parametrize("case", chosen, ids=[case["id"] for case in chosen])


def _inputs(case: dict[str, Any]) -> Inputs:
    found = {name: ARRAYS[key].clone() for name, key in case["inputs"].items()}
    return {name: value.long() if name == "target" else value for name, value in found.items()}


@_cases(*LOSSES)
def test_loss_and_gradients(case: dict[str, Any]) -> None:
    inputs = _inputs(case)
    for name in case["grad_atol"]:
        inputs[name].requires_grad_()
    loss = LOSSES[case["loss"]](inputs, case["hyper"])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(case["loss_f64"], rel=1e-5)
    for name, tolerance in case["grad_atol"].items():
        gradient, expected = inputs[name].grad, ARRAYS[f"{case['id']}/grad_{name}"]
        assert gradient is not None
        kept = gradient if gradient.shape == expected.shape else gradient.flatten()[::3]
        torch.testing.assert_close(kept, expected, rtol=0, atol=tolerance)


def test_all_cases_of_a_loss_are_there() -> None:
    counts = {name: sum(case["loss"] == name for case in CASES) for name in LOSSES}
    assert counts == {"tekap": 4}


# -- TeKAP


def test_noise_is_standard_normal_and_of_its_address() -> None:
    """By (seed, epoch, sample): the batch's order does not matter, and draws, classes and epochs are apart."""
    at = torch.arange(0, 2000, 2)
    noise = draw_noise(3, 1, at, draws=3, classes=10)
    assert noise.shape == (3, 1000, 10)
    assert noise.isfinite().all()
    assert noise.mean().abs() < 0.03
    assert (noise.std() - 1).abs() < 0.02
    assert (noise.abs() > 2).float().mean().item() == pytest.approx(0.0455, abs=0.006)
    assert torch.equal(draw_noise(3, 1, at.flip(0), draws=3, classes=10), noise.flip(1))
    for other in (draw_noise(3, 2, at, draws=3, classes=10), draw_noise(4, 1, at, draws=3, classes=10)):
        assert torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1].abs() < 0.03
    for dim in range(3):
        assert torch.corrcoef(torch.stack([noise.flatten(), noise.roll(1, dim).flatten()]))[0, 1].abs() < 0.03


def test_tekap_without_noise_is_kd_so_many_times() -> None:
    x = _inputs(next(case for case in CASES if case["loss"] == "tekap"))
    plain = tekap_loss(x["student"], x["teacher"], x["noise"], perturbed_weight=0)
    torch.testing.assert_close(tekap_loss(x["student"], x["teacher"], x["noise"], mix=0), 3.4 * plain)
