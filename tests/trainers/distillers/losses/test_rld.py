"""RLD and the label corrections that it is compared with: the authors' numbers, and what they promise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.trainers.distillers.examples import logits, value_and_gradient
from tests.trainers.distillers.losses.authors import assert_the_authors, cases_of
from trainers.distillers import dkd_loss, kd_loss, la_loss, lr_loss, rc_loss, rld_loss
from trainers.distillers.label_correction import lr_terms, raised, revised_labels
from trainers.distillers.rld import rld_terms


def rld_options(hyper: dict[str, Any]) -> dict[str, Any]:
    ours = {"T": "temperature", "alpha_T": "confidence_temperature", "logit_stand": "standardize"}
    return {ours.get(key, key): hyper[key] for key in ("alpha", "beta", "T", "alpha_T", "logit_stand")}


@pytest.mark.parametrize("case", cases_of("rld", "rld"))
def test_rld_is_the_release_s(case: dict[str, Any]) -> None:
    options = rld_options(case["hyper"])
    assert_the_authors("rld", case, lambda x: rld_loss(x["student"], x["teacher"], x["target"], **options))


@pytest.mark.parametrize("case", cases_of("rld", "rld_total"))
def test_with_warm_up_and_cross_entropy_as_well(case: dict[str, Any]) -> None:
    hyper, options = case["hyper"], rld_options(case["hyper"])
    risen = min(hyper["epoch"] / hyper["warmup"], 1)
    assert_the_authors(
        "rld",
        case,
        lambda x: (
            hyper["ce_weight"] * F.cross_entropy(x["student"], x["target"])
            + risen * rld_loss(x["student"], x["teacher"], x["target"], **options)
        ),
    )


@pytest.mark.parametrize("case", cases_of("rld", "la"))
def test_la_is_the_release_s(case: dict[str, Any]) -> None:
    options = {"temperature": case["hyper"]["T"]}
    assert_the_authors("rld", case, lambda x: la_loss(x["student"], x["teacher"], x["target"], **options))


@pytest.mark.parametrize("case", cases_of("rld", "rc"))
def test_rc_s_own_term_is_the_release_s(case: dict[str, Any]) -> None:
    hyper = case["hyper"]
    options = {"temperature": hyper["T"], "standardize": hyper["logit_stand"], "kd_weight": 0, "self_weight": 1}
    assert_the_authors("rld", case, lambda x: rc_loss(x["student"], x["teacher"], x["target"], **options))


@pytest.mark.parametrize("case", cases_of("rld", "lr_revision"))
def test_label_revision_is_the_release_s(case: dict[str, Any]) -> None:
    hyper = case["hyper"]
    options = {"logit_weight": hyper["lambda1"], "revised_weight": hyper["lambda2"], "eta": hyper["eta"]}
    assert_the_authors("rld", case, lambda x: lr_loss(x["student"], x["teacher"], x["target"], **options))


def test_where_the_teacher_is_right_rld_is_dkd() -> None:
    student, teacher = logits((9, 7), 0), logits((9, 7), 1)
    right = teacher.argmax(dim=1)
    expected = value_and_gradient(lambda s, t: dkd_loss(s, t, right, alpha=0.7, beta=3), student, teacher)
    found = value_and_gradient(lambda s, t: rld_loss(s, t, right, alpha=0.7, beta=3), student, teacher)
    torch.testing.assert_close(found, expected)


def test_what_the_teacher_ranks_at_or_above_the_label_does_not_count() -> None:
    """Two classes above the label, one level with it, and two below."""
    teacher = torch.tensor([[5.0, 4.0, 2.0, 2.0, 1.0, 0.0]])
    student = torch.tensor([[0.3, -1.0, 0.5, 2.0, 1.5, -0.5]], requires_grad=True)
    label = torch.tensor([2])
    _, correlation = rld_terms(student, teacher, label, temperature=2.0)
    expected = kd_loss(student[:, 4:], teacher[:, 4:], temperature=2.0)
    torch.testing.assert_close(correlation, expected)
    (gradient,) = torch.autograd.grad(correlation, student)
    assert gradient[0, :4].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("classes", [2, 5])
def test_a_label_that_the_teacher_ranks_last_leaves_nothing_to_correlate(classes: int) -> None:
    teacher = torch.arange(float(classes)).repeat(2, 1)
    student = logits((2, classes), 0, dtype=torch.float32).requires_grad_()
    for labels in ([0, 0], [0, 1]):  # in the second row one class is left, or none but the first
        _, correlation = rld_terms(student, teacher, torch.tensor(labels))
        (gradient,) = torch.autograd.grad(correlation, student)
        assert correlation.item() == 0
        assert gradient.abs().max().item() == 0


def test_a_revised_label_is_ahead_of_the_teacher_s_mistake() -> None:
    teacher, labels = logits((20, 6), 3), torch.arange(20) % 6
    revised = revised_labels(teacher, labels, eta=0.7)
    torch.testing.assert_close(revised.sum(dim=1), torch.ones(20, dtype=torch.float64))
    wrong = teacher.argmax(dim=1) != labels
    lead = revised.gather(1, labels[:, None]) - revised.gather(1, teacher.argmax(dim=1, keepdim=True))
    torch.testing.assert_close(lead[wrong], torch.full_like(lead[wrong], 0.3))
    assert wrong.any()


@pytest.mark.parametrize("right", [True, False])
def test_a_group_without_samples_counts_nothing(right: bool) -> None:
    teacher = logits((5, 4), 0)
    labels = (teacher.argmax(dim=1) + (0 if right else 1)) % 4
    student = logits((5, 4), 1).requires_grad_()
    terms = lr_terms(student, teacher, labels)
    assert [term.item() > 0 for term in terms] == [right, right, not right]
    (gradient,) = torch.autograd.grad(torch.stack(terms).sum(), student)
    assert gradient.isfinite().all()


def test_a_raised_label_has_the_largest_logit_added() -> None:
    found = raised(torch.tensor([[1.0, 3.0, 2.0], [-1.0, -2.0, -3.0]]), torch.tensor([2, 0]))
    assert found.tolist() == [[1, 3, 5], [-2, -2, -3]]
