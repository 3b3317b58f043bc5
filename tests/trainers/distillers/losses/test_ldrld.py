"""LDRLD: the authors' numbers, the pairs one by one, and what remains of them at the edges of k."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.trainers.distillers.examples import logits, value_and_gradient
from tests.trainers.distillers.losses.authors import assert_the_authors, cases_of, inputs_of
from trainers.config import MethodConfig
from trainers.distillers import Setting, build_distiller, kd_loss, ldrld_loss
from trainers.distillers.ldrld import ldrld_terms, pair_weights
from trainers.errors import InputError
from trainers.models import build


@pytest.mark.parametrize("case", cases_of("ldrld", "ldrld"))
def test_it_is_the_release_s_which_compares_all_classes_where_none_remain(case: dict[str, Any]) -> None:
    hyper = case["hyper"]
    options = {"alpha": hyper["alpha"], "beta": hyper["beta"], "k": hyper["k"], "temperature": hyper["T"]}
    none_remain = hyper["k"] == inputs_of("ldrld", case)["student"].shape[1]
    assert_the_authors(
        "ldrld",
        case,
        lambda x: (
            hyper["ce_weight"] * F.cross_entropy(x["student"], x["target"])
            + ldrld_loss(x["student"], x["teacher"], **options)
            + none_remain * hyper["beta"] * kd_loss(x["student"], x["teacher"], temperature=hyper["T"])
        ),
    )


@pytest.mark.parametrize("case", cases_of("ldrld", "ldrld"))
def test_each_term_is_the_release_s(case: dict[str, Any]) -> None:
    x, hyper = inputs_of("ldrld", case), case["hyper"]
    local, remaining = ldrld_terms(x["student"], x["teacher"], k=hyper["k"], temperature=hyper["T"])
    assert local.item() == pytest.approx(case["parts"]["ldrld"][0], rel=1e-5, abs=1e-7)
    if hyper["k"] < x["student"].shape[1]:
        assert remaining.item() == pytest.approx(case["parts"]["rntk"][0], rel=1e-5)


def test_all_of_k_is_there() -> None:
    assert {case.values[0]["hyper"]["k"] for case in cases_of("ldrld", "ldrld")} == {1, 2, 7, 10}


def test_every_pair_counts_by_its_ranks() -> None:
    """One sample, pair by pair; the student ranks, not the teacher."""
    student, teacher, k = logits((1, 9), 0), logits((1, 9), 1), 4
    first = student[0].argsort(descending=True)[:k].tolist()
    total = kd_loss(student[:, first], teacher[:, first], temperature=3.0)
    for (i, one), (j, other) in combinations(enumerate(first, 1), 2):
        weight = 2 / (1.5 + j - i) * math.exp(-0.05 * (i + j))
        total = total + weight * kd_loss(student[:, [one, other]], teacher[:, [one, other]], temperature=3.0)
    rest = [c for c in range(9) if c not in first]
    local, remaining = ldrld_terms(student, teacher, k=k, temperature=3.0)
    torch.testing.assert_close(local, total / 7)
    torch.testing.assert_close(remaining, kd_loss(student[:, rest], teacher[:, rest], temperature=3.0))


def test_weights_of_the_first_pairs() -> None:
    weights = pair_weights(7, torch.zeros(()))
    assert weights[0, 1].item() == pytest.approx(0.689, abs=1e-3)
    assert weights[5, 6].item() == pytest.approx(0.418, abs=1e-3)
    assert weights[0, 6].item() == pytest.approx(0.179, abs=1e-3)
    assert (weights.tril() == 0).all()


@pytest.mark.parametrize(("k", "classes"), [(1, 2), (2, 2), (5, 5), (1, 5), (4, 5)])
def test_few_classes_leave_finite_terms_and_those_of_nothing_are_nothing(k: int, classes: int) -> None:
    student, teacher = logits((3, classes), 0).requires_grad_(), logits((3, classes), 1)
    local, remaining = ldrld_terms(student, teacher, k=k)
    assert (local.item() > 0) == (k > 1)
    assert (remaining.item() > 0) == (classes - k > 1)
    (gradient,) = torch.autograd.grad(local + remaining, student)
    assert gradient.isfinite().all()


def test_ranks_carry_no_gradient_and_no_class_is_left_out() -> None:
    _, gradient = value_and_gradient(ldrld_loss, logits((4, 12), 0), logits((4, 12), 1), k=5)
    torch.testing.assert_close(gradient.sum(dim=1), torch.zeros(4, dtype=torch.float64))
    assert (gradient != 0).all()


def test_more_first_classes_than_there_are_are_refused() -> None:
    student = build("resnet8", num_classes=5)
    build_distiller(MethodConfig(name="ldrld", params={"k": 5}), student, Setting(5))
    with pytest.raises(InputError, match=r"k must be at most the number of classes \(5\), found 6"):
        build_distiller(MethodConfig(name="ldrld", params={"k": 6}), student, Setting(5))
