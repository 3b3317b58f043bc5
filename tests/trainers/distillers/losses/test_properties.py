"""What every loss promises, on drawn logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.distillers import (
    abkd_dkd_loss,
    abkd_loss,
    binary_kl_loss,
    binary_kl_norm_loss,
    crld_loss,
    dho_loss,
    dist_loss,
    dkd_loss,
    gdkd3_loss,
    gdkd_loss,
    kd_loss,
    la_loss,
    ldrld_loss,
    lr_loss,
    lskd_loss,
    mlkd_loss,
    nkd_loss,
    normkd_dkd_loss,
    normkd_loss,
    rc_loss,
    rld_loss,
    sdd_loss,
    sld_loss,
    standardize,
    tekap_loss,
    ttm_loss,
    wkd_loss,
)
from trainers.distillers.dhkd import mse_loss
from trainers.distillers.dist import dist_terms, uncorrelated
from trainers.distillers.dkd import dkd_terms
from trainers.distillers.nkd import nkd_terms
from trainers.distillers.partition import divergences, ranking
from trainers.distillers.tekap import draw_noise
from trainers.distillers.wkd import cosine_distances

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def _both_views(student: Tensor, teacher: Tensor, targets: Tensor, epoch: int) -> Tensor:
    """The strong view is the weak one with its classes in reverse."""
    return sld_loss(student, teacher, student.flip(1), teacher.flip(1), targets, epoch=epoch)


def _perturbed(student: Tensor, teacher: Tensor) -> Tensor:
    """Each teacher with noise of its own, so that a sample's goes with it wherever it stands."""
    places = (teacher[:, 0].double() * 1e6).long()
    return tekap_loss(student, teacher, draw_noise(0, 1, places, draws=2, classes=teacher.shape[1]).to(teacher))


def _regions(student: Tensor, teacher: Tensor, targets: Tensor, **options: Any) -> Tensor:
    """The second region is the first with its classes in reverse."""
    regions = [torch.stack([logits, logits.flip(1)], dim=1) for logits in (student, teacher)]
    return sdd_loss(*regions, targets, **options)


def _wkd(student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
    """Classes as far apart as the rows of some classifier."""
    rows = torch.randn(student.shape[1], 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return wkd_loss(student, teacher, targets, cosine_distances(rows))


# fmt: off
LOSSES: dict[str, Loss] = {
    "kd": lambda s, t, y: kd_loss(s, t),
    "binary_kl": lambda s, t, y: binary_kl_loss(s, t),
    "binary_kl_clamped": lambda s, t, y: binary_kl_loss(s, t, eps=1e-8),
    "binary_kl_norm": lambda s, t, y: binary_kl_norm_loss(s, t),
    "mse": lambda s, t, y: mse_loss(s, t),
    "dkd": lambda s, t, y: dkd_loss(s, t, y),
    "dkd_top1_reverse": lambda s, t, y: dkd_loss(s, t, y, partition="top1", kl="reverse"),
    "gdkd": lambda s, t, y: gdkd_loss(s, t, k=3),
    "gdkd_worst_both": lambda s, t, y: gdkd_loss(s, t, k=2, partition="worst", kl="both"),
    "gdkd3": lambda s, t, y: gdkd3_loss(s, t, k=3),
    "dist": lambda s, t, y: dist_loss(s, t),
    "lskd": lambda s, t, y: lskd_loss(s, t),
    "nkd": lambda s, t, y: nkd_loss(s, t, y),
    "ttm": lambda s, t, y: ttm_loss(s, t),
    "wttm": lambda s, t, y: ttm_loss(s, t, weighted=True),
    "rld": lambda s, t, y: rld_loss(s, t, y),
    "rld_standardized": lambda s, t, y: rld_loss(s, t, y, standardize=True),
    "la": lambda s, t, y: la_loss(s, t, y),
    "rc": lambda s, t, y: rc_loss(s, t, y),
    "lr": lambda s, t, y: lr_loss(s, t, y),
    "abkd": lambda s, t, y: abkd_loss(s, t),
    "abkd_log": lambda s, t, y: abkd_loss(s, t, alpha=0, beta=0),
    "abkd_dkd": lambda s, t, y: abkd_dkd_loss(s, t, y),
    "normkd": lambda s, t, y: normkd_loss(s, t),
    "normkd_dkd": lambda s, t, y: normkd_dkd_loss(s, t, y),
    "ldrld": lambda s, t, y: ldrld_loss(s, t, k=3),
    "wkd": _wkd,
    "mlkd": lambda s, t, y: mlkd_loss(s, t),
    "sld": lambda s, t, y: _both_views(s, t, y, epoch=1),
    "sld_late": lambda s, t, y: _both_views(s, t, y, epoch=151),
    "crld": lambda s, t, y: crld_loss(s, t, s.flip(1), t.flip(1), weak_threshold=0.0, strong_threshold=0.0),
    "dho": lambda s, t, y: dho_loss(s, t, unlabelled=(s.flip(1), t.flip(1))),
    "sdd_kd": lambda s, t, y: _regions(s, t, y, around="kd"),
    "sdd_dkd": lambda s, t, y: _regions(s, t, y),
    "sdd_nkd": lambda s, t, y: _regions(s, t, y, around="nkd"),
    "sdd_nkd_others": lambda s, t, y: _regions(s, t, y, around="nkd", nkd_classes="others"),
    "tekap": lambda s, t, y: _perturbed(s, t),
}
# fmt: on
NOT_ZERO_AT_EQUAL_LOGITS = {"dist", "nkd", "ttm", "wttm", "sld", "sld_late", "rc", "lr", "wkd"}
NOT_ZERO_AT_EQUAL_LOGITS |= {"crld", "tekap", "sdd_nkd", "sdd_nkd_others"}
ZERO_WHERE_THE_TEACHER_IS_RIGHT = {"rld", "rld_standardized", "la"}
"""At equal logits: what they correct is the teacher's mistakes."""
TEACHES_ITSELF = {"rc"}
"""Its target is the student, held fixed."""
every_loss = pytest.mark.parametrize("name", LOSSES)


@dataclass(frozen=True)
class Case:
    student: Tensor  # float64 [B, C]
    teacher: Tensor  # float64 [B, C]
    targets: Tensor  # int64 [B]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (draw(st.integers(2, 6)), draw(st.integers(4, 12)))
    scale = draw(st.sampled_from([0.3, 2.0, 10.0]))
    student, teacher = (scale * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return Case(student, teacher, torch.randint(shape[1], shape[:1], generator=generator))


def _gradient(loss: Tensor, of: Tensor) -> Tensor:
    return torch.autograd.grad(loss, of)[0]


some = settings(max_examples=20)


@every_loss
@some
@given(case=cases())
def test_non_negative(name: str, case: Case) -> None:
    assert LOSSES[name](case.student, case.teacher, case.targets).item() >= -1e-12


@every_loss
@some
@given(case=cases())
def test_zero_with_zero_gradient_at_equal_logits(name: str, case: Case) -> None:
    if name in NOT_ZERO_AT_EQUAL_LOGITS:
        assert LOSSES[name](case.teacher, case.teacher, case.targets).item() > 0
        return
    student = case.teacher.clone().requires_grad_()
    targets = case.teacher.argmax(dim=1) if name in ZERO_WHERE_THE_TEACHER_IS_RIGHT else case.targets
    loss = LOSSES[name](student, case.teacher, targets)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert _gradient(loss, student).abs().max().item() < 1e-9


@every_loss
@some
@given(case=cases())
def test_batch_order_does_not_matter(name: str, case: Case) -> None:
    shuffled = torch.arange(len(case.targets)).roll(1).flip(0)
    loss = LOSSES[name](case.student, case.teacher, case.targets)
    again = LOSSES[name](case.student[shuffled], case.teacher[shuffled], case.targets[shuffled])
    torch.testing.assert_close(again, loss, rtol=1e-10, atol=1e-12)


@every_loss
@some
@given(case=cases())
def test_no_gradient_reaches_the_teacher(name: str, case: Case) -> None:
    student, teacher = case.student.requires_grad_(), case.teacher.requires_grad_()
    LOSSES[name](student, teacher, case.targets).backward()  # type: ignore[no-untyped-call]
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().max().item() > 0


@pytest.mark.parametrize(
    "name", sorted(LOSSES.keys() - {"dist"} - TEACHES_ITSELF)
)  # two samples' correlation jumps from -1 to 1
@some
@given(case=cases())
def test_gradient_is_the_slope(name: str, case: Case) -> None:
    """Along a fixed direction, against a central difference; at moderate logits, where that is accurate."""
    student, teacher = (case.student / 5).requires_grad_(), case.teacher / 5
    direction = torch.cos(torch.arange(student.numel(), dtype=torch.float64)).reshape(student.shape)
    slope = (_gradient(LOSSES[name](student, teacher, case.targets), student) * direction).sum()
    step = 1e-5 * direction
    ahead, behind = (LOSSES[name](student.detach() + move, teacher, case.targets) for move in (step, -step))
    torch.testing.assert_close(slope, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-6)


@every_loss
@some
@given(case=cases(), flip=st.booleans())
def test_finite_at_extreme_logits_in_float32(name: str, case: Case, flip: bool) -> None:
    """Logits of plus and minus 10,000, among them opposite ones."""
    teacher = 1e4 * case.teacher.float().sign()
    student = (-teacher if flip else 1e4 * case.student.float().sign()).requires_grad_()
    loss = LOSSES[name](student, teacher, case.targets)
    assert torch.isfinite(loss)
    assert torch.isfinite(_gradient(loss, student)).all()


@every_loss
def test_finite_at_constant_logits(name: str) -> None:
    """Standard deviations and norms are 0 here, and every rank is a tie."""
    student = torch.zeros(3, 6, requires_grad=True)
    teacher = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    for taught in (teacher, torch.zeros(3, 6)):
        loss = LOSSES[name](student, taught, torch.tensor([0, 3, 5]))
        assert torch.isfinite(loss)
        assert torch.isfinite(_gradient(loss, student)).all()


SEES_NO_SHIFT = [
    "kd",
    "dkd",
    "gdkd",
    "gdkd3",
    "dist",
    "lskd",
    "nkd",
    "ttm",
    "wttm",
    "mlkd",
    "sld",
    "rld",
    "la",
    "abkd",
    "abkd_dkd",
    "normkd",
    "normkd_dkd",
    "ldrld",
    "wkd",
]


@pytest.mark.parametrize("name", SEES_NO_SHIFT)
@some
@given(case=cases(), shift=st.floats(-50, 50))
def test_softmax_losses_ignore_a_shift_of_one_side(name: str, case: Case, shift: float) -> None:
    loss = LOSSES[name](case.student, case.teacher, case.targets)
    torch.testing.assert_close(
        LOSSES[name](case.student + shift, case.teacher, case.targets), loss, rtol=1e-8, atol=1e-10
    )
    torch.testing.assert_close(
        LOSSES[name](case.student, case.teacher - shift, case.targets), loss, rtol=1e-8, atol=1e-10
    )


@some
@given(case=cases(), shift=st.floats(1, 50))
def test_binary_kl_norm_sees_a_shift_of_one_side_only(case: Case, shift: float) -> None:
    loss = binary_kl_norm_loss(case.student, case.teacher)
    torch.testing.assert_close(binary_kl_norm_loss(case.student + shift, case.teacher + shift), loss)
    assert binary_kl_norm_loss(case.teacher + shift, case.teacher).item() > 0.1


@some
@given(case=cases(), scale=st.floats(0.5, 5), shift=st.floats(-5, 5))
def test_lskd_ignores_location_and_scale(case: Case, scale: float, shift: float) -> None:
    loss = lskd_loss(case.student, case.teacher)
    torch.testing.assert_close(lskd_loss(scale * case.student + shift, case.teacher), loss, rtol=1e-5, atol=1e-8)


@some
@given(case=cases())
def test_standard_scores_have_mean_0_and_deviation_1(case: Case) -> None:
    scores = standardize(case.student)
    torch.testing.assert_close(scores.mean(dim=1), torch.zeros_like(scores[:, 0]))
    torch.testing.assert_close(scores.std(dim=1), torch.ones_like(scores[:, 0]), rtol=1e-5, atol=0)


# Limits: how the methods contain one another


@some
@given(case=cases(), w1=st.floats(0, 5))
def test_gdkd_with_k_1_is_dkd_on_the_teachers_first_class(case: Case, w1: float) -> None:
    gdkd = gdkd_loss(case.student, case.teacher, k=1, w0=0.7, w1=w1, w2=3.0)
    dkd = dkd_loss(case.student, case.teacher, case.targets, alpha=0.7, beta=3.0, partition="top1")
    torch.testing.assert_close(gdkd, dkd)


@some
@given(case=cases())
def test_dkd_on_the_teachers_first_class_is_dkd_where_that_is_the_label(case: Case) -> None:
    first = case.teacher.argmax(dim=1)
    torch.testing.assert_close(
        dkd_loss(case.student, case.teacher, first, partition="target"),
        dkd_loss(case.student, case.teacher, case.targets, partition="top1"),
    )


@some
@given(case=cases(), temperature=st.floats(0.5, 6))
def test_kd_is_dkd_with_the_teachers_own_weights(case: Case, temperature: float) -> None:
    order = ranking(case.teacher, first=case.targets)
    sizes = (1, case.teacher.shape[1] - 1)
    parts = divergences(case.student, case.teacher, order, sizes, temperature=temperature)
    label = (case.teacher / temperature).softmax(dim=1).gather(1, case.targets[:, None])[:, 0]
    total = (parts.between + (1 - label) * parts.within[1]).mean()
    torch.testing.assert_close(total, kd_loss(case.student, case.teacher, temperature=temperature))


@some
@given(case=cases(), temperature=st.floats(0.5, 6), cuts=st.sampled_from([(1, 0), (2, 0), (3, 0), (1, 2), (2, 1)]))
def test_kd_is_the_sum_of_its_gdkd_parts(case: Case, temperature: float, cuts: tuple[int, int]) -> None:
    """Two groups and three, each weighted by the teacher's share of it."""
    sizes = [size for size in (*cuts, case.teacher.shape[1] - sum(cuts)) if size > 0]
    order = ranking(case.teacher)
    parts = divergences(case.student, case.teacher, order, sizes, temperature=temperature)
    probabilities = (case.teacher / temperature).softmax(dim=1).gather(1, order)
    shares = [group.sum(dim=1) for group in torch.split(probabilities, sizes, dim=1)]
    total = parts.between + sum(share * part for share, part in zip(shares, parts.within, strict=True))
    torch.testing.assert_close(total.mean(), kd_loss(case.student, case.teacher, temperature=temperature))


@some
@given(case=cases(), k=st.integers(1, 3))
def test_the_worst_k_classes_are_the_rest_of_the_best(case: Case, k: int) -> None:
    rest = case.teacher.shape[1] - k
    worst = gdkd_loss(case.student, case.teacher, k=k, w1=2.0, w2=3.0, partition="worst")
    torch.testing.assert_close(worst, gdkd_loss(case.student, case.teacher, k=rest, w1=3.0, w2=2.0))


@some
@given(case=cases())
def test_both_directions_are_half_of_each(case: Case) -> None:
    each = [gdkd_loss(case.student, case.teacher, k=2, kl=kl) for kl in ("forward", "reverse")]  # type: ignore[arg-type]
    torch.testing.assert_close(gdkd_loss(case.student, case.teacher, k=2, kl="both"), sum(each) / 2)


@some
@given(case=cases())
def test_nkd_teaches_the_other_classes_as_dkd_does(case: Case) -> None:
    student = case.student.requires_grad_()
    nkd = nkd_terms(student, case.teacher, case.targets, temperature=3.0)[1]
    dkd = dkd_terms(student, case.teacher, case.targets, temperature=3.0)[1]
    torch.testing.assert_close(_gradient(nkd, student), _gradient(dkd, student), rtol=1e-6, atol=1e-10)


@some
@given(case=cases())
def test_ttm_without_softening_is_kd_at_temperature_1(case: Case) -> None:
    kd = kd_loss(case.student, case.teacher, temperature=1)
    torch.testing.assert_close(ttm_loss(case.student, case.teacher, gamma=1), kd)
    torch.testing.assert_close(ttm_loss(case.student, case.teacher, gamma=1, weighted=True), kd)


@some
@given(case=cases(), gamma=st.floats(0.1, 0.9))
def test_wttm_weighs_an_undecided_teacher_most(case: Case, gamma: float) -> None:
    undecided = torch.zeros_like(case.teacher)
    weight = case.teacher.shape[1] ** (1 - gamma)
    plain, weighted = (ttm_loss(case.student, undecided, gamma=gamma, weighted=flag) for flag in (False, True))
    torch.testing.assert_close(weighted, weight * plain)


@some
@given(case=cases(), gamma=st.floats(0.1, 1))
def test_ttm_softens_as_the_power_of_probabilities(case: Case, gamma: float) -> None:
    powers = case.teacher.softmax(dim=1) ** gamma  # [B, C]
    mass = powers.sum(dim=1)
    soft = powers / mass[:, None]
    divergence = (soft * (soft.log() - case.student.log_softmax(dim=1))).sum(dim=1)
    torch.testing.assert_close(ttm_loss(case.student, case.teacher, gamma=gamma), divergence.mean())
    torch.testing.assert_close(
        ttm_loss(case.student, case.teacher, gamma=gamma, weighted=True), (mass * divergence).mean()
    )


@some
@given(case=cases())
def test_nkd_by_hand(case: Case) -> None:
    """Sample by sample, with the label's class deleted."""
    total = torch.zeros((), dtype=torch.float64)
    for student, teacher, label in zip(case.student, case.teacher, case.targets.tolist(), strict=True):
        others = [c for c in range(len(student)) if c != label]
        total -= teacher.softmax(0)[label] * student.softmax(0)[label].log()
        total -= 1.5 * (teacher[others].softmax(0) * student[others].log_softmax(0)).sum()
    torch.testing.assert_close(nkd_loss(case.student, case.teacher, case.targets), total / len(case.targets))


@some
@given(case=cases())
def test_dist_correlates_rows(case: Case) -> None:
    correlations = [torch.corrcoef(torch.stack(rows))[0, 1] for rows in zip(case.student, case.teacher, strict=True)]
    found = uncorrelated(case.student, case.teacher, eps=0.0)
    torch.testing.assert_close(found, 1 - torch.stack(correlations).mean())


@some
@given(case=cases())
def test_dist_of_equal_logits_is_what_its_epsilon_adds(case: Case) -> None:
    probabilities = case.teacher.softmax(dim=1)
    terms = dist_terms(case.teacher, case.teacher, temperature=1.0)
    for term, rows in zip(terms, (probabilities, probabilities.T), strict=True):
        square = (rows - rows.mean(dim=1, keepdim=True)).square().sum(dim=1)
        torch.testing.assert_close(term, (1e-8 / (square + 1e-8)).mean(), rtol=1e-6, atol=1e-12)


@some
@given(case=cases())
def test_the_binary_clamp_only_matters_at_saturation(case: Case) -> None:
    student, teacher = case.student.clamp(-30, 30), case.teacher.clamp(-30, 30)
    for loss in (binary_kl_loss, binary_kl_norm_loss):
        torch.testing.assert_close(loss(student, teacher / 10, eps=1e-8), loss(student, teacher / 10))
        far = torch.full_like(student, 60.0)
        assert loss(-far, far, eps=1e-8) < loss(-far, far)


@some
@given(case=cases())
def test_binary_kl_by_its_definition(case: Case) -> None:
    student, teacher = (case.student / 10).sigmoid(), (case.teacher / 10).sigmoid()
    expected = teacher * (teacher / student).log() + (1 - teacher) * ((1 - teacher) / (1 - student)).log()
    loss = binary_kl_loss(case.student, case.teacher, temperature=10.0)
    torch.testing.assert_close(loss, 100 * expected.sum() / len(student), rtol=1e-8, atol=1e-12)


def test_a_group_that_underflows_has_its_exact_divergence() -> None:
    """The student's rest has the probability 2e-130, far below float32: KL((1/3, 2/3) || (1, 2 exp(-300)))."""
    student = torch.tensor([[0.0, -300.0, -300.0]], requires_grad=True)
    target, _ = dkd_terms(student, torch.zeros(1, 3), torch.tensor([0]), temperature=1.0)
    third = torch.tensor(1 / 3, dtype=torch.float64)
    exact = third * third.log() + 2 * third * ((2 * third).log() - (torch.tensor(2.0).double().log() - 300))
    assert target.item() == pytest.approx(exact.item(), rel=1e-6)
    torch.testing.assert_close(_gradient(target, student), torch.tensor([[2 / 3, -1 / 3, -1 / 3]]))


def test_a_group_without_classes_is_refused() -> None:
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    for loss in (lambda: gdkd_loss(logits, logits, k=5), lambda: gdkd3_loss(logits, logits, k=1)):
        with pytest.raises(ValueError, match="every group needs a class"):
            loss()
