"""Neural collapse, on features whose measures are known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainers.diagnostics import neural_collapse
from trainers.diagnostics.neural_collapse import (
    centred,
    class_means,
    equiangularity,
    equinorm,
    maximal_angle,
    nearest_centre_disagreement,
    self_duality,
    within_class_variability,
)

SEEDS = st.integers(0, 10_000)


def simplex(classes: int, dim: int, seed: int = 0) -> Tensor:
    """A simplex equiangular tight frame of unit vectors, turned at random: float64 ``[C, D]``."""
    frame = math.sqrt(classes / (classes - 1)) * (torch.eye(classes, dtype=torch.float64) - 1 / classes)
    turned, _ = torch.linalg.qr(noise((dim, classes), seed))
    return frame @ turned.T


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_features(seed: int, classes: int = 4, each: int = 6, dim: int = 7) -> tuple[Tensor, Tensor]:
    """Scattered features around scattered means, and labels in turn."""
    labels = torch.arange(classes * each) % classes
    return noise((classes, dim), seed)[labels] * 2 + noise((classes * each, dim), seed + 1), labels


@pytest.mark.parametrize(("classes", "dim"), [(2, 3), (3, 3), (10, 64), (100, 128)])
def test_a_collapsed_network_has_nothing_left_but_zeros(classes: int, dim: int) -> None:
    """Each image at its class's corner of a simplex, away from the origin, read by a head of the same directions."""
    frame, offset = simplex(classes, dim), noise((dim,), 5)
    labels = torch.arange(3 * classes) % classes
    weight = 7 * frame
    measures = neural_collapse(2 * frame[labels] + offset, labels, weight, -weight @ offset)
    assert len(measures) == 9
    assert measures == pytest.approx(dict.fromkeys(measures, 0), abs=1e-12)


# -- NC1


def test_nc1_of_two_points_on_a_line() -> None:
    """Means at ±3, deviations of ±0.5: S_W = 0.25, S_B = 9."""
    features = torch.tensor([[2.5], [3.5], [-2.5], [-3.5]])
    assert within_class_variability(features, torch.tensor([0, 0, 1, 1]), 2) == pytest.approx(0.25 / 9 / 2)


@given(SEEDS)
def test_nc1_is_the_trace_with_the_pseudo_inverse(seed: int) -> None:
    features, labels = some_features(seed)
    means = torch.stack([features[labels == label].mean(dim=0) for label in range(4)])
    residuals = features - means[labels]
    inside, between = residuals.T @ residuals / len(features), centred(means).T @ centred(means) / 4
    expected = torch.trace(inside @ torch.linalg.pinv(between, rtol=1e-10, hermitian=True)) / 4
    assert within_class_variability(features, labels, 4) == pytest.approx(expected.item(), rel=1e-8)


def test_variability_beside_the_class_means_is_not_seen_by_nc1() -> None:
    features = torch.tensor([[1.0, 5.0], [1.0, -5.0], [-1.0, 2.0], [-1.0, -2.0]])
    assert within_class_variability(features, torch.tensor([0, 0, 1, 1]), 2) == 0


def test_means_that_differ_by_rounding_alone_do_not_blow_nc1_up() -> None:
    """Two of three classes at one place but for 1e-9, which says nothing about features in float32."""
    labels = torch.arange(12) % 3
    places = torch.tensor([[4.0, 0.0], [-4.0, 1e-9], [-4.0, 0.0]], dtype=torch.float64)
    features = places[labels] + 0.1 * noise((12, 2), 3)
    features -= (class_means(features, labels, 3) - places)[labels]
    assert 0 < within_class_variability(features, labels, 3) < 0.01


def test_nc1_needs_two_images_of_a_class() -> None:
    assert math.isnan(within_class_variability(torch.eye(3), torch.arange(3), 3))


# -- NC2


def test_equinorm_is_the_coefficient_of_variation() -> None:
    assert equinorm(torch.tensor([[1.0, 0.0], [0.0, 3.0]])) == pytest.approx(0.5)


def test_angles_of_three_known_vectors() -> None:
    """Cosines 0, -1 and 0; three vectors can be at -1/2 each."""
    vectors = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    assert equiangularity(vectors) == pytest.approx(math.sqrt(2) / 3)
    assert maximal_angle(vectors) == pytest.approx(0.5)


def test_orthogonal_vectors_are_equiangular_and_not_as_wide_as_can_be() -> None:
    assert equiangularity(3 * torch.eye(5)) == 0
    assert maximal_angle(3 * torch.eye(5)) == pytest.approx(1 / 4)


def test_a_vector_of_zeros_has_no_angle() -> None:
    assert math.isnan(equiangularity(torch.zeros(2, 2)))
    assert math.isnan(equinorm(torch.zeros(2, 2)))


# -- NC3


def test_self_duality_of_known_heads() -> None:
    means = simplex(3, 4)
    beside = torch.zeros_like(means)
    beside[:, 0] = torch.linalg.svd(means.T)[2][-1]  # constant over classes, so that it is orthogonal to centred means
    assert self_duality(5 * means, means) == pytest.approx(0, abs=1e-12)
    assert self_duality(-means, 2 * means) == pytest.approx(2)
    assert self_duality(beside, means) == pytest.approx(math.sqrt(2))


# -- NC4


def test_nearest_centre_disagreement_counts_images() -> None:
    """The head decides by the second coordinate, the centres lie along the first."""
    features = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0]])
    means, weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    assert nearest_centre_disagreement(features, means, weight, None) == 25
    assert nearest_centre_disagreement(features, means, weight, torch.tensor([9.0, 0.0])) == 50


# -- all


@given(SEEDS)
def test_turning_moving_and_scaling_the_features_changes_nothing(seed: int) -> None:
    """With the head turned and moved likewise."""
    features, labels = some_features(seed)
    weight, bias = noise((4, 7), seed + 2), noise((4,), seed + 3)
    turn, _ = torch.linalg.qr(noise((7, 7), seed + 4))
    offset = noise((7,), seed + 5)
    moved = neural_collapse((3 * features + offset) @ turn, labels, weight @ turn, 3 * bias - weight @ offset)
    assert moved == pytest.approx(neural_collapse(features, labels, weight, bias), rel=1e-8, abs=1e-10)


def test_classes_count_alike_whatever_their_number_of_images() -> None:
    """All images of one class twice: but for NC4, a share of images, nothing changes."""
    features, labels = some_features(3)
    weight = noise((4, 7), 4)
    twice = torch.cat([torch.arange(24), torch.nonzero(labels == 2).flatten()])
    once, more = (neural_collapse(features[at], labels[at], weight, None) for at in (torch.arange(24), twice))
    assert more | {"nc4": 0} == pytest.approx(once | {"nc4": 0})


def test_features_in_float32_far_from_the_origin_are_measured_exactly() -> None:
    labels = torch.arange(20) % 4
    features = (1000 + simplex(4, 8)[labels]).float()  # rounded to 6e-5, the same for all images of a class
    assert neural_collapse(features, labels, simplex(4, 8), None)["nc1"] == pytest.approx(0, abs=1e-20)


def test_equal_class_means_have_no_geometry() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0], [3.0, 4.0], [1.0, 2.0]])
    assert neural_collapse(features, torch.tensor([0, 0, 1, 1]), torch.eye(2), None) == {}
    assert neural_collapse(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]), torch.eye(2), None) == {}


@pytest.mark.parametrize("labels", [[0, 0, 2], [0, 1, 3]])
def test_each_class_needs_an_image(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="each of 3 classes needs an image"):
        neural_collapse(torch.ones(3, 2), torch.tensor(labels), torch.ones(3, 2), None)
