"""ABKD: the authors' numbers, the divergence's limits, and that it comes to them without a jump."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainers.distillers.examples import extreme_logits, logits, value_and_gradient
from tests.trainers.distillers.losses.authors import arrays_of, assert_the_authors, cases_of
from trainers.distillers import abkd_dkd_loss, abkd_loss, dkd_loss, kd_loss, lskd_loss
from trainers.distillers.abkd import alpha_beta_divergence


def missing(alpha: float, beta: float) -> float:
    """The factor that the release's special cases lack."""
    if alpha and beta:
        return alpha if alpha == -beta else 1.0
    return (alpha or beta) or 1.0


@pytest.mark.parametrize("case", cases_of("abkd", "abkd"))
def test_it_is_the_release_s_but_for_the_factors_of_its_special_cases(case: dict[str, Any]) -> None:
    alpha, beta = case["hyper"]["ab_alpha"], case["hyper"]["ab_beta"]
    options = {"alpha": alpha, "beta": beta, "temperature": case["hyper"]["T"]}
    assert_the_authors("abkd", case, lambda x: missing(alpha, beta) * abkd_loss(x["student"], x["teacher"], **options))


@pytest.mark.parametrize("case", cases_of("abkd", "ab_lskd"))
def test_standardized_and_times_the_squared_temperature_it_is_their_ablsd(case: dict[str, Any]) -> None:
    hyper = case["hyper"]
    options = {"alpha": hyper["ab_alpha"], "beta": hyper["ab_beta"], "temperature": hyper["T"], "standardize": True}
    assert_the_authors("abkd", case, lambda x: hyper["T"] ** 2 * abkd_loss(x["student"], x["teacher"], **options))


@pytest.mark.parametrize("case", cases_of("abkd", "ab_dkd"))
def test_around_dkd_it_is_the_release_s(case: dict[str, Any]) -> None:
    options = {"temperature" if name == "T" else name: value for name, value in case["hyper"].items()}
    assert_the_authors("abkd", case, lambda x: abkd_dkd_loss(x["student"], x["teacher"], x["target"], **options))


def test_around_dkd_its_exponents_make_it_dkd_or_dkd_with_the_reverse_divergence() -> None:
    student, teacher, targets = logits((6, 9), 0), logits((6, 9), 1), torch.arange(6)
    options = {"alpha": 2.0, "beta": 3.0, "temperature": 2.0}
    for exponents, direction in (((1.0, 0.0), "forward"), ((0.0, 1.0), "reverse")):
        found = abkd_dkd_loss(student, teacher, targets, ab_alpha=exponents[0], ab_beta=exponents[1], **options)
        torch.testing.assert_close(found, dkd_loss(student, teacher, targets, kl=direction, **options))


@pytest.mark.parametrize("case", [one for one in cases_of("abkd", "abkd") if "sat" in str(one.id)])
def test_where_the_release_underflows_single_precision_holds(case: dict[str, Any]) -> None:
    assert not case["float32_finite"]
    options = {"alpha": case["hyper"]["ab_alpha"], "beta": case["hyper"]["ab_beta"], "temperature": 1.0}
    given = (arrays_of("abkd")[case["inputs"][who]] for who in ("student", "teacher"))
    loss, gradient = value_and_gradient(abkd_loss, *given, **options)
    assert loss.item() == pytest.approx(case["loss_f64"], rel=1e-6)
    torch.testing.assert_close(gradient, arrays_of("abkd")[f"{case['id']}/grad_student"], rtol=0, atol=2e-7)


# Limits: log-probabilities of one sample, and what the formula comes to


def one_sample(scale: float, classes: int = 7) -> tuple[Tensor, Tensor]:
    """Log-probabilities ``[1, C]`` of the teacher and of the student."""
    return logits((1, classes), 0, scale).log_softmax(dim=1), logits((1, classes), 1, scale).log_softmax(dim=1)


def formula(x: Tensor, y: Tensor, a: float, b: float) -> Tensor:
    """As it is printed; of what is left where it is 0 / 0, the limits."""
    p, q = x.exp(), y.exp()
    if a == b == 0:
        return ((y - x) ** 2 / 2).sum()
    if b == 0:
        return (p**a * a * (x - y) - p**a + q**a).sum() / a**2
    if a == 0:
        return (q**b * b * (y - x) - q**b + p**b).sum() / b**2
    if a + b == 0:
        return (a * (y - x) + p**a / q**a - 1).sum() / a**2
    return -(p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)).sum() / (a * b)


EXPONENTS = [(0.8, 0.3), (0.5, 0.5), (1.0, 1.0), (2.0, 0.25), (0.2, 0.7), (1.2, -0.2)]
EDGES = [(1.0, 0.0), (0.5, 0.0), (0.0, 1.0), (0.0, 0.4), (0.0, 0.0), (0.5, -0.5), (-0.5, 0.5)]


@pytest.mark.parametrize("scale", [0.3, 2.0, 6.0])
@pytest.mark.parametrize(("alpha", "beta"), EXPONENTS + EDGES)
def test_it_is_the_formula_and_its_limits(alpha: float, beta: float, scale: float) -> None:
    x, y = one_sample(scale)
    found = alpha_beta_divergence(x, y, alpha, beta)
    torch.testing.assert_close(found[0], formula(x, y, alpha, beta), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [1e-4, 0.3, 6.0])
@pytest.mark.parametrize(("alpha", "beta"), EDGES)
def test_it_comes_to_its_limits_without_a_jump(alpha: float, beta: float, scale: float, dtype: torch.dtype) -> None:
    """Value and gradient, from both sides, the nearer the closer; the printed formula loses all digits here."""
    x, y = (each.to(dtype) for each in one_sample(scale))
    limit = value_and_gradient(lambda q, p: alpha_beta_divergence(p, q, alpha, beta).sum(), y, x)
    smallest = limit[0].abs().item()
    for step in (1e-3, 1e-6, 1e-9, 1e-12):
        for a, b in ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step), (step, step / 3)):
            near = value_and_gradient(
                lambda q, p, to=(alpha + a, beta + b): alpha_beta_divergence(p, q, *to).sum(), y, x
            )
            allowed = 100 * step + 20 * torch.finfo(dtype).eps
            assert abs(near[0].item() - limit[0].item()) <= allowed * smallest
            assert (near[1] - limit[1]).norm().item() <= allowed * limit[1].norm().item()


def test_equal_distributions_differ_by_nothing_and_close_ones_by_half_the_weighed_square() -> None:
    """The printed formula gives noise for differences below a thousandth in single precision."""
    x, _ = one_sample(1.0)
    gap = 1e-5 * logits((1, 7), 4, 1.0)
    for alpha, beta in EXPONENTS + EDGES:
        assert alpha_beta_divergence(x, x, alpha, beta).item() == 0
        expected = (((alpha + beta) * x).exp() * gap.square() / 2).sum().item()
        found = alpha_beta_divergence(x.float(), x.float() + gap.float(), alpha, beta).item()
        assert found == pytest.approx(expected, rel=0.05)  # adding the gap rounds it
        assert alpha_beta_divergence(x, x + gap, alpha, beta).item() == pytest.approx(expected, rel=1e-4)


def test_some_exponents_have_names() -> None:
    student, teacher = logits((6, 9), 0), logits((6, 9), 1)
    options = {"temperature": 3.0}
    p, q = ((each / 3).softmax(dim=1) for each in (teacher, student))
    named = {
        (1.0, 0.0): kd_loss(student, teacher, temperature=3.0) / 9,
        (0.0, 1.0): kd_loss(teacher, student, temperature=3.0) / 9,
        (0.5, 0.5): 2 * (p.sqrt() - q.sqrt()).square().sum(dim=1).mean(),
        (1.0, 1.0): (p - q).square().sum(dim=1).mean() / 2,
    }
    for (alpha, beta), expected in named.items():
        torch.testing.assert_close(abkd_loss(student, teacher, alpha=alpha, beta=beta, **options), expected)
    standardized = abkd_loss(student, teacher, alpha=1, beta=0, temperature=2.0, standardize=True)
    torch.testing.assert_close(4 * standardized, lskd_loss(student, teacher, temperature=2.0))


def test_turned_around_with_its_exponents_exchanged_it_is_the_same() -> None:
    x, y = one_sample(3.0)
    for alpha, beta in EXPONENTS + EDGES:
        turned = alpha_beta_divergence(y, x, beta, alpha)
        torch.testing.assert_close(alpha_beta_divergence(x, y, alpha, beta), turned, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("alpha", "beta"), [(0.8, 0.3), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1e-12, 1e-12), (1e9, 1e9)]
)
def test_it_is_finite_however_far_the_logits_are_apart(alpha: float, beta: float) -> None:
    loss, gradient = value_and_gradient(
        abkd_loss, *extreme_logits(torch.float32), alpha=alpha, beta=beta, temperature=1.0
    )
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_it_grows_from_the_teacher_s_side_where_the_student_has_nothing() -> None:
    """Of classes that the student has lost, the forward divergence keeps a gradient; the reverse one gives them up."""
    teacher, student = torch.zeros(1, 2), torch.tensor([[0.0, -200.0]])
    gradients = []
    for alpha in (0.0, 0.5, 1.0):
        _, gradient = value_and_gradient(abkd_loss, student, teacher, alpha=alpha, beta=1 - alpha, temperature=1.0)
        gradients.append(-gradient[0, 1].item())
    assert all(one < other + 1e-6 for one, other in pairwise(gradients))
    assert gradients[-1] == pytest.approx(0.5)
    assert math.isclose(gradients[0], 0, abs_tol=1e-6)
