"""WKD-L: the authors' numbers, its plan of transport, the distances of classes, and the decay of its weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from tests.trainers.distillers.examples import logits
from tests.trainers.distillers.losses.authors import Inputs, arrays_of, assert_the_authors, cases_of, inputs_of
from trainers.config import MethodConfig
from trainers.contract import Case
from trainers.distillers import Setting, build_distiller, nkd_loss, wkd_loss
from trainers.distillers.wkd import WKD, carried, cka_distances, cosine_distances, costs, decay, wkd_terms


def distances_of(x: Inputs) -> Tensor:
    return x["dist"] if "dist" in x else cosine_distances(x["prototype"])


def options_of(hyper: dict[str, Any]) -> dict[str, Any]:
    ours = {"T": "temperature", "sinkhorn_lambda": "regularization", "sinkhorn_iter": "rounds"}
    return {ours.get(key, key): hyper[key] for key in ("T", "sharpen", "sinkhorn_lambda", "sinkhorn_iter")}


@pytest.mark.parametrize("case", cases_of("wkd", "wkd_l", "wkd_total"))
def test_it_is_the_release_s(case: dict[str, Any]) -> None:
    hyper = case["hyper"]
    weight = hyper["weight"] * decay(hyper["epoch"], hyper["decay_epoch"], hyper["epochs"])
    assert_the_authors(
        "wkd",
        case,
        lambda x: (
            hyper["ce_weight"] * F.cross_entropy(x["student"], x["target"])
            + wkd_loss(x["student"], x["teacher"], x["target"], distances_of(x), wkd_weight=weight, **options_of(hyper))
        ),
    )


@pytest.mark.parametrize("case", cases_of("wkd", "wkd_l"))
def test_the_distance_alone_is_the_release_s(case: dict[str, Any]) -> None:
    x = inputs_of("wkd", case)
    _, distance = wkd_terms(x["student"], x["teacher"], x["target"], distances_of(x), **options_of(case["hyper"]))
    expected, tolerance = case["parts"]["wd"]
    assert distance.item() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("case", cases_of("wkd", "wkd_cost"))
def test_distances_by_features_are_the_release_s(case: dict[str, Any]) -> None:
    """And CKA does not see a turn, a scale and a shift of all features."""
    features = inputs_of("wkd", case)["features"]
    found = cka_distances(features)
    torch.testing.assert_close(found, arrays_of("wkd")[f"{case['id']}/dist"], rtol=0, atol=case["dist_atol"])
    assert torch.equal(found.diagonal(), torch.zeros(len(features)))
    turn = torch.linalg.qr(logits((features.shape[2], features.shape[2]), 3)).Q
    torch.testing.assert_close(cka_distances(3 * features.double() @ turn + 1).float(), found, rtol=0, atol=1e-5)


def test_the_label_takes_no_part_in_the_distance_as_if_it_were_deleted() -> None:
    """Sample by sample, with the label's row and column cut out, as the release computes it."""
    student, teacher = logits((4, 6), 0), logits((4, 6), 1)
    distances = cosine_distances(logits((6, 3), 2))
    targets = torch.tensor([0, 5, 2, 3])
    total = torch.zeros((), dtype=torch.float64)
    for ours, theirs, label in zip(student, teacher, targets.tolist(), strict=True):
        others = [c for c in range(6) if c != label]
        a, b = ((z[None, others] / 8).softmax(dim=1) for z in (ours, theirs))
        cost = costs(distances)[others][:, others]
        total = total + carried(a, b, cost, torch.full_like(a, 1 / 5))[0]
    _, distance = wkd_terms(student, teacher, targets, distances)
    torch.testing.assert_close(distance, total / 4)


def test_between_far_classes_alone_what_is_carried_is_the_difference() -> None:
    """Where every way costs the same, the distance is the price of the mass that must move."""
    a, b = torch.tensor([[0.5, 0.3, 0.2]]).double(), torch.tensor([[0.1, 0.3, 0.6]]).double()
    cost = 0.7 * (1 - torch.eye(3, dtype=torch.float64)) + 1e-8
    found = carried(a, b, cost, torch.full_like(a, 1 / 3), regularization=0.05, rounds=200)
    torch.testing.assert_close(found.item(), 0.7 * 0.4, rtol=1e-3, atol=0)


def test_mass_goes_to_a_class_that_is_alike_for_little() -> None:
    distances = torch.tensor([[0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.1, 1.0], [1.0, 0.1, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]])
    teacher = torch.tensor([[5.0, 4.0, 0.0, 0.0]])
    near, far = (torch.tensor([row]) for row in ([5.0, 0.0, 4.0, 0.0], [5.0, 0.0, 0.0, 4.0]))
    label = torch.tensor([0])
    little, much = (wkd_terms(s, teacher, label, distances, temperature=1.0)[1].item() for s in (near, far))
    assert 3 * little < much


def test_the_label_s_term_is_nkd_s() -> None:
    student, teacher, targets = logits((5, 7), 0), logits((5, 7), 1), torch.arange(5)
    target, _ = wkd_terms(student, teacher, targets, torch.zeros(7, 7, dtype=torch.float64))
    torch.testing.assert_close(target, nkd_loss(student, teacher, targets, gamma=0.0))


def test_costs_rise_with_distance_to_the_full_price() -> None:
    distances = torch.tensor([-1e-9, 0.0, 0.5, 2.0], dtype=torch.float64)
    assert costs(distances, sharpen=0.0).tolist() == pytest.approx([1e-8, 1e-8, 0.5, 2.0])
    mild, sharp = (costs(distances, sharpen=kappa).tolist() for kappa in (1.0, 50.0))
    assert mild == pytest.approx([1e-8, 1e-8, 0.393469, 0.864665], rel=1e-5)
    assert sharp == pytest.approx([1e-8, 1e-8, 1.0, 1.0])


@pytest.mark.parametrize("rounds", [1, 10, 200])
def test_two_classes_and_logits_without_bound_leave_it_finite(rounds: int) -> None:
    for classes in (2, 3, 10):
        distances = cosine_distances(logits((classes, 4), 0, dtype=torch.float32))
        student, teacher = (1e4 * logits((4, classes), seed, dtype=torch.float32).sign() for seed in (1, 2))
        student.requires_grad_()
        loss = wkd_loss(student, teacher, torch.arange(4) % classes, distances, temperature=1.0, rounds=rounds)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert gradient.isfinite().all()


def test_the_weight_falls_along_half_a_cosine() -> None:
    assert [decay(epoch, 150, 240) for epoch in (1, 150, 195, 240, 500)] == pytest.approx([1, 1, 0.5, 0, 0])
    assert [decay(epoch, None, 240) for epoch in (1, 240)] == [1, 1]
    assert [decay(epoch, 5, 3) for epoch in (5, 6)] == [1, 0]


def test_classes_are_as_far_apart_as_the_teacher_s_classifier_has_them() -> None:
    case = Case("wkd")
    method, weight = case.method(), case.teacher.classifier.weight
    assert isinstance(method, WKD)
    expected = 1 - F.cosine_similarity(weight[:, None], weight[None], dim=2)
    torch.testing.assert_close(method.distances, expected, rtol=0, atol=1e-6)
    assert not method.distances.requires_grad
    assert not any("distances" in key for key in method.state_dict())


def test_it_is_no_main_method_of_two_heads_since_it_reads_more_than_logits() -> None:
    case = Case("wkd")
    setting = Setting(10, image_size=(8, 8), teacher=case.teacher)
    with pytest.raises(ValidationError, match="unknown method for the main head 'wkd'"):
        build_distiller(MethodConfig(name="dhkd", params={"main": "wkd"}), case.student, setting)
