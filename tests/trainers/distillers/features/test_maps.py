"""FitNet, AT, NST, SP, PKT, RKD and VID: the authors' numbers, properties, and that their connectors fit and learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from tests.goldens import arrays, index
from trainers.config import MethodConfig
from trainers.data import Split
from trainers.data.sources.digits import Digits
from trainers.distillers import (
    Batch,
    Distiller,
    FeatureDistiller,
    Setting,
    at_loss,
    build_distiller,
    fitnet_loss,
    nst_loss,
    pkt_loss,
    rkd_loss,
    sp_loss,
    vid_loss,
)
from trainers.distillers.feature_maps import paired_stages, unit
from trainers.distillers.fitnet import Regressor
from trainers.distillers.nst import kernel_mean
from trainers.distillers.rkd import relations
from trainers.distillers.vid import Predictor
from trainers.errors import InputError
from trainers.models import Features, Network, build
from trainers.recipes import RECIPES
from trainers.views.views import Views

torch.set_num_threads(1)

METHODS = ("fitnet", "at", "nst", "sp", "pkt", "rkd", "vid")
CONNECTED = ("fitnet", "vid")
"""Those that learn layers beside the student."""
FAMILIES = ("resnet8", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2")
FIELD_PAIRS = (
    ("resnet32x4", "ShuffleV1"),
    ("resnet32x4", "ShuffleV2"),
    ("vgg13", "MobileNetV2"),
    ("ResNet50", "vgg8"),
    ("ResNet50", "MobileNetV2"),
    ("wrn_40_2", "ShuffleV1"),
    ("resnet56", "resnet20"),
    ("imagenet/ResNet34", "imagenet/ResNet18"),
    ("imagenet/ResNet50", "MobileNetV1"),
)

# The authors' numbers

CASES: list[dict[str, Any]] = index("features/maps")
ARRAYS = arrays("features/maps")

Inputs = dict[str, Tensor]


def _stages(inputs: Inputs) -> tuple[list[Tensor], list[Tensor]]:
    """Student's and teacher's maps, first stage first."""
    student, teacher = ([inputs[name] for name in sorted(inputs) if name[0] == side] for side in "st")
    return student, teacher


def _fill(module: nn.Module, inputs: Inputs) -> None:
    """Load the inputs named `w:…` and make them the leaves whose gradients are compared."""
    weights = {name.removeprefix("w:"): value for name, value in inputs.items() if name.startswith("w:")}
    module.load_state_dict(weights | {k: v for k, v in module.state_dict().items() if k not in weights})
    inputs.update({f"w:{name}": parameter for name, parameter in module.named_parameters()})


def _fitnet(inputs: Inputs, hyper: dict[str, Any]) -> Tensor:
    regressor = Regressor(inputs["f_s"], inputs["f_t"], relu=hyper["use_relu"]).train()
    _fill(regressor, inputs)
    regressed = regressor(inputs["f_s"])
    inputs["regressed"] = regressed
    return fitnet_loss(regressed, inputs["f_t"])


def _vid(inputs: Inputs, hyper: dict[str, Any]) -> Tensor:
    predictor = Predictor(inputs["f_s"].shape[1], inputs["f_t"].shape[1], eps=hyper["eps"])
    _fill(predictor.mean, inputs)
    predictor.log_scale = nn.Parameter(inputs["log_scale"])
    inputs["log_scale"] = predictor.log_scale
    loss: Tensor = predictor(inputs["f_s"], inputs["f_t"])
    return loss


AUTHORS: dict[str, Callable[[Inputs, dict[str, Any]], Tensor]] = {
    "at": lambda x, hyper: at_loss(*_stages(x), p=hyper["p"]),
    "nst": lambda x, hyper: nst_loss(*_stages(x)),
    "sp": lambda x, hyper: sp_loss(*_stages(x)),
    "pkt": lambda x, hyper: pkt_loss(x["ps"], x["pt"], **hyper),
    "rkd": lambda x, hyper: rkd_loss(x["ps"], x["pt"], **hyper),
    "fitnet": _fitnet,
    "vid": _vid,
}


def test_every_loss_has_a_case() -> None:
    assert len(CASES) == 14
    assert {case["loss"] for case in CASES} == set(AUTHORS) == set(METHODS)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_loss_and_gradients_are_the_authors(case: dict[str, Any]) -> None:
    inputs = {name: ARRAYS[key].clone() for name, key in case["inputs"].items()}
    for name in case["grad_atol"].keys() & {"s0", "s1", "s2", "ps", "f_s"}:
        inputs[name].requires_grad_()
    loss = AUTHORS[case["loss"]](inputs, case["hyper"])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.shape == ()
    assert loss.item() == pytest.approx(case["loss_f64"], rel=case["loss_rtol"])
    for name, tolerance in case["grad_atol"].items():
        gradient = inputs[name].grad
        assert gradient is not None, name
        torch.testing.assert_close(gradient, ARRAYS[f"{case['id']}/grad_{name}"], rtol=0, atol=tolerance)
    if case["loss"] == "fitnet":
        torch.testing.assert_close(inputs["regressed"], ARRAYS[f"{case['id']}/regressed"], rtol=0, atol=2e-6)


# Properties


@dataclass(frozen=True)
class Maps:
    """Two stages of student and teacher, of other channels and sizes, and pooled features."""

    student: tuple[Tensor, ...]
    teacher: tuple[Tensor, ...]

    def map(self, change: Callable[[Tensor], Tensor]) -> Maps:
        return Maps(tuple(map(change, self.student)), tuple(map(change, self.teacher)))


def _first_two_axes(maps: tuple[Tensor, ...]) -> Tensor:
    """Features ``[B, K]`` from the first map: its first pixel, so that extreme values stay extreme."""
    return maps[0][:, :, 0, 0]


def _vid_loss(m: Maps) -> Tensor:
    """With the student's map, brought to the teacher's shape by the connector that the golden numbers check."""
    torch.manual_seed(0)
    predictor = Predictor(m.student[0].shape[1], m.teacher[0].shape[1]).to(m.student[0].dtype)
    loss: Tensor = predictor(m.student[0], m.teacher[0])
    return loss


LOSSES: dict[str, Callable[[Maps], Tensor]] = {
    "at": lambda m: at_loss(m.student, m.teacher),
    "at_p3": lambda m: at_loss(m.student, m.teacher, p=3),
    "nst": lambda m: nst_loss(m.student, m.teacher),
    "sp": lambda m: sp_loss(m.student, m.teacher),
    "pkt": lambda m: pkt_loss(_first_two_axes(m.student), _first_two_axes(m.teacher)),
    "rkd": lambda m: rkd_loss(_first_two_axes(m.student), _first_two_axes(m.teacher)),
    "rkd_squared": lambda m: rkd_loss(_first_two_axes(m.student), _first_two_axes(m.teacher), squared=True),
    "vid": _vid_loss,
}
every_loss = pytest.mark.parametrize("name", LOSSES)
without_layers = pytest.mark.parametrize("name", [name for name in LOSSES if name != "vid"])
few = settings(max_examples=8)


@st.composite
def some_maps(draw: st.DrawFn) -> Maps:
    """Float64, batch 2 to 5, each map with channels, height and width of its own."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch = draw(st.integers(2, 5))
    shapes = [[(batch, *(draw(st.integers(low, 6)) for low in (2, 1, 1))) for _ in range(2)] for _ in range(2)]
    scale = draw(st.sampled_from([0.1, 1.0, 20.0]))
    student, teacher = (
        tuple(scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in side) for side in shapes
    )
    return Maps(student, teacher)


def _student_gradients(name: str, m: Maps) -> tuple[Tensor, list[Tensor]]:
    student = tuple(maps.clone().requires_grad_() for maps in m.student)
    loss = LOSSES[name](Maps(student, m.teacher))
    gradients = torch.autograd.grad(loss, student, allow_unused=True)
    return loss.detach(), [gradient for gradient in gradients if gradient is not None]


@without_layers
@few
@given(m=some_maps())
def test_zero_with_zero_gradient_at_equal_features_and_never_below(name: str, m: Maps) -> None:
    assert LOSSES[name](m).item() >= -1e-12
    loss, gradients = _student_gradients(name, Maps(m.teacher, m.teacher))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    for gradient in gradients:
        assert gradient.abs().max().item() < (1e-6 if name == "pkt" else 1e-9)  # pkt's eps moves its minimum


@every_loss
@few
@given(m=some_maps())
def test_batch_order_does_not_matter(name: str, m: Maps) -> None:
    shuffled = m.map(lambda maps: maps.roll(1, dims=0).flip(0))
    torch.testing.assert_close(LOSSES[name](shuffled), LOSSES[name](m), rtol=1e-9, atol=1e-12)


@every_loss
@few
@given(m=some_maps())
def test_no_gradient_reaches_the_teacher(name: str, m: Maps) -> None:
    both = m.map(lambda maps: maps.clone().requires_grad_())
    LOSSES[name](both).backward()  # type: ignore[no-untyped-call]
    assert all(maps.grad is None for maps in both.teacher)
    assert both.student[0].grad is not None


@every_loss
@few
@given(m=some_maps())
def test_gradient_is_the_slope(name: str, m: Maps) -> None:
    loss, gradients = _student_gradients(name, m)
    ways = [torch.cos(torch.arange(g.numel(), dtype=torch.float64)).reshape(g.shape) for g in gradients]
    slope = torch.stack([(g * way).sum() for g, way in zip(gradients, ways, strict=True)]).sum()
    step = 1e-6 * max(maps.abs().max().item() for maps in m.student)

    def at(distance: float) -> Tensor:
        moved = [maps + distance * way for maps, way in zip(m.student, ways, strict=False)]
        return LOSSES[name](Maps((*moved, *m.student[len(ways) :]), m.teacher))

    rounding = 1e-13 * (1 + loss.abs().item()) / step
    torch.testing.assert_close(slope, (at(step) - at(-step)) / (2 * step), rtol=1e-4, atol=rounding)


def _same(value: float) -> Callable[[Tensor], Tensor]:
    return lambda maps: torch.full_like(maps, value)


HARD: dict[str, Callable[[Maps], Maps]] = {
    "extreme": lambda m: m.map(lambda maps: 1e4 * maps.sign()),
    "opposite": lambda m: Maps(
        tuple(-1e4 * maps.sign() for maps in m.teacher), tuple(1e4 * maps.sign() for maps in m.teacher)
    ),
    "zero student": lambda m: Maps(m.map(_same(0.0)).student, m.teacher),
    "zero teacher": lambda m: Maps(m.student, m.map(_same(0.0)).teacher),
    "all zero": lambda m: m.map(_same(0.0)),
    "all equal": lambda m: m.map(_same(1.0)),
    "a sample zero": lambda m: m.map(lambda maps: torch.cat([torch.zeros_like(maps[:1]), maps[1:]])),
    "two samples equal": lambda m: m.map(lambda maps: torch.cat([maps[:1], maps[:-1]])),
    "tiny": lambda m: m.map(lambda maps: 1e-30 * maps),
    "one sample": lambda m: m.map(lambda maps: maps[:1]),
}


@every_loss
@pytest.mark.parametrize("kind", HARD)
@settings(max_examples=3)
@given(m=some_maps())
def test_finite_in_float32(name: str, kind: str, m: Maps) -> None:
    """Loss and gradient, where norms, distances and deviations are 0 or huge."""
    loss, gradients = _student_gradients(name, HARD[kind](m.map(Tensor.float)))
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    for gradient in gradients:
        assert gradient.isfinite().all()
        if kind in ("zero student", "all zero", "tiny") and name != "vid":
            assert not gradient.any()


@few
@given(m=some_maps(), scale=st.sampled_from([1e-3, 0.5, 300.0]))
def test_what_a_scale_of_the_features_changes(m: Maps, scale: float) -> None:
    """Attention, patterns, similarities, angles and relative distances: nothing."""
    scaled = Maps(m.map(lambda maps: scale * maps).student, m.teacher)
    for name in LOSSES.keys() - {"vid"}:
        torch.testing.assert_close(LOSSES[name](scaled), LOSSES[name](m), rtol=1e-7, atol=1e-10)


@few
@given(m=some_maps())
def test_channels_may_be_permuted_where_they_are_not_paired(m: Maps) -> None:
    flipped = Maps(m.map(lambda maps: maps.flip(1)).student, m.teacher)
    for name in LOSSES.keys() - {"vid"}:
        torch.testing.assert_close(LOSSES[name](flipped), LOSSES[name](m), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 2), (2, 9)])
def test_the_kernel_is_the_same_by_channels_and_by_pixels(shape: tuple[int, int]) -> None:
    """Every pair of channels by its definition; few pixels, then few channels."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, *shape, generator=generator), torch.randn(3, shape[0] + 1, shape[1], generator=generator)
    products = (a[:, :, None] * b[:, None]).sum(dim=3)  # [B, K, L]
    torch.testing.assert_close(kernel_mean(a, b), products.square().mean())


def test_rkd_by_hand() -> None:
    """A right triangle of 3, 4 and 5: its distances over their mean of 4, its angles' cosines 0, 3/5 and 4/5."""
    distances, cosines = relations(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))
    torch.testing.assert_close(distances, torch.tensor([[0.0, 0.75, 1.0], [0.75, 0.0, 1.25], [1.0, 1.25, 0.0]]))
    assert [cosines[0, 1, 2], cosines[1, 0, 2], cosines[2, 0, 1]] == pytest.approx([0, 0.6, 0.8])
    assert cosines.diagonal(dim1=0, dim2=1).abs().max() == 0


def test_vid_is_the_log_likelihood_of_a_normal_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, taught = (torch.randn(4, 3, 2, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    log_scale = torch.randn(3, generator=generator, dtype=torch.float64)
    variance = (log_scale.exp().log1p() + 0.01).view(1, 3, 1, 1).expand_as(mean)
    expected = F.gaussian_nll_loss(mean, taught, variance)
    torch.testing.assert_close(vid_loss(mean, taught, log_scale, eps=0.01), expected)


@pytest.mark.parametrize("variance", [1e-3, 0.1, 5.0, 1e4])
def test_vid_starts_at_the_variance_asked_for(variance: float) -> None:
    predictor = Predictor(4, 3, init_variance=variance)
    found = F.softplus(predictor.log_scale) + predictor.eps
    torch.testing.assert_close(found, torch.full((3,), variance), rtol=1e-5, atol=1e-9)


def test_a_direction_of_nothing_is_nothing() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-20, 0.0]], requires_grad=True)
    directions = unit(x, dim=1)
    torch.testing.assert_close(directions, torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.0, 0.0]]))
    directions.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert not x.grad[1:].any()


def test_as_many_maps_of_each_are_needed() -> None:
    maps = [torch.ones(2, 3, 4, 4)]
    for loss in (at_loss, nst_loss, sp_loss):
        with pytest.raises(ValueError, match="zip"):
            loss(maps, maps * 2)


# In the trainer


def _distiller(method: str, student: Network, teacher: Network, size: int = 32, **params: Any) -> Distiller:
    torch.manual_seed(0)
    setting = Setting(10, image_size=(size, size), teacher=teacher)
    return build_distiller(MethodConfig(name=method, params=params), student, setting)


def _batch(teacher: Network, size: int = 32, count: int = 4) -> Batch:
    torch.manual_seed(1)
    images = torch.randn(count, 3, size, size)
    with torch.no_grad():
        taught = teacher.eval().features(images)
    return Batch(images, torch.arange(count) % 10, torch.arange(count), 1, taught)


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    torch.manual_seed(0)
    return {name: build(name, num_classes=10) for name in FAMILIES}


@pytest.mark.slow(1)
@pytest.mark.parametrize("size", [8, 32])
def test_every_pair_of_families_goes_together(size: int, networks: dict[str, Network]) -> None:
    batches = {name: _batch(network, size, count=2) for name, network in networks.items()}
    for student, teacher, method in product(FAMILIES, FAMILIES, METHODS):
        distiller = _distiller(method, networks[student], networks[teacher], size).train()
        assert isinstance(distiller, FeatureDistiller)
        taught = batches[teacher].need_teacher()
        terms = distiller.terms(batches[student].need_teacher(), taught, batches[teacher])
        assert {"ce", *terms} == distiller.weights(1).keys()
        assert all(term.isfinite() for term in terms.values()), (student, teacher)


@pytest.mark.parametrize("pair", FIELD_PAIRS, ids=" -> ".join)
def test_the_pairs_of_the_tables_build_without_memory(pair: tuple[str, str]) -> None:
    size = 224 if "imagenet" in pair[0] else 32
    with torch.device("meta"):
        teacher, student = (build(name, num_classes=10) for name in pair)
        batch = _batch(teacher, size, count=2)
        passed = student.features(batch.images)
        for method in CONNECTED:
            distiller = _distiller(method, student, teacher, size).train()
            assert isinstance(distiller, FeatureDistiller)
            assert all(term.shape == () for term in distiller.terms(passed, batch.need_teacher(), batch).values())
            assert all(parameter.is_meta for parameter in distiller.parameters())


def _passed(shapes: list[tuple[int, int]]) -> Features:
    stages = tuple(torch.zeros(1, channels, size, size) for channels, size in shapes)
    return Features(torch.zeros(1, 2), torch.zeros(1, 2), stages, stages)


def test_stages_are_paired_from_the_deepest_up() -> None:
    three, four = _passed([(1, 8), (2, 8), (3, 4), (4, 2)]), _passed([(5, 8), (6, 8), (7, 4), (8, 2), (9, 1)])
    student, teacher = paired_stages(three, four)
    assert [maps.shape[1] for maps in student] == [2, 3, 4]
    assert [maps.shape[1] for maps in teacher] == [7, 8, 9]
    assert [maps.shape[1] for maps in paired_stages(four, four)[0]] == [6, 7, 8, 9]


def test_a_hint_that_a_network_lacks_is_refused(networks: dict[str, Network]) -> None:
    with pytest.raises(
        InputError, match=r"hint_stage 4 is not a stage of both.* student's are 0 to 4.* teacher's 0 to 3"
    ):
        _distiller("fitnet", networks["vgg8"], networks["resnet8"], hint_stage=4)
    assert _distiller("fitnet", networks["vgg8"], networks["MobileNetV2"], hint_stage=3)


def test_a_hint_too_large_for_the_student_is_refused(networks: dict[str, Network]) -> None:
    small, large = torch.zeros(1, 4, 2, 2), torch.zeros(1, 3, 8, 8)
    with pytest.raises(InputError, match=r"student's map has 2 × 2 pixels and the teacher's 8 × 8; .*half as large"):
        Regressor(small, large)
    assert Regressor(large, small).eval()(large).shape == (1, 4, 2, 2)


@pytest.mark.parametrize("shapes", [((7, 5), (3, 5)), ((6, 4), (3, 2)), ((3, 2), (6, 4)), ((4, 8), (2, 3))])
def test_regressors_of_maps_that_are_not_square(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    student, teacher = torch.zeros(2, 3, *shapes[0]), torch.zeros(2, 4, *shapes[1])
    assert Regressor(student, teacher).train()(student).shape == teacher.shape


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("at", {"p": 0}),
        ("at", {"p": 1.5}),
        ("vid", {"init_variance": 1e-6}),
        ("rkd", {"eps": 0}),
        ("fitnet", {"hint_stage": -1}),
        ("nst", {"feature_weight": -1}),
        ("sp", {"stages": [1]}),
    ],
)
def test_impossible_values_are_refused(method: str, params: dict[str, Any], networks: dict[str, Network]) -> None:
    with pytest.raises(ValidationError):
        _distiller(method, networks["resnet8"], networks["resnet8"], **params)


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_on_digits(method: str, networks: dict[str, Network]) -> None:
    """Real steps on one batch by the method's own terms, without the cross-entropy: from vgg8 to resnet8."""
    teacher = networks["vgg8"].eval()
    torch.manual_seed(0)
    distiller = _distiller(method, build("resnet8", num_classes=10), teacher, 8).train()
    batch = _digits(teacher)
    weights = {name: weight for name, weight in distiller.weights(1).items() if name != "ce"}
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.05, momentum=0.9)
    before = {name: parameter.detach().clone() for name, parameter in distiller.named_parameters()}
    losses = []
    for _ in range(12):
        terms = distiller.losses(batch).terms
        loss = torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(distiller.parameters(), 2.0)
        optimizer.step()
    assert losses[-1] < losses[0]
    connectors = [name for name in before if not name.startswith("student.") and name != "regressor.conv.bias"]
    assert bool(connectors) == (method in CONNECTED)
    after = dict(distiller.named_parameters())
    assert [name for name in connectors if torch.equal(before[name], after[name])] == []  # a bias before BN stays


def _digits(teacher: Network) -> Batch:
    data = Digits(image_size=8).load()
    part = data.train.take(torch.arange(32))
    assert isinstance(part, Split)
    images = Views(RECIPES["digits"], data, torch.device("cpu")).plain(part.images)
    with torch.no_grad():
        return Batch(images, part.labels, part.index, 1, teacher.features(images))


def test_vid_learns_its_variances(networks: dict[str, Network]) -> None:
    distiller = _distiller("vid", networks["resnet8"], networks["wrn_16_1"])
    scales = [name for name, _ in distiller.named_parameters() if name.endswith("log_scale")]
    assert scales == [f"predictors.{stage}.log_scale" for stage in range(3)]
    assert set(scales) <= distiller.state_dict().keys()
