"""Fidelity to the teacher, of logits where it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainers.diagnostics import class_correlation, correlation_difference, fidelity
from trainers.diagnostics.fidelity import agreement, divergence, mean_correlation_difference

SEEDS = st.integers(0, 10_000)


def logits(seed: int, images: int = 30, classes: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(images, classes, generator=generator, dtype=torch.float64)


@given(SEEDS)
def test_a_perfect_copy(seed: int) -> None:
    exact = {"fidelity_agreement": 100, "fidelity_kl": 0, "fidelity_correlation": 0}
    assert fidelity(logits(seed), logits(seed)) == exact


@given(SEEDS)
def test_classes_in_another_order(seed: int) -> None:
    """Each class's logits handed on to the next one: no image keeps its class."""
    teacher = logits(seed)
    student = teacher.roll(1, dims=1)
    assert agreement(student, teacher) == 0
    matrix = class_correlation(teacher)
    expected = matrix.roll((1, 1), dims=(0, 1)) - matrix
    torch.testing.assert_close(correlation_difference(student, teacher), expected, rtol=0, atol=1e-12)
    off_diagonal = expected.abs().sum() / (6 * 5)
    assert mean_correlation_difference(student, teacher) == pytest.approx(off_diagonal.item())


@given(SEEDS)
def test_a_constant_of_each_image_is_seen_by_the_correlation_alone(seed: int) -> None:
    """It changes no probability, and that is what a logit-level loss is for."""
    teacher = logits(seed)
    student = teacher + 10 * torch.randn(30, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = fidelity(student, teacher)
    assert found["fidelity_agreement"] == 100
    assert found["fidelity_kl"] == pytest.approx(0, abs=1e-12)
    assert found["fidelity_correlation"] > 0.3


@given(SEEDS)
def test_all_signs_turned_keep_the_correlation_alone(seed: int) -> None:
    found = fidelity(-logits(seed), logits(seed))
    assert found["fidelity_correlation"] == pytest.approx(0, abs=1e-12)
    assert found["fidelity_kl"] > 1


def test_agreement_counts_images() -> None:
    teacher = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    student = torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 7.0], [1.0, 2.0, 0.0]])
    assert agreement(student, teacher) == 75


def test_divergence_is_that_of_the_teacher_from_the_student_in_nats() -> None:
    """Three quarters and one quarter, against two halves."""
    unsure, sure = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    assert divergence(unsure, sure) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert divergence(sure, unsure) == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))


def test_divergence_is_finite_at_extreme_logits() -> None:
    assert divergence(torch.tensor([[1e4, -1e4]]), torch.tensor([[-1e4, 1e4]])) == pytest.approx(2e4)


def test_correlations_are_pearson_s() -> None:
    some = logits(1)
    np.testing.assert_allclose(class_correlation(some).numpy(), np.corrcoef(some.numpy(), rowvar=False), atol=1e-12)


def test_opposite_relations_are_two_apart() -> None:
    together = torch.tensor([[1.0, 2.0], [2.0, 3.0], [4.0, 5.0]])
    apart = torch.tensor([[1.0, -2.0], [2.0, -3.0], [4.0, -5.0]])
    assert mean_correlation_difference(together, apart) == pytest.approx(2)


def test_a_class_whose_logit_never_changes_has_no_correlation() -> None:
    constant = torch.tensor([[1.0, 0.0, 2.0], [2.0, 0.0, 1.0], [4.0, 0.0, 0.0]])
    matrix = class_correlation(constant)
    assert matrix[1].isnan().all()
    assert matrix[[0, 2]][:, [0, 2]].isfinite().all()
    assert math.isnan(mean_correlation_difference(constant, constant))
