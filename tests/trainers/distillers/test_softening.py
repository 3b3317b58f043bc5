"""Several temperatures at once: to the last bit, loss and gradient are those of one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.kd import kd_loss, soft_kl
from trainers.distillers.mlkd import mlkd_terms, quantile, strong_kd_loss
from trainers.distillers.sld import student_swap_loss, swap_logits, teacher_swap_loss
from trainers.distillers.softening import Softening

Views = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Student and teacher of the weak view, of the strong one, and labels."""
Temperatures = Sequence[float]


def sld(views: Views, temperatures: Temperatures, detach: bool) -> list[Tensor]:
    s, t, *_, y = views
    ce, teacher = F.cross_entropy(s, y), teacher_swap_loss(s, t, y, temperatures=temperatures)
    return [ce, teacher, student_swap_loss(s, y, temperatures=temperatures, detach=detach)]


def sld_one_by_one(views: Views, temperatures: Temperatures, detach: bool) -> list[Tensor]:
    s, t, *_, y = views
    ce, corrected = F.cross_entropy(s, y), swap_logits(t, y)
    teacher = torch.stack([soft_kl(s, corrected, each) for each in temperatures]).sum()
    own = swap_logits(s, y).detach() if detach else swap_logits(s, y)
    return [ce, teacher, torch.stack([soft_kl(s, own, each) for each in temperatures]).sum()]


def mlkd(views: Views, temperatures: Temperatures, on_weak: bool) -> list[Tensor]:
    s, t, s2, t2, y = views
    levels = mlkd_terms(s, t, temperatures=temperatures)
    ce = F.cross_entropy(s, y)
    strong = strong_kd_loss(s, t, s2, t2, temperatures=temperatures, read_on_weak=(2, 6) if on_weak else ())
    return [*levels, ce, strong, F.cross_entropy(s2, y)]


def gram_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a @ a.T - b @ b.T).square().sum() / len(a)


def mlkd_one_by_one(views: Views, temperatures: Temperatures, on_weak: bool) -> list[Tensor]:
    s, t, s2, t2, y = views
    levels = []
    for each in temperatures:
        student, teacher = (s / each).softmax(dim=1), (t / each).softmax(dim=1)
        kd = kd_loss(s, t, temperature=each)
        levels.append(torch.stack([kd, gram_distance(student.T, teacher.T), gram_distance(student, teacher)]))
    kd, cc, bc = torch.stack(levels).sum(dim=0)
    sure = t.softmax(dim=1)
    samples = (sure.amax(dim=1) <= sure.amax(dim=1).quantile(0.5)).float().mean()
    classes = (sure.sum(dim=0) <= sure.sum(dim=0).quantile(0.5)).float().mean()
    ce, weak, strong = F.cross_entropy(s, y), (s, t), (s2, t2)
    read = [weak if on_weak and each in (2, 6) else strong for each in temperatures]
    strong_kd = torch.stack([kd_loss(*of, temperature=each) for of, each in zip(read, temperatures, strict=True)]).sum()
    return [samples * kd, classes * cc, samples * bc, ce, strong_kd, F.cross_entropy(s2, y)]


def found(
    terms: Callable[[Views, Temperatures, bool], list[Tensor]], shape: tuple[int, int], *how: object
) -> list[Tensor]:
    """The terms, and the gradients of both of the student's logits."""
    draws = torch.Generator().manual_seed(shape[1])
    s, t, s2, t2 = (4 * torch.randn(shape, generator=draws) for _ in range(4))
    y = torch.randint(shape[1], shape[:1], generator=draws)
    learns = [s.requires_grad_(), s2.requires_grad_()]
    parts = terms((s * 1, t, s2 * 1, t2, y), *how)  # type: ignore[arg-type]
    torch.stack([0.9 * part for part in parts]).sum().backward()  # type: ignore[no-untyped-call]
    return [*(part.detach() for part in parts), *(torch.zeros(0) if x.grad is None else x.grad for x in learns)]


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize("temperatures", [(4, 3, 5, 2, 6), (1, 2, 3, 4, 5, 6), (2.3,), (3.7, 1.1)], ids=str)
@pytest.mark.parametrize("shape", [(64, 100), (16, 10), (37, 100)], ids=str)
@pytest.mark.parametrize("forms", [(sld, sld_one_by_one), (mlkd, mlkd_one_by_one)], ids=["sld", "mlkd"])
def test_the_numbers_are_those_of_one_temperature_after_the_other(
    forms: Sequence[Callable[[Views, Temperatures, bool], list[Tensor]]],
    shape: tuple[int, int],
    temperatures: Temperatures,
    one: bool,
) -> None:
    together, apart = (found(form, shape, temperatures, one) for form in forms)
    assert len(together) == len(apart)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(together, apart, strict=True))


def test_temperatures_are_no_state_and_move_along() -> None:
    softened = Softening((1, 2))
    assert not softened.state_dict()
    assert softened.to(torch.float64).divisors.dtype == torch.float64


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.7, 1 / 3, 0.999, 1.0])
@pytest.mark.parametrize("count", [1, 2, 7, 11, 51, 64, 100, 101])
def test_a_quantile_is_torch_s(share: float, count: int) -> None:
    values = torch.rand(count, generator=torch.Generator().manual_seed(count))
    assert torch.equal(quantile(values, share), values.quantile(share))
