"""SLD and MLKD, which read two views, and CTKD, whose temperature learns: the classes, alone and in the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from tests.goldens import arrays, index
from tests.trainers.examples import finish, small_trial
from trainers.config import MethodConfig, TrialConfig
from trainers.data import ImageData
from trainers.data.sources.digits import Digits
from trainers.distillers import Batch, Setting, View, build_distiller, kd_loss, mlkd_loss, sld_loss
from trainers.distillers.ctkd import CTKD, reversal, reversed_gradient
from trainers.distillers.mlkd import MLKD, mlkd_terms, strong_kd_loss
from trainers.distillers.sld import SLD, student_swap_loss, teacher_swap_loss
from trainers.fit import fit, seeded_model
from trainers.models import Features, Network
from trainers.result import EpochResult
from trainers.storage.content import tensors_key

CASES: list[dict[str, Any]] = [case for case in index("losses/losses") if case["loss"] in ("sld", "mlkd_weak_strong")]
ARRAYS = arrays("losses/losses")
Terms = dict[str, Tensor]


@pytest.fixture(scope="module")
def teacher() -> Network:
    return seeded_model("resnet14", 10, seed=99).eval()


@pytest.fixture(scope="module")
def few() -> ImageData:
    """Digits at 8 × 8 pixels, with 100 test images."""
    digits = Digits(image_size=8).load()
    return replace(digits, test=digits.test.take(torch.arange(100)))


def built(name: str, **params: Any) -> Any:
    student = seeded_model("resnet8", 10, seed=0)
    return build_distiller(MethodConfig(name=name, params=params), student, Setting(10))


@torch.no_grad()
def batch_of(teacher: Network, epoch: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(1)
    weak, strong = torch.randn(2, 16, 3, 8, 8, generator=generator)
    targets = torch.randint(10, (16,), generator=generator)
    seen = View(strong, teacher.features(strong))
    return Batch(weak, targets, torch.arange(16), epoch, teacher.features(weak), seen)


def total(weights: dict[str, float], terms: Terms) -> Tensor:
    assert weights.keys() == terms.keys()
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


# -- against the numbers of the authors' code -------------------------------------------------------------------------


def sld_terms(s: Tensor, t: Tensor, y: Tensor, params: Any) -> Terms:
    """What the class states for one view, out of the functions that it states it with."""
    return {
        "ce": F.cross_entropy(s, y),
        "swap_teacher": teacher_swap_loss(s, t, y, temperatures=params.temperatures),
        "swap_student": student_swap_loss(s, y, temperatures=params.temperatures, detach=params.detach),
    }


def both_sld(s: Tensor, t: Tensor, s2: Tensor, t2: Tensor, y: Tensor, params: Any) -> Terms:
    strong = sld_terms(s2, t2, y, params)
    return sld_terms(s, t, y, params) | {f"{name}_strong": term for name, term in strong.items()}


def both_mlkd(s: Tensor, t: Tensor, s2: Tensor, t2: Tensor, y: Tensor, params: Any) -> Terms:
    read_on_weak = (2, 6) if params.strong == "released" else ()
    options = {"conf": params.conf, "class_conf": params.class_conf, "mask": params.mask}
    return {
        "ce": F.cross_entropy(s, y),
        **mlkd_terms(s, t, temperatures=params.temperatures, **options)._asdict(),
        "ce_strong": F.cross_entropy(s2, y),
        "kd_strong": strong_kd_loss(s, t, s2, t2, temperatures=params.temperatures, read_on_weak=read_on_weak),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_weights_times_terms_are_the_release_s_loss(case: dict[str, Any]) -> None:
    """With each method's own defaults but for the two weights, and MLKD's first temperature."""
    x, hyper = {name: ARRAYS[key] for name, key in case["inputs"].items()}, case["hyper"]
    views = (*(x[name] for name in ("student", "teacher", "student_strong", "teacher_strong")), x["target"].long())
    params: dict[str, Any] = {"ce_weight": hyper["ce_weight"], "kd_weight": hyper["kd_weight"]}
    if case["loss"] == "sld":
        method = built("sld", **params)
        found = total(method.weights(hyper["epoch"]), both_sld(*views, method.params))
    else:
        method = built("mlkd", **params, temperatures=(hyper["T"], 3, 5, 2, 6))
        found = total(method.weights(1), both_mlkd(*views, method.params))
    assert found.item() == pytest.approx(case["loss_f64"], rel=1e-5)


def test_all_golden_cases_are_there() -> None:
    assert [case["loss"] for case in CASES].count("sld") == 11
    assert [case["loss"] for case in CASES].count("mlkd_weak_strong") == 3
    assert {case["hyper"].get("epoch", 0) > 150 for case in CASES if case["loss"] == "sld"} == {False, True}


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("sld", {}, both_sld),
        ("sld", {"temperatures": (2, 5), "detach": True}, both_sld),
        ("mlkd", {}, both_mlkd),
        ("mlkd", {"strong": "all", "conf": 0.3, "class_conf": 0.8}, both_mlkd),
        ("mlkd", {"mask": False, "temperatures": (1, 2)}, both_mlkd),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_terms_are_of_each_view_s_own_logits(
    name: str, params: dict[str, Any], expected: Any, teacher: Network
) -> None:
    method, batch = built(name, **params).eval(), batch_of(teacher)
    strong = batch.need_strong()
    with torch.no_grad():
        output = method.losses(batch)
        passes = [method.student(view.images) for view in (batch, strong)]
        logits = (passes[0], batch.need_teacher().logits, passes[1], strong.need_teacher().logits, batch.targets)
        wanted = expected(*logits, method.params)
    assert torch.equal(output.logits, passes[0])
    assert output.terms.keys() == wanted.keys() == method.weights(1).keys()
    for key, term in wanted.items():
        torch.testing.assert_close(output.terms[key], term)


@pytest.mark.parametrize("name", ["sld", "mlkd", "crld"])
def test_the_student_passes_twice(name: str, teacher: Network) -> None:
    """BatchNorm counts two batches, and its statistics are those of the weak, then the strong view."""
    method, batch = built(name).train(), batch_of(teacher)
    method.losses(batch)
    alike = seeded_model("resnet8", 10, seed=0).train()
    for view in (batch, batch.need_strong()):
        alike(view.images)
    assert {key: value for key, value in alike.state_dict().items() if "tracked" in key} != {}
    assert all(torch.equal(value, method.student.state_dict()[key]) for key, value in alike.state_dict().items())


# -- SLD --------------------------------------------------------------------------------------------------------------


def test_the_pseudo_teacher_comes_after_its_epoch() -> None:
    late = {"swap_student", "swap_student_strong"}
    for start, epoch, there in ((150, 150, False), (150, 151, True), (0, 1, True), (None, 999, False)):
        weights = built("sld", start=start).weights(epoch)
        assert {name for name, weight in weights.items() if weight == 0} == (set() if there else late)
        assert {weights[name] for name in weights.keys() - late if "ce" not in name.split("_")} == {0.9}
        assert weights["ce"] == weights["ce_strong"] == 0.1


def test_the_two_divergences_add_up_to_sld_loss() -> None:
    s, t, s2, t2 = 3 * torch.randn(4, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(9) % 7
    params = SLD.Params()
    terms = both_sld(s, t, s2, t2, y, params)
    early = terms["swap_teacher"] + terms["swap_teacher_strong"]
    torch.testing.assert_close(early, sld_loss(s, t, s2, t2, y, epoch=150))
    late = early + terms["swap_student"] + terms["swap_student_strong"]
    torch.testing.assert_close(late, sld_loss(s, t, s2, t2, y, epoch=151))


def test_a_student_that_is_right_has_nothing_to_learn_from_itself() -> None:
    logits = (6.0 * F.one_hot(torch.arange(8) % 5, 5) + torch.rand(8, 5)).requires_grad_()
    loss = student_swap_loss(logits, torch.arange(8) % 5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6
    assert student_swap_loss(logits, (torch.arange(8) + 1) % 5) > 1


# -- MLKD -------------------------------------------------------------------------------------------------------------


def test_one_view_is_mlkd_loss_and_asks_for_no_strong_view(teacher: Network) -> None:
    method = built("mlkd", views="weak", temperatures=(2, 3, 4, 5, 6)).eval()
    assert not method.strong_view
    batch = replace(batch_of(teacher), strong=None)
    output = method.losses(batch)
    assert set(output.terms) == {"ce", "kd", "cc", "bc"}
    expected = 0.1 * F.cross_entropy(output.logits, batch.targets)
    expected = expected + 0.9 * mlkd_loss(output.logits, batch.need_teacher().logits)
    torch.testing.assert_close(total(method.weights(1), output.terms), expected)


def test_the_strong_view_is_read_at_three_temperatures_or_at_all() -> None:
    s, t, s2, t2 = 2 * torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(3))
    weak, strong = ({T: kd_loss(*pair, temperature=T) for T in (4, 3, 5, 2, 6)} for pair in ((s, t), (s2, t2)))
    released = strong[4] + strong[3] + strong[5] + weak[2] + weak[6]
    torch.testing.assert_close(strong_kd_loss(s, t, s2, t2), released)
    everywhere = torch.stack(list(strong.values())).sum()
    torch.testing.assert_close(strong_kd_loss(s, t, s2, t2, read_on_weak=()), everywhere)
    assert not torch.isclose(released, everywhere)


# -- CTKD -------------------------------------------------------------------------------------------------------------


def test_the_reversed_gradient_comes_in_along_half_a_cosine() -> None:
    assert [reversal(epoch, 10) for epoch in (5, 10, 11, 240)] == pytest.approx([0.5, 1, 1, 1])
    assert reversal(1, 10) == pytest.approx((1 - math.cos(math.pi / 10)) / 2)
    assert reversal(1, 0) == 1
    rising = [reversal(epoch, 10) for epoch in range(1, 11)]
    assert rising == sorted(rising)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_reversed_gradient_leaves_the_value_as_it_is(strength: float) -> None:
    for value in (1.0, -3.7, 1e8, 1e-30):
        x = torch.tensor(value, requires_grad=True)
        y = reversed_gradient(x, strength)
        y.backward()  # type: ignore[no-untyped-call]
        assert y.item() == x.item()
        assert x.grad is not None
        assert x.grad.item() == pytest.approx(-strength)


def test_ctkd_is_kd_at_its_temperature(teacher: Network) -> None:
    method, batch = built("ctkd", init=-0.5, least=2.0, span=6.0).eval(), batch_of(teacher)
    temperature = 2 + 6 / (1 + math.exp(0.5))
    output = method.losses(batch)
    assert method.temperature(7).item() == pytest.approx(temperature)
    expected = kd_loss(output.logits, batch.need_teacher().logits, temperature=temperature)
    torch.testing.assert_close(output.terms["ctkd"], expected)
    assert built("ctkd").temperature(1).item() == pytest.approx(1 + 20 / (1 + math.exp(-1)))


@pytest.mark.parametrize("epoch", [1, 5, 10, 50])
def test_the_temperature_s_gradient_is_minus_lambda_times_the_true_one(epoch: int, teacher: Network) -> None:
    """Of a teacher that is sure: the divergence from one that is not hardly depends on a temperature of 15.6, so that
    float32 leaves two digits of its derivative, and which ones depends on the processor."""
    method, batch = built("ctkd").eval(), batch_of(teacher, epoch)
    sure = Features.of_logits(100 * batch.need_teacher().logits)
    output = method.losses(replace(batch, teacher=sure))
    (gradient,) = torch.autograd.grad(output.terms["ctkd"], method.theta)
    logits = (output.logits.detach().double(), sure.logits.double())
    up, down = (kd_loss(*logits, temperature=1 + 20 / (1 + math.exp(-theta))).item() for theta in (1.001, 0.999))
    assert abs(up - down) > 1e-4
    assert gradient.item() == pytest.approx(-reversal(epoch, 10) * (up - down) / 0.002, rel=1e-4)


def test_a_step_of_the_temperature_makes_the_task_harder(teacher: Network) -> None:
    method, batch = built("ctkd").eval(), batch_of(teacher, epoch=20)
    before = method.losses(batch).terms["ctkd"]
    optimizer = torch.optim.SGD([method.theta], lr=0.5)
    before.backward()
    optimizer.step()
    assert method.losses(batch).terms["ctkd"] > before


# -- in the loop ------------------------------------------------------------------------------------------------------

TRIALS = {
    "sld": small_trial("sld", {"start": 1}, flip=True),
    "mlkd": small_trial("mlkd"),
    "crld": small_trial("crld", {"weak_threshold": 0.2}),
    "mlkd weak": small_trial("mlkd", {"views": "weak"}),
    "ctkd": small_trial("ctkd", {"curriculum_epochs": 2}),
}
Run = tuple[list[EpochResult], str]


def trained(config: TrialConfig, data: ImageData, teacher: Network, folder: Path | None = None) -> Run:
    results, student = finish(fit(config, data=data, teacher=teacher, folder=folder))
    assert list(student.state_dict()) == list(seeded_model("resnet8", 10, seed=0).state_dict())
    return results, tensors_key(student.state_dict())


@pytest.fixture(scope="module")
def whole(few: ImageData, teacher: Network) -> Callable[[str], tuple[list[EpochResult], str]]:
    """What comes of each of :data:`TRIALS` in one go."""
    return cache(lambda name: trained(TRIALS[name], few, teacher))


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", TRIALS)
def test_a_stopped_trial_goes_on_as_if_never_stopped(
    name: str, whole: Any, few: ImageData, teacher: Network, tmp_path: Path
) -> None:
    config = TRIALS[name]
    training = fit(config, data=few, teacher=teacher, folder=tmp_path)
    next(training)
    training.close()
    results, weights = trained(config, few, teacher, tmp_path)
    assert (results, weights) == whole(name)
    assert [result.replayed for result in results] == [True, False, False]


@pytest.mark.parametrize("name", TRIALS)
def test_the_loss_is_the_weighted_sum_of_the_terms(name: str, whole: Any) -> None:
    method = build_distiller(TRIALS[name].method, seeded_model("resnet8", 10, seed=0), Setting(10))
    for result in whole(name)[0]:
        weights = method.weights(result.epoch)
        assert result.terms.keys() == weights.keys()
        assert result.loss == pytest.approx(sum(weights[name] * term for name, term in result.terms.items()), rel=1e-5)


@pytest.mark.slow(1)
def test_the_pseudo_teacher_teaches_from_its_epoch_on(few: ImageData, teacher: Network) -> None:
    never, late, after = (trained(small_trial("sld", {"start": start}), few, teacher) for start in (None, 1, 3))
    assert never == after  # three epochs: it would come in the fourth
    assert late[0][0] == never[0][0]
    assert late[1] != never[1]
    assert all(result.terms["swap_student"] > 0 for result in never[0])


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", ["sld", "mlkd", "ctkd"])
def test_it_learns(name: str, few: ImageData, teacher: Network) -> None:
    """Against a teacher that knows nothing, by the labels alone: the two-view cross-entropy falls."""
    params = {"ce_weight": 1, "kd_weight": 0}
    results, _ = trained(small_trial(name, params, epochs=8, lr=0.1), few, teacher)
    assert results[-1].terms["ce"] < 0.6 * results[0].terms["ce"]
    assert results[-1].train_acc > results[0].train_acc + 20
    if name != "ctkd":
        assert results[-1].terms["ce_strong"] < 0.9 * results[0].terms["ce_strong"]
        assert results[-1].terms["ce_strong"] > results[-1].terms["ce"]  # the strong view is the harder one


@pytest.mark.slow(1)
def test_the_recipe_s_strong_view_reaches_the_method(few: ImageData, teacher: Network) -> None:
    one, other = (trained(small_trial("sld", epochs=1, randaugment_ops=count), few, teacher)[0] for count in (0, 3))
    assert one[0].terms["ce_strong"] != other[0].terms["ce_strong"]
    weak = [trained(small_trial("mlkd", {"views": "weak"}, randaugment_ops=count), few, teacher) for count in (0, 3)]
    assert weak[0] == weak[1]


def test_a_teacher_can_be_trained_on_autoaugment(few: ImageData) -> None:
    config = small_trial(views="autoaugment", cutout=2, epochs=1)
    assert config.key != small_trial(epochs=1).key
    plain, augmented = (finish(fit(trial, data=few))[0] for trial in (small_trial(epochs=1), config))
    assert augmented[0].terms["ce"] != plain[0].terms["ce"]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sld", {"temperatures": []}),
        ("sld", {"temperatures": [1, 0]}),
        ("sld", {"start": -1}),
        ("mlkd", {"strong": "weak"}),
        ("mlkd", {"conf": 1.5}),
        ("ctkd", {"span": 0}),
        ("ctkd", {"least": 0}),
    ],
)
def test_impossible_values_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        built(name, **params)


def test_mlkd_s_class_says_that_it_may_read_two_views() -> None:
    assert MLKD.strong_view
    assert SLD.strong_view
    assert not CTKD.strong_view
