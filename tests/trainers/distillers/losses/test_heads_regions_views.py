"""TeKAP, DHO, SDD and CRLD: the numbers of the authors' code (tests/goldens/losses), and what is theirs alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.goldens import arrays, index
from tests.trainers.distillers.losses.authors import assert_loss_and_gradients
from trainers.config import MethodConfig
from trainers.data.labelled import UNLABELLED
from trainers.distillers import (
    Setting,
    build_distiller,
    crld_loss,
    dho_loss,
    dkd_loss,
    kd_loss,
    nkd_loss,
    sdd_loss,
    tekap_loss,
)
from trainers.distillers.dho import TwoHeads, mixed_logits, weighed_dho_loss
from trainers.distillers.labels import LabelReading, label_loss
from trainers.distillers.sdd import region_logits, region_weights
from trainers.distillers.tekap import draw_noise
from trainers.fit import seeded_model

CASES: list[dict[str, Any]] = index("losses/heads_regions_views")
ARRAYS = arrays("losses/losses") | arrays("losses/heads_regions_views")

Inputs = dict[str, Tensor]
Hyper = dict[str, Any]


def _dho(x: Inputs, hyper: Hyper) -> Tensor:
    unlabelled = (x["student_kd_unlabeled"], x["teacher_unlabeled"])
    kd = dho_loss(x["student_kd"], x["teacher"], temperature=hyper["T"], unlabelled=unlabelled)
    return hyper["ce_weight"] * F.cross_entropy(x["student_ce"], x["target"]) + hyper["kd_weight"] * kd


def _sdd(x: Inputs, hyper: Hyper, **options: Any) -> Tensor:
    """There, regions come last."""
    regions = (x["student"].mT, x["teacher"].mT)
    given = {"temperature" if name == "T" else name: value for name, value in hyper.items()}
    return sdd_loss(*regions, x["target"], **given, **options)


NAMES = {
    "T": "temperature",
    "wv_weight": "within_weight",
    "cv_weight": "cross_weight",
    "tau_w": "weak_threshold",
    "tau_s": "strong_threshold",
}


def _crld(x: Inputs, hyper: Hyper) -> Tensor:
    views = [x[name] for name in ("student", "teacher", "student_strong", "teacher_strong")]
    kd = crld_loss(*views, **{NAMES[name]: value for name, value in hyper.items() if name != "ce_weight"})
    both = F.cross_entropy(views[0], x["target"]) + F.cross_entropy(views[2], x["target"])
    return hyper["ce_weight"] * both + kd


LOSSES: dict[str, Callable[[Inputs, Hyper], Tensor]] = {
    "crld": _crld,
    "dho": _dho,
    "sdd_kd": lambda x, hyper: _sdd(x, hyper, around="kd"),
    "sdd_dkd": _sdd,
    "sdd_nkd": lambda x, hyper: _sdd(x, {"T": hyper["T"], "beta": hyper["gamma"]}, around="nkd"),
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
    loss = LOSSES[case["loss"]]
    assert_loss_and_gradients(ARRAYS, case, _inputs(case), lambda given: loss(given, case["hyper"]))


def test_all_cases_of_a_loss_are_there() -> None:
    counts = {name: sum(case["loss"] == name for case in CASES) for name in LOSSES}
    assert counts == {"crld": 11, "dho": 5, "sdd_kd": 4, "sdd_dkd": 5, "sdd_nkd": 3, "tekap": 4}


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


# -- DHO


@_cases("dho")
def test_dho_in_one_batch_of_images_with_a_label_and_without(case: dict[str, Any]) -> None:
    """The release's two batches of one size as one, in which half of the images have a label."""
    hyper = case["hyper"]

    def loss(given: Inputs) -> Tensor:
        student, teacher = (
            torch.cat([given[name], given[f"{name}_{rest}"]])
            for name, rest in (("student_kd", "unlabeled"), ("teacher", "unlabeled"))
        )
        targets = torch.cat([given["target"], torch.full_like(given["target"], UNLABELLED)])
        of_labels = torch.cat([given["student_ce"], given["student_kd_unlabeled"].detach()])  # which are not read
        reading, labelled = LabelReading(labelled=0.5), targets != UNLABELLED
        kd = weighed_dho_loss(student, teacher, labelled, share=0.5, temperature=hyper["T"])
        return hyper["ce_weight"] * label_loss(of_labels, targets, reading, None) + hyper["kd_weight"] * kd

    assert_loss_and_gradients(ARRAYS, case, _inputs(case), loss)


@_cases("dho_predict")
def test_both_heads_predict(case: dict[str, Any]) -> None:
    x = _inputs(case)
    found = mixed_logits(x["student_ce"], x["student_kd"], **case["hyper"])
    torch.testing.assert_close(found.exp(), ARRAYS[f"{case['id']}/probs"], rtol=1e-5, atol=1e-7)
    assert found.argmax(dim=1).tolist() == ARRAYS[f"{case['id']}/pred"].tolist()


@_cases("dho_search")
def test_the_release_s_search_over_mixtures_finds_the_same(case: dict[str, Any]) -> None:
    """Shares from none to all of each head; the first best, beta outermost."""
    x, best = _inputs(case), (-1.0, 0.0, 0.0)
    for beta in (0.5, 0.75, 1, 1.25, 1.5, 2, 4):
        for alpha in (step / 20 for step in range(21)):
            mixed = mixed_logits(x["student_ce"], x["student_kd"], alpha=alpha, beta=beta)
            accuracy = 100 * (mixed.argmax(dim=1) == x["target"]).float().mean().item()
            best = max(best, (accuracy, alpha, beta), key=lambda each: each[0])
    assert best == pytest.approx(tuple(case["parts"][name] for name in ("acc", "alpha", "beta")), rel=1e-5)


def test_a_mixture_of_one_head_is_that_head_s() -> None:
    heads = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(0)).unbind()
    torch.testing.assert_close(mixed_logits(*heads, alpha=1), heads[0].log_softmax(dim=1))
    torch.testing.assert_close(mixed_logits(*heads, alpha=0, beta=2), (heads[1] / 2).log_softmax(dim=1))


def test_a_mixture_is_finite_and_a_distribution_at_extreme_logits() -> None:
    signs = 1e4 * torch.randn(2, 8, 7, generator=torch.Generator().manual_seed(0)).sign()
    for heads in (signs.unbind(), (signs[0], -signs[0])):
        mixed = mixed_logits(*heads)
        assert mixed.isfinite().all()
        torch.testing.assert_close(mixed.exp().sum(dim=1), torch.ones(8))


def test_dho_predicts_with_both_heads_and_learns_labels_with_the_student_s_own() -> None:
    torch.manual_seed(0)
    student = seeded_model("resnet8", 10, seed=0)
    method: Any = build_distiller(
        MethodConfig(name="dho", params={"alpha": 0.3, "beta": 2}), student, Setting(10)
    ).eval()
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    passed = student.features(images)
    heads = (passed.logits, method.aux_head(passed.pooled))
    expected = 0.3 * heads[0].softmax(dim=1) + 0.7 * (heads[1] / 2).softmax(dim=1)
    assert isinstance(method.predictor, TwoHeads)
    torch.testing.assert_close(method.predictor(images).exp(), expected)
    assert torch.equal(method.labelled(images), heads[0])


# -- SDD


@_cases("sdd_regions")
def test_regions_are_read_by_the_classifier(case: dict[str, Any]) -> None:
    x = _inputs(case)
    finest = {"[1,2,4]": 4, "[1,2]": 2}[case["hyper"]["M"]]
    found = region_logits(x["features"], x["weight"], x["bias"], finest=finest)
    torch.testing.assert_close(found.mT, ARRAYS[f"{case['id']}/patch_logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("finest", "regions"), [(1, 1), (2, 5), (4, 21)])
@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_the_first_region_is_the_whole_map(side: int, finest: int, regions: int) -> None:
    maps, weight = torch.randn(2, 3, side, side), torch.randn(5, 3)
    found = region_logits(maps, weight, None, finest=finest)
    assert found.shape == (2, regions, 5)
    torch.testing.assert_close(found[:, 0], F.linear(maps.mean(dim=(2, 3)), weight), rtol=1e-4, atol=1e-5)


def test_a_region_counts_more_where_the_teacher_is_right_about_it_or_the_whole_alone() -> None:
    """Three samples of class 0; the largest of each region's two classes decides."""
    votes = torch.tensor([[0, 0, 1], [1, 0, 1], [1, 1, 1]])  # [B, R]
    regions = F.one_hot(votes, 2).float()
    weights = region_weights(regions, torch.zeros(3, dtype=torch.int64), disagreement=3)
    assert weights.tolist() == [[1, 1, 3], [1, 3, 1], [1, 1, 1]]


def test_without_the_label_the_second_term_is_nkd_s() -> None:
    x = {name: ARRAYS[f"small/{name}"] for name in ("student", "teacher", "target")}
    logits, targets = (x["student"], x["teacher"]), x["target"].long()
    regions = (each[:, None] for each in logits)
    found = sdd_loss(*regions, targets, around="nkd", beta=2, temperature=3, nkd_classes="others")
    torch.testing.assert_close(found, nkd_loss(*logits, targets, gamma=2, temperature=3))
    whole = sdd_loss(*(each[:, None] for each in logits), targets, beta=2, temperature=3)
    torch.testing.assert_close(whole, dkd_loss(*logits, targets, beta=2, temperature=3))


# -- CRLD


def test_a_sample_counts_from_the_threshold_on() -> None:
    """A teacher that is sure of the weak view alone teaches what it sees there within a view, and nothing across."""
    sure, unsure = torch.tensor([[9.0, 0, 0]]), torch.zeros(1, 3)
    students = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0)).unbind()
    views = (students[0], sure, students[1], unsure)
    within = kd_loss(students[0], sure) + kd_loss(students[1], unsure)
    cross = kd_loss(students[1], sure) + kd_loss(students[0], unsure)
    torch.testing.assert_close(crld_loss(*views, strong_threshold=0.4), 2 * within)
    torch.testing.assert_close(crld_loss(*views, strong_threshold=0.3), 2 * within + cross / 2)
    assert crld_loss(*views, weak_threshold=1, strong_threshold=0.4) == 0


def test_without_the_masks_the_views_may_change_places() -> None:
    x = {name: ARRAYS[f"mid/{name}"] for name in ("student", "teacher", "student_strong", "teacher_strong")}
    weak, strong = (x["student"], x["teacher"]), (x["student_strong"], x["teacher_strong"])
    options = {"weak_threshold": 0.0, "strong_threshold": 0.0}
    torch.testing.assert_close(crld_loss(*weak, *strong, **options), crld_loss(*strong, *weak, **options))
    assert not torch.allclose(crld_loss(*weak, *strong), crld_loss(*strong, *weak))
