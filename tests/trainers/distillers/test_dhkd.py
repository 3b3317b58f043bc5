"""DHKD: the authors' numbers, the properties of log cosh, and the two heads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from pydantic import ValidationError
from torch import nn

from tests import goldens
from tests.trainers.distillers.examples import SEEDS, SHAPES, TEMPERATURES, extreme_logits, logits, value_and_gradient
from trainers.config import MethodConfig
from trainers.distillers import METHODS, Batch, Distiller, Setting, binary_kl_norm_loss, build_distiller, kd_loss
from trainers.errors import InputError
from trainers.fit import seeded_model
from trainers.models import Network

CASES = [case for case in goldens.index("kd_dhkd_losses") if case["loss"] == "binary_kl_norm"]
ARRAYS = goldens.arrays("kd_dhkd_losses")
CLAMP = 1e-8
"""What the release clamps each sigmoid to."""


def difference(case: dict[str, Any]) -> torch.Tensor:
    """Scaled difference of the logits of a case."""
    student, teacher = (ARRAYS[case["inputs"][who]].double() for who in ("student", "teacher"))
    return (student - teacher) / case["temperature"]


UNSATURATED = [case for case in CASES if difference(case).abs().max() < math.log((1 - CLAMP) / CLAMP)]


def assert_is_golden(case: dict[str, Any], eps: float) -> None:
    student, teacher = (ARRAYS[case["inputs"][who]] for who in ("student", "teacher"))
    options = {"temperature": case["temperature"], "eps": eps}
    loss, gradient = value_and_gradient(binary_kl_norm_loss, student, teacher, **options)
    assert loss.item() == pytest.approx(ARRAYS[f"{case['id']}/loss_f64"].item(), rel=case["loss_rtol"])
    expected = ARRAYS[f"{case['id']}/grad_student"]
    torch.testing.assert_close(gradient, expected, rtol=0, atol=case["grad_atol"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_with_the_release_s_clamp_loss_and_gradient_are_the_release_s(case: dict[str, Any]) -> None:
    assert_is_golden(case, eps=CLAMP)


@pytest.mark.parametrize("case", UNSATURATED, ids=lambda case: case["id"])
def test_where_nothing_saturates_the_exact_form_is_the_release_s_as_well(case: dict[str, Any]) -> None:
    assert_is_golden(case, eps=0.0)


def test_both_kinds_of_cases_are_there() -> None:
    assert 6 <= len(UNSATURATED) < len(CASES)
    assert all(case["float32_finite"] for case in UNSATURATED)
    assert any(not case["float32_finite"] for case in CASES)


@given(SHAPES, SEEDS, TEMPERATURES)
def test_it_is_the_divergence_from_a_fair_coin(shape: tuple[int, int], seed: int, temperature: float) -> None:
    student, teacher = logits(shape, seed), logits(shape, seed + 1)
    q = torch.sigmoid((student - teacher) / temperature)
    expected = temperature**2 / shape[0] * (0.5 * (0.5 / q).log() + 0.5 * (0.5 / (1 - q)).log()).sum()
    found = binary_kl_norm_loss(student, teacher, temperature=temperature)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "precision"), [(torch.float64, 1e-14), (torch.float32, 1e-6)], ids=["float64", "float32"]
)
def test_it_is_log_cosh_to_full_precision_at_every_size(dtype: torch.dtype, precision: float) -> None:
    for size in (1e-12, 1e-8, 1e-5, 1e-3, 0.1, 0.5, 0.999, 1.0, 1.001, 3.0, 30.0, 600.0, 20_000.0):
        for sign in (1, -1):
            x = torch.tensor([[2 * sign * size]], dtype=dtype)  # T = 1: x / 2T is the size
            loss, gradient = value_and_gradient(binary_kl_norm_loss, x, torch.zeros_like(x), temperature=1.0)
            exact = float(x.double()) / 2
            small = math.log1p(2 * math.sinh(exact / 2) ** 2) if abs(exact) < 30 else abs(exact) - math.log(2)
            assert loss.item() == pytest.approx(small, rel=precision)
            assert gradient.item() == pytest.approx(math.tanh(exact) / 2, rel=precision)


@given(SHAPES, SEEDS, TEMPERATURES)
def test_equal_logits_cost_nothing_and_others_something(shape: tuple[int, int], seed: int, temperature: float) -> None:
    one, other = logits(shape, seed), logits(shape, seed + 1)
    for eps in (0.0, CLAMP):
        options = {"temperature": temperature, "eps": eps}
        loss, gradient = value_and_gradient(binary_kl_norm_loss, one, one.clone(), **options)
        assert loss.item() == 0
        assert gradient.abs().max() == 0
        assert binary_kl_norm_loss(one, other, **options) > 0


@given(SHAPES, SEEDS, TEMPERATURES)
def test_a_shift_of_a_row_is_seen(shape: tuple[int, int], seed: int, temperature: float) -> None:
    teacher = logits(shape, seed)
    assert kd_loss(teacher + 5, teacher) < 1e-12
    shifted = binary_kl_norm_loss(teacher + 5, teacher, temperature=temperature)
    expected = temperature**2 * shape[1] * math.log(math.cosh(5 / (2 * temperature)))
    assert shifted.item() == pytest.approx(expected, rel=1e-9)


@given(SHAPES, SEEDS)
def test_student_and_teacher_are_symmetric_and_order_does_not_matter(shape: tuple[int, int], seed: int) -> None:
    student, teacher = logits(shape, seed), logits(shape, seed + 1)
    loss = binary_kl_norm_loss(student, teacher)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(shape[0], generator=generator)[:, None]
    columns = torch.randperm(shape[1], generator=generator)
    torch.testing.assert_close(binary_kl_norm_loss(teacher, student), loss)
    torch.testing.assert_close(binary_kl_norm_loss(student[rows, columns], teacher[rows, columns]), loss)


@given(SHAPES, SEEDS, TEMPERATURES)
def test_each_logit_s_gradient_is_bounded(shape: tuple[int, int], seed: int, temperature: float) -> None:
    for scale in (1.0, 100.0):
        student, teacher = logits(shape, seed, scale), logits(shape, seed + 1, scale)
        _, gradient = value_and_gradient(binary_kl_norm_loss, student, teacher, temperature=temperature)
        assert gradient.abs().max() <= temperature / (2 * shape[0]) * (1 + 1e-12)
        assert torch.equal(gradient.sign(), (student - teacher).sign())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("eps", [0.0, CLAMP])
def test_extreme_logits_give_finite_numbers(dtype: torch.dtype, temperature: float, eps: float) -> None:
    student, teacher = extreme_logits(dtype)
    loss, gradient = value_and_gradient(binary_kl_norm_loss, student, teacher, temperature=temperature, eps=eps)
    assert loss.isfinite()
    assert loss > 0
    assert gradient.isfinite().all()
    saturated = (student - teacher).abs() > 100
    bound = temperature / (2 * len(student)) if eps == 0 else 0.0
    np.testing.assert_allclose(gradient[saturated].abs(), bound, rtol=1e-6)


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = logits((4, 5), 0).requires_grad_(), logits((4, 5), 1).requires_grad_()
    binary_kl_norm_loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


# -- the distiller --------------------------------------------------------------------------------------------------


def dhkd(**params: Any) -> Distiller:
    return build_distiller(MethodConfig(name="dhkd", params=params), seeded_model("resnet8", 10, seed=0), Setting(10))


def batch(teacher: Network) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 3, 8, 8, generator=generator)
    with torch.no_grad():
        taught = teacher.eval().features(images)
    return Batch(images, torch.randint(0, 10, (12,), generator=generator), torch.arange(12), 1, taught)


def test_the_auxiliary_head_is_a_module_beside_the_student() -> None:
    bare = set(seeded_model("resnet8", 10, seed=0).state_dict())
    for head, extra in (("linear", 2), ("nonlinear", 9), ("shared", 0)):
        method = dhkd(head=head)
        keys = set(method.state_dict())
        assert set(method.student.state_dict()) == bare
        assert {f"student.{key}" for key in bare} <= keys
        assert len(keys) - len(bare) == extra


def test_each_head_has_its_loss(teacher: Network) -> None:
    method, some = dhkd(temperature=3.0), batch(teacher)
    losses = method.losses(some)
    auxiliary = method.get_submodule("aux_head")
    assert isinstance(auxiliary, nn.Linear)
    gradients = torch.autograd.grad(
        losses.terms["ce"], [method.student.classifier.weight, auxiliary.weight], retain_graph=True, allow_unused=True
    )
    assert gradients[0] is not None
    assert gradients[1] is None
    gradients = torch.autograd.grad(
        losses.terms["binary_kl_norm"], [method.student.classifier.weight, auxiliary.weight], allow_unused=True
    )
    assert gradients[0] is None
    assert gradients[1] is not None


def test_a_shared_head_has_both_losses(teacher: Network) -> None:
    method, some = dhkd(head="shared", temperature=3.0), batch(teacher)
    losses = method.losses(some)
    expected = binary_kl_norm_loss(losses.logits, some.need_teacher().logits, temperature=3.0)
    torch.testing.assert_close(losses.terms["binary_kl_norm"], expected)


@pytest.mark.parametrize(("name", "function"), [("binary_kl_norm", binary_kl_norm_loss), ("kl", kd_loss)])
def test_the_auxiliary_loss_reads_the_auxiliary_head(teacher: Network, name: str, function: Any) -> None:
    method, some = dhkd(aux_loss=name, temperature=3.0), batch(teacher)
    losses = method.losses(some)
    pooled = method.student.features(some.images).pooled  # training mode: the batch's statistics, so the same feature
    expected = function(method.get_submodule("aux_head")(pooled), some.need_teacher().logits, temperature=3.0)
    torch.testing.assert_close(losses.terms[name], expected)
    assert set(losses.terms) == {"ce", name}


def test_weights_are_ce_weight_and_alpha_until_alpha_ends() -> None:
    method = dhkd(ce_weight=0.5, alpha=2.0, alpha_epochs=50)
    assert method.weights(1) == method.weights(50) == {"ce": 0.5, "binary_kl_norm": 2.0}
    assert method.weights(51) == {"ce": 0.5, "binary_kl_norm": 0.0}
    assert dhkd(alpha=2.0).weights(10_000) == {"ce": 1.0, "binary_kl_norm": 2.0}


@pytest.mark.parametrize("name", [name for name, m in METHODS.items() if getattr(m, "stateless", False)])
def test_any_logit_method_can_have_the_main_head(teacher: Network, name: str) -> None:
    some = batch(teacher)
    student = seeded_model("resnet8", 10, seed=0).eval()
    alone = build_distiller(MethodConfig(name=name), student, Setting(10)).eval()
    method = dhkd(main=name, ce_weight=0.5, alpha=2.0, align=True).eval()
    expected, found = alone.losses(some), method.losses(some)
    assert set(found.terms) == {*expected.terms, "binary_kl_norm"}
    for term, value in expected.terms.items():
        torch.testing.assert_close(found.terms[term], value)
        assert method.weights(30)[term] == 0.5 * alone.weights(30)[term]
    assert method.weights(30)["binary_kl_norm"] == 2.0
    assert method.anchors == set(expected.terms)
    assert not any(key.startswith("_main") for key in method.state_dict())


def test_the_main_method_s_hyperparameters_are_complete_and_checked() -> None:
    params = METHODS["dhkd"].Params.model_validate({"main": {"gdkd": {"w2": 4}}}).model_dump(mode="json")
    assert params["main"]["name"] == "gdkd"
    assert params["main"]["params"] == METHODS["gdkd"].Params(w2=4).model_dump(mode="json")  # type: ignore[call-arg]
    assert METHODS["dhkd"].Params.model_validate(params).model_dump(mode="json") == params
    for bad, message in (
        ({"gdkd": {"w9": 1}}, "gdkd: w9"),
        ("dhkd", "unknown method for the main head 'dhkd'"),
        ("crd", "unknown method for the main head 'crd'"),
        ([], "unknown method for the main head"),
    ):
        with pytest.raises(ValidationError, match=message):
            METHODS["dhkd"].Params.model_validate({"main": bad})


def test_the_auxiliary_head_starts_as_it_is_told() -> None:
    main = seeded_model("resnet8", 10, seed=0).classifier
    heads = {init: dhkd(init=init).get_submodule("aux_head") for init in ("main", "copy", "zeros")}
    weights = {init: head.state_dict()["weight"] for init, head in heads.items()}
    assert torch.equal(weights["copy"], main.weight)
    assert not weights["zeros"].any()
    assert not torch.equal(weights["main"], main.weight)
    zeroed = dhkd(init="zeros", head="nonlinear").state_dict()
    assert not zeroed["aux_head.net.4.weight"].any()
    assert zeroed["aux_head.net.0.weight"].any()
    with pytest.raises(InputError, match="head: linear"):
        dhkd(init="copy", head="nonlinear")


def test_alignment_is_asked_for() -> None:
    assert dhkd(align=True).anchors == {"ce"}
    assert not dhkd().anchors


@pytest.mark.parametrize(
    "params",
    [
        {"head": "both"},
        {"temperature": 0},
        {"dropout": 1},
        {"hidden": 0},
        {"alpha": -1},
        {"alpha_epochs": -1},
        {"x": 1},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS["dhkd"].Params.model_validate(params)
