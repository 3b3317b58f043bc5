"""KD: the authors' numbers, and the properties of a KL divergence between softmaxes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from pydantic import ValidationError
from torch.nn import functional as F

from tests import goldens
from tests.trainers.distillers.examples import SEEDS, SHAPES, TEMPERATURES, extreme_logits, logits, value_and_gradient
from trainers.distillers import METHODS, kd_loss

CASES = [case for case in goldens.index("kd_dhkd_losses") if case["loss"] in ("kd", "kd_dhkd")]
ARRAYS = goldens.arrays("kd_dhkd_losses")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_loss_and_gradient_are_the_releases(case: dict[str, Any]) -> None:
    student, teacher = (ARRAYS[case["inputs"][who]] for who in ("student", "teacher"))
    loss, gradient = value_and_gradient(kd_loss, student, teacher, temperature=case["temperature"])
    assert loss.item() == pytest.approx(ARRAYS[f"{case['id']}/loss_f64"].item(), rel=case["loss_rtol"])
    expected = ARRAYS[f"{case['id']}/grad_student"]
    torch.testing.assert_close(gradient, expected, rtol=0, atol=case["grad_atol"])


@given(SHAPES, SEEDS, TEMPERATURES)
def test_it_is_the_formula(shape: tuple[int, int], seed: int, temperature: float) -> None:
    student, teacher = logits(shape, seed), logits(shape, seed + 1)
    p, q = F.softmax(teacher / temperature, 1), F.softmax(student / temperature, 1)
    expected = temperature**2 * (p * (p / q).log()).sum() / shape[0]
    torch.testing.assert_close(kd_loss(student, teacher, temperature=temperature), expected)


@given(SHAPES, SEEDS, TEMPERATURES)
def test_equal_logits_cost_nothing_and_others_something(shape: tuple[int, int], seed: int, temperature: float) -> None:
    one, other = logits(shape, seed), logits(shape, seed + 1)
    loss, gradient = value_and_gradient(kd_loss, one, one.clone(), temperature=temperature)
    assert abs(loss.item()) < 1e-12
    assert gradient.abs().max() < 1e-12
    assert kd_loss(one, other, temperature=temperature) > 0


@given(SHAPES, SEEDS, TEMPERATURES)
def test_a_shift_of_a_row_changes_nothing(shape: tuple[int, int], seed: int, temperature: float) -> None:
    student, teacher = logits(shape, seed), logits(shape, seed + 1)
    shift = logits((shape[0], 1), seed + 2, scale=20.0)
    loss = kd_loss(student, teacher, temperature=temperature)
    torch.testing.assert_close(kd_loss(student + shift, teacher, temperature=temperature), loss, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(kd_loss(student, teacher + shift, temperature=temperature), loss, rtol=1e-9, atol=1e-12)


@given(SHAPES, SEEDS)
def test_the_order_of_images_and_of_classes_does_not_matter(shape: tuple[int, int], seed: int) -> None:
    student, teacher = logits(shape, seed), logits(shape, seed + 1)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(shape[0], generator=generator)[:, None]
    columns = torch.randperm(shape[1], generator=generator)
    torch.testing.assert_close(kd_loss(student[rows, columns], teacher[rows, columns]), kd_loss(student, teacher))


@given(SHAPES, SEEDS)
def test_the_gradient_is_that_of_softmaxes_apart(shape: tuple[int, int], seed: int) -> None:
    student, teacher = logits(shape, seed), logits(shape, seed + 1)
    _, gradient = value_and_gradient(kd_loss, student, teacher, temperature=4.0)
    expected = 4.0 * (F.softmax(student / 4, 1) - F.softmax(teacher / 4, 1)) / shape[0]
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_extreme_logits_give_finite_numbers(dtype: torch.dtype, temperature: float) -> None:
    loss, gradient = value_and_gradient(kd_loss, *extreme_logits(dtype), temperature=temperature)
    assert loss.isfinite()
    assert loss > 0
    assert gradient.isfinite().all()


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = logits((4, 5), 0).requires_grad_(), logits((4, 5), 1).requires_grad_()
    kd_loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize("params", [{"temperature": 0}, {"alpha": -1}, {"ce_weight": -0.1}, {"tau": 4}], ids=str)
def test_impossible_settings_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS["kd"].Params.model_validate(params)
