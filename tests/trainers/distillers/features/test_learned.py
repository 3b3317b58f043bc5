"""CRD, OFD, ReviewKD, SimKD and CAT-KD: the authors' numbers, properties, and that they fit, learn and resume."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from tests.goldens import arrays, index
from tests.trainers.examples import finish, small_trial
from trainers.check import check
from trainers.config import MethodConfig, TrialConfig
from trainers.data import ImageData
from trainers.data.sources.digits import Digits
from trainers.distillers import (
    Batch,
    Distiller,
    FeatureDistiller,
    Setting,
    build_distiller,
    catkd_loss,
    crd_loss,
    hcl_loss,
    ofd_loss,
    simkd_loss,
)
from trainers.distillers.base import ramp
from trainers.distillers.catkd import CATKD, class_activation_maps
from trainers.distillers.crd import CRD, UNSET, Memories, draw_negatives
from trainers.distillers.feature_maps import unit
from trainers.distillers.ofd import connector, ofd_margins, paired_preactivations
from trainers.distillers.reviewkd import Review, paired_levels
from trainers.distillers.simkd import SimKD, reused_classifier
from trainers.errors import InputError
from trainers.fit import fit, seeded_model
from trainers.models import Features, Network, build
from trainers.storage.checkpoint import from_bytes
from trainers.storage.content import tensors_key

torch.set_num_threads(1)

METHODS = ("crd", "ofd", "reviewkd", "simkd", "catkd")
FIELD_PAIRS = (
    ("resnet32x4", "resnet8x4"),
    ("resnet32x4", "ShuffleV1"),
    ("resnet32x4", "ShuffleV2"),
    ("vgg13", "MobileNetV2"),
    ("ResNet50", "vgg8"),
    ("ResNet50", "MobileNetV2"),
    ("wrn_40_2", "ShuffleV1"),
    ("vgg13", "vgg8"),
    ("wrn_40_2", "wrn_16_2"),
)
FAMILIES = ("resnet8", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2", "ResNet18", "MobileNetV1")
SMALL = {"crd": {"negatives": 24, "dim": 16}}
"""Hyperparameters under which a method takes a blink; the others' defaults do."""
STEPS: dict[str, dict[str, Any]] = {"crd": {"lr": 0.01}}
"""How to take a few steps on one batch: with momentum CRD's memories swing for long."""

Inputs = dict[str, Tensor]

# The authors' numbers

CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in index("features/learned")}
ARRAYS = arrays("features/learned")
RENAMED = {"conv1": "narrow", "conv2": "widen", "att_conv": "attention"}
"""The authors' names of a fusion's layers, and ours."""


def _inputs(case: dict[str, Any]) -> Inputs:
    """The case's arrays; those whose gradients are known are leaves."""
    found = {name: ARRAYS[key].clone() for name, key in case["inputs"].items()}
    return {name: value.requires_grad_(name in case["grad_atol"]) for name, value in found.items()}


def _fill(module: nn.Module, inputs: Inputs, prefix: str = "") -> None:
    """Load the inputs ``w:<prefix><key>`` and make them the leaves whose gradients are compared."""
    state = module.state_dict()
    for name in state:
        if not name.endswith("num_batches_tracked"):
            state[name] = inputs[_theirs(prefix, name)].detach()
    module.load_state_dict(state)
    inputs.update({_theirs(prefix, name): parameter for name, parameter in module.named_parameters()})


def _theirs(prefix: str, name: str) -> str:
    parts = [next((old for old, new in RENAMED.items() if new == part), part) for part in name.split(".")]
    return f"w:{prefix}{'.'.join(parts)}"


def _hcl(inputs: Inputs, hyper: dict[str, Any]) -> Tensor:
    return hcl_loss([inputs[f"s{i}"] for i in range(4)], [inputs[f"t{i}"] for i in range(4)])


def _reviewkd(inputs: Inputs, hyper: dict[str, Any]) -> Tensor:
    review = Review(hyper["IN_CHANNELS"], hyper["OUT_CHANNELS"], hyper["MAX_MID_CHANNEL"]).train()
    _fill(review.fusions, inputs)
    stages = {side: tuple(inputs[f"{side}_f{i}"] for i in range(4)) for side in "st"}
    nothing: tuple[Tensor, ...] = ()
    student = Features(torch.empty(0), inputs["s_pool"], stages["s"], nothing)
    teacher = Features(torch.empty(0), inputs["t_pool"], nothing, stages["t"])
    ours, theirs = paired_levels(student, teacher)
    weight: float = hyper["REVIEWKD_WEIGHT"] * ramp(hyper["epoch"], hyper["WARMUP_EPOCHS"])
    return weight * hcl_loss(review(ours, theirs), theirs)


def _ofd(inputs: Inputs, hyper: dict[str, Any]) -> Tensor:
    ours, theirs = ([inputs[f"{side}_f{i}"] for i in (1, 2, 3)] for side in "st")
    margins = [ofd_margins(inputs[f"bn_weight{i}"], inputs[f"bn_bias{i}"]) for i in range(3)]
    connected = []
    for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        connect = connector(mine.shape[1], other.shape[1], hyper["kernel_size"]).train()
        _fill(connect, inputs, f"connectors.{i}.")
        connected.append(connect(mine))
    return ofd_loss(connected, theirs, margins)


LOSSES = {"reviewkd_hcl": _hcl, "reviewkd": _reviewkd, "ofd": _ofd}


def _check_against(case: dict[str, Any], loss: Tensor, inputs: Inputs) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(case["loss_f64"], rel=case["loss_rtol"])
    for name, tolerance in case["grad_atol"].items():
        gradient = inputs[name].grad
        expected = ARRAYS[f"{case['id']}/grad_{name}"]
        found = torch.zeros_like(expected) if gradient is None else gradient  # the authors' first stage is not read
        assert (found - expected).abs().max() <= tolerance, name


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["loss"] in LOSSES])
def test_loss_and_gradients(name: str) -> None:
    case = CASES[name]
    inputs = _inputs(case)
    _check_against(case, LOSSES[case["loss"]](inputs, case["hyper"]), inputs)


def test_ofd_margins() -> None:
    inputs = _inputs(CASES["ofd"])
    for i in range(3):
        margin = ofd_margins(inputs[f"bn_weight{i}"], inputs[f"bn_bias{i}"])
        torch.testing.assert_close(margin, ARRAYS[f"ofd/margin{i}"], rtol=1e-6, atol=1e-7)


def test_crd_over_two_calls() -> None:
    """Loss, gradients, normalisers and both memories; the second call goes on from what the first one left."""
    first = CASES["crd:call1"]
    hyper, start = first["hyper"], _inputs(first)
    memories = Memories(hyper["num_data"], hyper["feat_dim"]).train()
    memories.student.copy_(start["memory_v1"])
    memories.teacher.copy_(start["memory_v2"])
    for case in (first, CASES["crd:call2"]):
        inputs = _inputs(case)
        embedded = []
        for side in "st":
            embed = nn.Linear(inputs[f"f_{side}"].shape[1], hyper["feat_dim"])
            _fill(embed, inputs, f"embed_{side}.linear.")
            embedded.append(unit(embed(inputs[f"f_{side}"]), dim=1))
        assert torch.equal(inputs["contrast_idx"][:, 0], inputs["index"])
        options = {"temperature": hyper["T"], "momentum": hyper["momentum"]}
        _check_against(case, memories(*embedded, inputs["contrast_idx"], **options), inputs)
        after = ARRAYS[f"{case['id']}/params_after"]
        assert after.tolist() == pytest.approx([hyper["K"], hyper["T"], *after[2:4].tolist(), hyper["momentum"]])
        torch.testing.assert_close(memories.log_z.exp(), after[2:4], rtol=1e-5, atol=0)
        torch.testing.assert_close(memories.student, ARRAYS[f"{case['id']}/memory_v1_after"], rtol=0, atol=1e-6)
        torch.testing.assert_close(memories.teacher, ARRAYS[f"{case['id']}/memory_v2_after"], rtol=0, atol=1e-6)


NORMS: dict[str, list[str]] = index("features/last_norms")


@functools.cache
def _shapes(name: str) -> Network:
    """A network without numbers."""
    with torch.device("meta"):
        return build(name, num_classes=10).eval()


@pytest.mark.parametrize("name", NORMS)
def test_last_norms_are_the_authors(name: str) -> None:
    """mdistiller leaves the first stage out where a stem has a pooling; its Tiny-ImageNet names are the CIFAR ones."""
    network = _shapes(name.removeprefix("tiny_imagenet/"))
    names = {module: key for key, module in network.named_modules()}
    found = [names[norm] for norm in network.last_norms()]
    assert found[-len(NORMS[name]) :] == NORMS[name]
    left_out = 1 if name.startswith("imagenet/ResNet") else 0
    assert len(found) == len(NORMS[name]) + left_out


@pytest.mark.parametrize("name", (*FAMILIES, "imagenet/ResNet50"))
@torch.no_grad()
def test_stations_fit_together(name: str) -> None:
    """A norm for each stage, of its channels, and the map in front of the pooling has the classifier's features."""
    network = _shapes(name)
    passed = network.features(torch.empty(2, 3, 32, 32, device="meta"))
    assert passed.unpooled.shape[:2] == (2, network.feature_dim)
    if network.last_norms():
        channels = [norm.num_features for norm in network.last_norms()]
        assert channels == [maps.shape[1] for maps in passed.preactivations[1:]]


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_the_unpooled_map_is_what_pooling_takes(name: str) -> None:
    passed = build(name, num_classes=3).eval().features(torch.randn(2, 3, 32, 32))
    assert torch.equal(passed.unpooled.mean(dim=(2, 3)), passed.pooled)
    assert passed.float().unpooled is passed.unpooled


# Properties


def _maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_equal_maps_give_zero() -> None:
    maps = [_maps(3, 5, 8, 8), _maps(3, 7, 1, 1)]
    assert hcl_loss(maps, [m.clone() for m in maps]) == 0
    assert simkd_loss(maps[0], maps[0].clone()) == 0
    assert ofd_loss(maps, [m.clone() for m in maps], [torch.full((5,), -3.0), torch.full((7,), -3.0)]) == 0
    for normalize in (False, True):
        assert catkd_loss(maps[0], maps[0].clone(), normalize=normalize) == 0


def test_hcl_is_the_mean_of_its_levels() -> None:
    """Maps that differ by a constant differ by it at every level, so the weights cancel."""
    for side in (1, 2, 3, 8):
        maps = _maps(2, 3, side, side)
        assert hcl_loss([maps + 2], [maps]).item() == pytest.approx(4, rel=1e-5)


def test_ofd_leaves_what_both_relus_cut() -> None:
    """Below the margin nothing counts; above, the student is pulled to the teacher, and to the margin at least."""
    margin = torch.tensor([-1.0])
    cases = {
        # student, teacher: distance
        (-2.0, -3.0): 0.0,  # both below the margin
        (-0.5, -3.0): 0.25,  # student above the margin, teacher below: down to the margin
        (-0.2, -0.5): 0.09,  # both between: down to the teacher
        (-0.9, -0.5): 0.0,  # already below the teacher
        (-2.0, 1.0): 9.0,  # the teacher is on
        (3.0, 1.0): 4.0,
    }
    for (student, teacher), expected in cases.items():
        maps = [torch.full((2, 1, 2, 3), value) for value in (student, teacher)]
        found = ofd_loss(maps[:1], maps[1:], [margin])
        assert found.item() == pytest.approx(6 * expected, rel=1e-5), (student, teacher)


def test_ofd_halves_with_every_stage_before_the_last() -> None:
    maps = [torch.ones(2, 1, 1, 1)] * 3
    found = ofd_loss([3 * m for m in maps], maps, [torch.tensor([-1.0])] * 3)
    assert found.item() == pytest.approx(4 * (1 + 0.5 + 0.25))


def test_margins_are_means_of_the_negative_part() -> None:
    """Against the mean of many normal numbers, and for channels that are never, always or constantly negative."""
    drawn = 0.5 + 2 * torch.randn(200_000, generator=torch.Generator().manual_seed(1))
    found = ofd_margins(torch.tensor([-2.0, 0.1, 1.0, 0.0, 0.0, 0.0]), torch.tensor([0.5, 5.0, -30.0, -1.0, 1.0, 0.0]))
    assert found[0].item() == pytest.approx(drawn[drawn < 0].mean().item(), abs=0.02)
    assert found[1:].tolist() == pytest.approx([-0.3, -30.0, -1.0, 0.0, 0.0])


def test_simkd_loss_is_the_mean_squared_difference_at_the_student_s_size() -> None:
    student, teacher = _maps(2, 3, 2, 2), _maps(2, 3, 4, 4, seed=1)
    averaged = teacher.reshape(2, 3, 2, 2, 2, 2).mean(dim=(3, 5))
    expected = ((student - averaged) ** 2).sum() / 24
    assert simkd_loss(student, teacher).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("binarize", [False, True])
def test_catkd_step_by_step(normalize: bool, binarize: bool) -> None:
    """Class by class and pixel by pixel."""
    ours, theirs = _maps(2, 3, 4, 4), _maps(2, 3, 4, 4, seed=1)
    total = 0.0
    for b in range(2):
        for c in range(3):
            taught = theirs[b, c]
            if binarize:
                taught = torch.tensor([[float(v > theirs[b, c].abs().mean()) for v in row] for row in taught])
            corners = [(i, j) for i in (0, 2) for j in (0, 2)]
            pair = [torch.stack([m[i : i + 2, j : j + 2].mean() for i, j in corners]) for m in (ours[b, c], taught)]
            if normalize:
                pair = [m / m.square().sum().sqrt() for m in pair]
            total += (pair[0] - pair[1]).square().sum().item()
    found = catkd_loss(ours, theirs, normalize=normalize, binarize=binarize)
    assert found.item() == pytest.approx(total / 24, rel=1e-5)


def test_the_mean_of_a_class_activation_map_is_its_logit_without_bias() -> None:
    unpooled, weight = _maps(2, 5, 3, 3), _maps(4, 5, seed=1)
    maps = class_activation_maps(unpooled, weight)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), unpooled.mean(dim=(2, 3)) @ weight.T)


def test_crd_loss_is_its_equation() -> None:
    density = torch.rand(4, 9, generator=torch.Generator().manual_seed(0)).double()
    noise = 8 / 40
    own, others = density[:, 0], density[:, 1:]
    is_own, is_noise = own / (own + noise + 1e-7), noise / (others + noise + 1e-7)
    expected = -(is_own.log() + is_noise.log().sum(1)).mean()
    torch.testing.assert_close(crd_loss(density.log(), images=40), expected)


def test_nothing_is_nan_at_zero_and_at_extreme_inputs() -> None:
    """Loss and gradient, with the teacher likewise."""
    for scale in (0.0, 1e-20, 1e6):
        student = (scale * _maps(4, 3, 4, 4)).requires_grad_()
        teacher = scale * _maps(4, 3, 4, 4, seed=1)
        for other in (teacher, student.detach().clone(), torch.zeros_like(teacher)):
            losses = [
                hcl_loss([student], [other]),
                ofd_loss([student], [other], [torch.tensor([-1.0, 0.0, -1e-3])]),
                simkd_loss(student, other),
                *(catkd_loss(student, other, normalize=n, binarize=b) for n in (True, False) for b in (True, False)),
            ]
            for loss in losses:
                (gradient,) = torch.autograd.grad(loss, student)
                assert loss.isfinite()
                assert gradient.isfinite().all()


def test_crd_is_finite_however_cold() -> None:
    """A temperature at which exp(cosine / tau) is far beyond float32."""
    torch.manual_seed(0)
    memories = Memories(20, 4).train()
    contrast = torch.arange(20).reshape(4, 5)
    for zero in (False, True):
        student = (torch.zeros(4, 4) if zero else torch.randn(4, 4)).requires_grad_()
        loss = memories(unit(student, 1), unit(torch.randn(4, 4), 1), contrast, temperature=1e-3)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert gradient.isfinite().all()
    assert memories.student.isfinite().all()


# CRD's draws


def _images(count: int = 40, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Rising indices with gaps, and labels."""
    return 3 * torch.arange(count) + 5, torch.arange(count) % classes


def test_negatives_are_different_images_of_other_classes() -> None:
    indices, labels = _images()
    own = torch.tensor([0, 7, 39])
    drawn = draw_negatives(0, 1, own, indices, labels, negatives=12)
    assert drawn.shape == (3, 12)
    assert (labels[drawn] != labels[own, None]).all()
    assert all(len(set(row)) == 12 for row in drawn.tolist())
    all_others = draw_negatives(0, 1, own, indices, labels, negatives=30)
    assert [sorted(row) for row in all_others.tolist()] == [
        torch.nonzero(labels != label).flatten().tolist() for label in labels[own]
    ]


def test_negatives_are_drawn_by_address() -> None:
    indices, labels = _images()
    own = torch.tensor([0, 7, 39])
    drawn = draw_negatives(0, 1, own, indices, labels, negatives=12)
    torch.rand(5)
    assert torch.equal(draw_negatives(0, 1, own.flip(0), indices, labels, negatives=12).flip(0), drawn)
    assert not torch.equal(draw_negatives(0, 2, own, indices, labels, negatives=12), drawn)
    assert not torch.equal(draw_negatives(1, 1, own, indices, labels, negatives=12), drawn)


def test_negatives_are_drawn_evenly() -> None:
    indices, labels = _images()
    own = torch.arange(40)
    counts = torch.zeros(40)
    for epoch in range(1, 51):
        counts += draw_negatives(0, epoch, own, indices, labels, negatives=6).flatten().bincount(minlength=40)
    # 50 epochs, 30 samples of other classes, each draws 6 of 30: 300 expected, deviation sqrt(300 * 0.8) = 15
    assert (counts - 300).abs().max() < 4 * math.sqrt(300 * 0.8)


# Building


def _setting(teacher: Network, size: int = 32, count: int = 40) -> Setting:
    indices, labels = _images(count)
    return Setting(10, (size, size), teacher, indices, labels, seed=3)


def _built(method: str, student: str, teacher: str, *, size: int = 32, **params: Any) -> Distiller:
    torch.manual_seed(0)
    taught = build(teacher, num_classes=10).eval()
    config = MethodConfig(name=method, params=SMALL.get(method, {}) | params)
    return build_distiller(config, seeded_model(student, 10, seed=0), _setting(taught, size)).train()


def _batch(distiller: Distiller, teacher: Network, *, size: int = 32, count: int = 8, epoch: int = 30) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, size, size, generator=generator)
    indices, _ = _images()
    with torch.no_grad():
        taught = teacher.eval().features(images)
    return Batch(images, torch.arange(count) % 10, indices[:count], epoch, taught)


@pytest.mark.slow(1)
@pytest.mark.parametrize(("teacher", "student"), FIELD_PAIRS)
def test_field_pairs_build_and_train(teacher: str, student: str) -> None:
    """One pass of each network; every method's term is finite and reaches the student and all that is learnt beside."""
    taught, learner = build(teacher, num_classes=10).eval(), build(student, num_classes=10).train()
    setting = _setting(taught, 16)
    images, place = torch.randn(2, 3, 16, 16), setting.index[:2]
    with torch.no_grad():
        theirs = taught.features(images)
    ours = learner.features(images)
    read = [ours.pooled, ours.unpooled, *ours.stages[1:], *ours.preactivations[1:]]
    for method in METHODS:
        distiller = build_distiller(MethodConfig(name=method, params=SMALL.get(method, {})), learner, setting).train()
        term = _term(distiller, ours, Batch(images, torch.arange(2), place, 1, theirs))
        added = [p for name, p in distiller.named_parameters() if name.partition(".")[0] not in ("student", "head")]
        assert bool(added) == (method != "catkd")
        gradients = torch.autograd.grad(term, [*added, *read], retain_graph=True, allow_unused=True)
        assert term.isfinite()
        assert all(gradient is not None for gradient in gradients[: len(added)])
        reached = [gradient for gradient in gradients if gradient is not None]
        assert len(reached) > len(added)
        assert all(gradient.isfinite().all() for gradient in reached)


def _term(distiller: Distiller, ours: Features, batch: Batch) -> Tensor:
    """The distillation term of a pass that is made already."""
    theirs = batch.need_teacher()
    if isinstance(distiller, SimKD):
        return simkd_loss(distiller.predictor.reused(ours).unpooled, theirs.unpooled)
    assert isinstance(distiller, FeatureDistiller)
    (term,) = distiller.terms(ours, theirs, batch).values()
    return term


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("teacher", "student"), [("resnet8x4", "ShuffleV2"), ("wrn_16_2", "MobileNetV2")])
def test_check_builds_pairs_without_memory(method: str, teacher: str, student: str, few: ImageData) -> None:
    config = small_trial(method).model_dump() | {"model": student}
    check(TrialConfig.model_validate(config), few, teacher)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "ofd"])
@pytest.mark.parametrize("teacher", FAMILIES)
def test_every_family_teaches(method: str, teacher: str) -> None:
    setting = _setting(_shapes(teacher))
    with torch.device("meta"):
        assert build_distiller(MethodConfig(name=method), _shapes("resnet8"), setting)


def test_ofd_refuses_a_teacher_without_norms_before_its_relus() -> None:
    with pytest.raises(InputError, match="ofd: the teacher, a ShuffleNetV2, has no batch norm in front of each stage"):
        _built("ofd", "resnet8", "ShuffleV2")


class Flat(Network):
    """A linear classifier of pixels: no stages, and no map that is pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.stage_channels, self.feature_dim = (), 192
        self.head = nn.Linear(192, 10)

    @property
    def classifier(self) -> nn.Linear:
        return self.head

    def features(self, images: Tensor) -> Features:
        pixels = images.flatten(1)
        return Features(self.head(pixels), pixels, (), ())


@pytest.mark.parametrize(
    ("method", "flat_teacher", "words"),
    [
        ("reviewkd", True, "reviewkd compares stages, and a Flat gives 0, not 2 or more"),
        ("ofd", False, "ofd compares stages, and a Flat gives 0, not 2 or more"),
        ("simkd", False, "simkd compares stages, and a Flat gives 0, not 1 or more"),
        ("simkd", True, "simkd reads the map in front of the average pooling, and a Flat has none"),
        ("catkd", False, "catkd reads the map in front of the average pooling, and a Flat has none"),
        ("sdd", False, "sdd reads the map in front of the average pooling, and a Flat has none"),
        ("sdd", True, "sdd reads the map in front of the average pooling, and a Flat has none"),
    ],
)
def test_networks_without_what_a_method_reads_are_refused(method: str, flat_teacher: bool, words: str) -> None:
    flat, other = Flat().eval(), build("resnet8", num_classes=10).eval()
    student, teacher = (other, flat) if flat_teacher else (flat, other)
    with pytest.raises(InputError, match=words):
        build_distiller(MethodConfig(name=method), student, _setting(teacher, 8))
    assert build_distiller(MethodConfig(name="crd"), student, _setting(teacher, 8))


def test_stages_are_paired_from_the_deepest_up() -> None:
    """Three stages learn from the last three of four, with the margins of those."""
    made = _built("ofd", "resnet8", "ResNet18")
    teacher = build("ResNet18", num_classes=10).eval()
    ours, theirs = paired_preactivations(*(net.features(torch.zeros(2, 3, 32, 32)) for net in (made.student, teacher)))
    assert [maps.shape[1] for maps in ours] == [16, 32, 64]
    assert [maps.shape[1] for maps in theirs] == [128, 256, 512]
    assert [len(made.get_buffer(f"margin{i}")) for i in range(3)] == [128, 256, 512]
    ours, theirs = paired_levels(*(net.features(torch.zeros(2, 3, 32, 32)) for net in (made.student, teacher)))
    assert [maps.shape[1:] for maps in ours] == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (64, 1, 1)]
    assert [maps.shape[1:] for maps in theirs] == [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 1, 1)]


def test_crd_takes_as_many_negatives_as_every_class_leaves() -> None:
    indices, labels = torch.arange(10), torch.tensor([0] * 6 + [1] * 4)
    teacher, student = build("resnet8", num_classes=10), build("resnet8", num_classes=10)
    made = build_distiller(MethodConfig(name="crd"), student, Setting(10, (8, 8), teacher, indices, labels))
    assert isinstance(made, CRD)
    assert made.negatives == 4
    for few, words in ((labels[:0], "found none"), (labels[:6], "all training images are of one class")):
        with pytest.raises(InputError, match=words):
            build_distiller(MethodConfig(name="crd"), student, Setting(10, (8, 8), teacher, indices[: len(few)], few))


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("crd", {"temperature": 0}),
        ("crd", {"negatives": 0}),
        ("crd", {"momentum": 1.0}),
        ("ofd", {"kernel_size": 2}),
        ("ofd", {"feature_weight": -1}),
        ("reviewkd", {"mid_channels": 0}),
        ("simkd", {"factor": 0}),
        ("catkd", {"resolution": 0}),
    ],
)
def test_impossible_values_are_refused(method: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _built(method, "resnet8", "resnet8", **params)


# Training


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return Digits(image_size=8).load()


@pytest.fixture(scope="module")
def few(digits: ImageData) -> ImageData:
    return replace(digits, test=digits.test.take(torch.arange(50)))


@pytest.fixture(scope="module")
def taught() -> Network:
    return seeded_model("resnet14", 10, seed=99).eval()


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_reaches_the_teacher(method: str) -> None:
    torch.manual_seed(0)
    teacher = build("resnet14", num_classes=10).eval()
    config = MethodConfig(name=method, params=SMALL.get(method, {}))
    distiller = build_distiller(config, build("resnet8", num_classes=10), _setting(teacher, 8)).train()
    images = torch.randn(8, 3, 8, 8)
    indices, _ = _images()
    before = copy.deepcopy(teacher.state_dict())
    batch = Batch(images, torch.arange(8), indices[:8], 30, teacher.features(images))
    terms = distiller.losses(batch).terms
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_on_the_digits(method: str, digits: ImageData, taught: Network) -> None:
    train = digits.train.take(torch.arange(64))
    torch.manual_seed(0)
    setting = Setting(10, (8, 8), taught, train.index, train.labels, seed=0)
    config = MethodConfig(name=method, params=SMALL.get(method, {}))
    distiller = build_distiller(config, seeded_model("resnet8", 10, seed=0), setting).train()
    learned = [parameter for parameter in distiller.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, **STEPS.get(method, {"lr": 0.02, "momentum": 0.9}))
    weights, losses = distiller.weights(20), []
    (part,) = train.batches([torch.arange(32)])
    for step in range(14):
        images = part.images.float() / 128 - 1
        with torch.no_grad():
            passed = taught.features(images)
        terms = distiller.losses(Batch(images, part.labels, part.index, step + 1, passed)).terms
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(distiller.parameters(), 5.0)
        optimizer.step()
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_trial_goes_on_as_if_never_stopped(
    method: str, few: ImageData, taught: Network, tmp_path: Path
) -> None:
    """The state dict carries all that the next epoch needs: CRD's memories too."""
    config = small_trial(method, SMALL.get(method, {}), epochs=2, samples_per_class=4)
    whole, student = finish(fit(config, data=few, teacher=taught))
    training = fit(config, data=few, teacher=taught, folder=tmp_path)
    next(training)
    training.close()
    results, resumed = finish(fit(config, data=few, teacher=taught, folder=tmp_path))
    assert results == whole
    assert [result.replayed for result in results] == [True, False]
    assert tensors_key(resumed.state_dict()) == tensors_key(student.state_dict())


def test_crd_remembers_in_training_only() -> None:
    made = _built("crd", "resnet8", "resnet14", size=8)
    assert isinstance(made, CRD)
    teacher = build("resnet14", num_classes=10)
    batch = _batch(made, teacher, size=8)
    fresh = copy.deepcopy(made.memories.state_dict())
    made.eval().losses(batch)
    assert all(torch.equal(fresh[key], value) for key, value in made.memories.state_dict().items())
    assert (made.memories.log_z == UNSET).all()
    made.train().losses(batch)
    for name in ("student", "teacher"):
        moved = (made.memories.state_dict()[name] != fresh[name]).any(dim=1)
        assert moved.nonzero().flatten().tolist() == list(range(8))
        norms = made.memories.state_dict()[name][:8].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(8))
    normalisers = made.memories.log_z.clone()
    made.losses(batch)
    assert torch.equal(made.memories.log_z, normalisers)


def test_crd_s_state_dict_goes_round() -> None:
    """A second distiller with other draws, loaded, gives the same loss and the same memories after it."""
    one, other = (_built("crd", "resnet8", "resnet14", size=8) for _ in range(2))
    batch = _batch(one, build("resnet14", num_classes=10), size=8)
    one.losses(batch)
    other.load_state_dict(one.state_dict())
    found = [made.losses(batch).terms["crd"].item() for made in (one, other)]
    assert found[0] == found[1]
    assert tensors_key(one.state_dict()) == tensors_key(other.state_dict())


def test_frozen_copies_of_the_teacher_are_not_its_own() -> None:
    teacher = build("resnet14", num_classes=10).eval()
    simkd, catkd = (
        build_distiller(MethodConfig(name=name), build("resnet8", num_classes=10), _setting(teacher, 8))
        for name in ("simkd", "catkd")
    )
    assert isinstance(simkd, SimKD)
    assert isinstance(catkd, CATKD)
    assert simkd.head is not teacher.classifier
    assert not any(parameter.requires_grad for parameter in simkd.head.parameters())
    assert catkd.teacher_weight.data_ptr() != teacher.classifier.weight.data_ptr()
    assert torch.equal(catkd.teacher_weight, teacher.classifier.weight)


# SimKD's predictor


def test_simkd_step_by_step() -> None:
    """A teacher whose map is smaller: the student's is averaged, projected, pooled and classified."""
    torch.manual_seed(0)
    teacher = build("vgg8", num_classes=10).eval()
    made = build_distiller(MethodConfig(name="simkd"), build("resnet8", num_classes=10), _setting(teacher, 32)).eval()
    assert isinstance(made, SimKD)
    batch = _batch(made, teacher)
    with torch.no_grad():
        last = made.student.features(batch.images).stages[-1]  # [8, 64, 8, 8]
        projected = made.projector(last.reshape(8, 64, 4, 2, 4, 2).mean(dim=(3, 5)))
        logits = projected.flatten(2).mean(2) @ teacher.classifier.weight.T + teacher.classifier.bias
        losses = made.losses(batch)
    target = batch.need_teacher().stages[-1]
    assert projected.shape == target.shape
    torch.testing.assert_close(losses.terms["simkd"], (projected - target).square().mean())
    torch.testing.assert_close(losses.logits, logits)
    torch.testing.assert_close(losses.terms["ce"], F.cross_entropy(logits, batch.targets))
    torch.testing.assert_close(made.predictor(batch.images), logits)


def test_simkd_s_predictor_is_a_network() -> None:
    made = _built("simkd", "resnet8", "ShuffleV2").predictor.eval()
    with torch.no_grad():
        passed = made.features(torch.randn(2, 3, 32, 32))
    assert passed.pooled.shape == (2, made.feature_dim) == (2, 1024)
    assert torch.equal(made.classifier(passed.pooled), passed.logits)
    assert torch.equal(passed.unpooled.mean(dim=(2, 3)), passed.pooled)
    assert tuple(maps.shape[1] for maps in passed.stages) == made.stage_channels


def test_simkd_s_weights_load_into_what_their_file_names(few: ImageData, taught: Network, tmp_path: Path) -> None:
    config = small_trial("simkd", {"factor": 4}, epochs=1)
    _, student = finish(fit(config, data=few, teacher=taught, folder=tmp_path))
    content = from_bytes((tmp_path / "weights.pt").read_bytes(), "weights")
    assert content["method"]["name"] == "simkd"
    plain, teacher = (build(content[role], num_classes=10) for role in ("architecture", "teacher"))
    rebuilt = reused_classifier(plain, teacher, (8, 8), factor=content["method"]["params"]["factor"]).eval()
    rebuilt.load_state_dict(content["state_dict"])
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(rebuilt(images), student(images))
    assert torch.equal(rebuilt.classifier.weight, taught.classifier.weight)


def test_the_other_methods_weights_are_the_bare_student_s(few: ImageData, taught: Network, tmp_path: Path) -> None:
    config = small_trial("reviewkd", epochs=1)
    finish(fit(config, data=few, teacher=taught, folder=tmp_path))
    content = from_bytes((tmp_path / "weights.pt").read_bytes(), "weights")
    assert (content["architecture"], content["teacher"]) == ("resnet8", "resnet14")
    build("resnet8", num_classes=10).load_state_dict(content["state_dict"])
