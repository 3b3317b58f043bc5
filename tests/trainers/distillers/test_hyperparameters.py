"""Every hyperparameter of every method reaches its loss, and with the meaning that the plain function gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from trainers.config import MethodConfig
from trainers.distillers import (
    METHODS,
    Batch,
    Distiller,
    Setting,
    View,
    abkd_dkd_loss,
    abkd_loss,
    at_loss,
    binary_kl_norm_loss,
    build_distiller,
    catkd_loss,
    crld_loss,
    dho_loss,
    dist_loss,
    dkd_loss,
    fitnet_loss,
    gdkd3_loss,
    gdkd_loss,
    hcl_loss,
    kd_loss,
    la_loss,
    ldrld_loss,
    lr_loss,
    lskd_loss,
    mlkd_loss,
    nkd_loss,
    normkd_dkd_loss,
    normkd_loss,
    nst_loss,
    ofd_loss,
    pkt_loss,
    rc_loss,
    rkd_loss,
    rld_loss,
    sdd_loss,
    simkd_loss,
    sld_loss,
    sp_loss,
    standardize,
    tekap_loss,
    ttm_loss,
    vid_loss,
    wkd_loss,
)
from trainers.distillers.catkd import class_activation_maps
from trainers.distillers.crd import draw_negatives
from trainers.distillers.ctkd import reversal, reversed_gradient
from trainers.distillers.feature_maps import paired_stages, pooled_alike, unit
from trainers.distillers.kd import soft_kl
from trainers.distillers.mlkd import strong_kd_loss
from trainers.distillers.ofd import paired_preactivations
from trainers.distillers.reviewkd import paired_levels
from trainers.distillers.sdd import region_logits
from trainers.distillers.tekap import draw_noise
from trainers.distillers.wkd import decay
from trainers.fit import seeded_model
from trainers.models import Features, Network

Params = Mapping[str, Any]

EPOCH = 7
"""In the middle of all warm-ups."""
IMAGES = 12
INDEX = torch.arange(0, 80, 2)
LABELS = torch.arange(40) % 10

WARMED = {"ce_weight": 0.3, "temperature": 2.5, "warmup_epochs": 10}
GROUPED = WARMED | {"w0": 2.0, "w1": 3.0, "w2": 2.0, "standardize": True}
WEIGHTS = {"ce_weight": 0.3, "feature_weight": 2.0}
OTHERWISE: dict[str, Params] = {
    "scratch": {},
    "kd": {"ce_weight": 0.3, "alpha": 0.5, "temperature": 2.5},
    "dhkd": {
        "main": "kd",
        "ce_weight": 0.3,
        "alpha": 0.5,
        "temperature": 3.0,
        "head": "nonlinear",
        "aux_loss": "kl",
        "align": True,
        "hidden": 50,
        "dropout": 0.5,
        "init": "zeros",
        "alpha_epochs": 3,
    },
    "dkd": WARMED | {"alpha": 2.0, "beta": 3.0, "partition": "top1", "kl": "reverse", "standardize": True},
    "gdkd": GROUPED | {"k": 3, "partition": "worst", "kl": "reverse"},
    "gdkd3": GROUPED | {"k": 3},
    "dist": {"ce_weight": 0.3, "beta": 3.0, "gamma": 5.0, "temperature": 2.5},
    "lskd": {"ce_weight": 0.3, "kd_weight": 2.0, "temperature": 3.0},
    "nkd": {"ce_weight": 0.3, "target_weight": 2.0, "gamma": 3.0, "temperature": 2.0},
    "ttm": {"ce_weight": 0.3, "beta": 3.0, "gamma": 0.6},
    "wttm": {"ce_weight": 0.3, "beta": 3.0, "gamma": 0.6},
    "rld": WARMED | {"alpha": 2.0, "beta": 3.0, "confidence_temperature": 3.0, "standardize": True},
    "la": {"ce_weight": 0.3, "kd_weight": 2.0, "temperature": 2.5},
    "rc": {"ce_weight": 0.3, "kd_weight": 2.0, "self_weight": 3.0, "temperature": 2.5, "standardize": True},
    "lr_revision": {
        "ce_weight": 0.3,
        "right_weight": 2.0,
        "logit_weight": 3.0,
        "revised_weight": 50.0,
        "eta": 0.3,
    },
    "abkd": {
        "ce_weight": 0.3,
        "kd_weight": 20.0,
        "alpha": 0.0,
        "beta": 1.0,
        "temperature": 2.5,
        "standardize": True,
    },
    "abkd_dkd": WARMED | {"alpha": 2.0, "beta": 3.0, "ab_alpha": 0.0, "ab_beta": 1.0},
    "normkd": {"ce_weight": 0.3, "kd_weight": 2.0, "temperature": 2.5},
    "normkd_dkd": WARMED | {"alpha": 2.0, "beta": 3.0},
    "ldrld": {"ce_weight": 0.3, "alpha": 2.0, "beta": 3.0, "k": 4, "temperature": 2.5},
    "wkd": {
        "ce_weight": 0.3,
        "target_weight": 2.0,
        "wkd_weight": 50.0,
        "temperature": 2.5,
        "sharpen": 2.0,
        "regularization": 0.1,
        "rounds": 2,
        "decay_start": 3,
        "decay_end": 10,
    },
    "ctkd": {"ce_weight": 0.3, "kd_weight": 2.0, "least": 2.0, "span": 5.0, "init": -1.0, "curriculum_epochs": 0},
    "mlkd": {
        "ce_weight": 0.3,
        "kd_weight": 2.0,
        "temperatures": (2, 7),
        "conf": 0.2,
        "class_conf": 0.2,
        "mask": False,
        "views": "weak",
        "strong": "all",
    },
    "sld": {"ce_weight": 0.3, "kd_weight": 2.0, "temperatures": (2, 7), "start": 10, "detach": True},
    "crld": {
        "ce_weight": 0.3,
        "within_weight": 3.0,
        "cross_weight": 3.0,
        "temperature": 2.5,
        "weak_threshold": 0.1,
        "strong_threshold": 0.99,
    },
    "dho": {"ce_weight": 0.3, "kd_weight": 2.0, "temperature": 3.0, "alpha": 0.9, "beta": 2.0},
    "sdd": WARMED
    | {
        "around": "kd",
        "alpha": 2.0,
        "beta": 3.0,
        "finest": 2,
        "disagreement": 5.0,
        "nkd_classes": "others",
    },
    "tekap": {
        "ce_weight": 0.3,
        "kd_weight": 2.0,
        "temperature": 2.5,
        "draws": 5,
        "mix": 0.4,
        "perturbed_weight": 2.0,
    },
    "fitnet": WEIGHTS | {"hint_stage": 1, "relu": False},
    "at": WEIGHTS | {"p": 4},
    "nst": WEIGHTS,
    "sp": WEIGHTS,
    "pkt": WEIGHTS | {"eps": 0.1},
    "rkd": {"ce_weight": 0.3, "distance_weight": 2.0, "angle_weight": 3.0, "squared": True, "eps": 1e3},
    "vid": WEIGHTS | {"init_variance": 2.0, "eps": 1.0},
    "crd": {"ce_weight": 0.3, "crd_weight": 2.0, "dim": 16, "negatives": 5, "temperature": 0.5, "momentum": 0.1},
    "ofd": WEIGHTS | {"kernel_size": 3},
    "reviewkd": {
        "ce_weight": 0.3,
        "reviewkd_weight": 2.0,
        "warmup_epochs": 10,
        "mid_channels": 16,
        "student_preactivations": True,
    },
    "simkd": {"ce_weight": 0.3, "simkd_weight": 2.0, "factor": 4},
    "catkd": {"ce_weight": 0.3, "cat_weight": 2.0, "resolution": 1, "normalize": False, "binarize": True},
}
"""For every hyperparameter of every method, a value that is not its default."""
BESIDE: dict[tuple[str, str], Params] = {
    ("dhkd", "hidden"): {"head": "nonlinear"},
    ("dhkd", "dropout"): {"head": "nonlinear"},
    ("crld", "within_weight"): {"weak_threshold": 0.0},  # the untrained teacher is not sure enough
    ("sdd", "nkd_classes"): {"around": "nkd"},
    ("wkd", "decay_start"): {"decay_end": 10},
    ("wkd", "decay_end"): {"decay_start": 3},
    ("sld", "start"): {"start": 3},
    ("sld", "detach"): {"start": 3},
}
"""What must be set for a hyperparameter to count; its own default is compared otherwise."""
PREDICTS = {("dho", "alpha"), ("dho", "beta")}
"""Hyperparameters of the prediction, which the loss does not know."""
FIELDS = [(name, field) for name, method in METHODS.items() for field in method.Params.model_fields]


@dataclass(frozen=True)
class Seen:
    """One step, as the plain functions read it."""

    method: Distiller
    """Another one of the same hyperparameters and seed, for the layers that it adds to the student."""
    student: Features
    teacher: Features
    strong_student: Features
    strong_teacher: Features
    targets: Tensor
    index: Tensor

    @property
    def logits(self) -> tuple[Tensor, Tensor]:
        return self.student.logits, self.teacher.logits

    @property
    def strong_logits(self) -> tuple[Tensor, Tensor]:
        return self.strong_student.logits, self.strong_teacher.logits

    @property
    def stages(self) -> tuple[Any, Any]:
        return paired_stages(self.student, self.teacher)


def only(params: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(params, name) for name in names}


def risen(params: Any) -> float:
    return min(EPOCH / params.warmup_epochs, 1.0)


def scores(params: Any, seen: Seen) -> tuple[Tensor, Tensor]:
    """Logits, standardised where the method is asked to."""
    student, teacher = seen.logits
    return (standardize(student), standardize(teacher)) if params.standardize else (student, teacher)


def dhkd(params: Any, seen: Seen) -> Tensor:
    """The main head's cross-entropy is weighed as every method's; `main: kd` weighs it once more."""
    method: Any = seen.method
    student, teacher = seen.logits
    aux = student if method.aux_head is None else method.aux_head(seen.student.pooled)
    loss = {"binary_kl_norm": binary_kl_norm_loss, "kl": kd_loss}[params.aux_loss]
    over = params.alpha_epochs is not None and params.alpha_epochs < EPOCH
    total = (0.0 if over else params.alpha) * loss(aux, teacher, temperature=params.temperature)
    if params.main.name == "kd":
        main = 0.9 * kd_loss(student, teacher) + (0.1 - 1) * F.cross_entropy(student, seen.targets)
        total = total + params.ce_weight * main
    return total


def nkd(params: Any, seen: Seen) -> Tensor:
    share = params.gamma / params.target_weight
    return params.target_weight * nkd_loss(*seen.logits, seen.targets, gamma=share, temperature=params.temperature)


def wkd(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    given = only(params, "target_weight", "temperature", "sharpen", "regularization", "rounds")
    weight = params.wkd_weight * decay(EPOCH, params.decay_start, params.decay_end)
    return wkd_loss(*seen.logits, seen.targets, method.distances, wkd_weight=weight, **given)


def ctkd(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    theta = reversed_gradient(method.theta, reversal(EPOCH, params.curriculum_epochs))
    return params.kd_weight * soft_kl(*seen.logits, params.least + params.span * theta.sigmoid())


def mlkd(params: Any, seen: Seen) -> Tensor:
    weak = mlkd_loss(*seen.logits, **only(params, "temperatures", "conf", "class_conf", "mask"))
    if params.views == "weak":
        return params.kd_weight * weak
    on_weak = (2, 6) if params.strong == "released" else ()
    given = {"temperatures": params.temperatures, "read_on_weak": on_weak}
    strong = strong_kd_loss(*seen.logits, *seen.strong_logits, **given)
    return params.kd_weight * (weak + strong) + params.ce_weight * F.cross_entropy(
        seen.strong_student.logits, seen.targets
    )


def sld(params: Any, seen: Seen) -> Tensor:
    given = only(params, "start", "temperatures", "detach")
    kd = sld_loss(*seen.logits, *seen.strong_logits, seen.targets, epoch=EPOCH, **given)
    return params.kd_weight * kd + params.ce_weight * F.cross_entropy(seen.strong_student.logits, seen.targets)


def crld(params: Any, seen: Seen) -> Tensor:
    names = ("within_weight", "cross_weight", "temperature", "weak_threshold", "strong_threshold")
    kd = crld_loss(*seen.logits, *seen.strong_logits, **only(params, *names))
    return kd + params.ce_weight * F.cross_entropy(seen.strong_student.logits, seen.targets)


def dho(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    distilled = method.aux_head(seen.student.pooled)
    return params.kd_weight * dho_loss(distilled, seen.teacher.logits, temperature=params.temperature)


def sdd(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    head = method.student.classifier
    ours = region_logits(seen.student.unpooled, head.weight, head.bias, finest=params.finest)
    theirs = region_logits(seen.teacher.unpooled, method.teacher_weight, method.teacher_bias, finest=params.finest)
    names = ("around", "alpha", "beta", "temperature", "disagreement", "nkd_classes")
    return risen(params) * sdd_loss(ours, theirs, seen.targets, **only(params, *names))


def tekap(params: Any, seen: Seen) -> Tensor:
    noise = draw_noise(0, EPOCH, seen.index, draws=params.draws, classes=10)
    return params.kd_weight * tekap_loss(*seen.logits, noise, **only(params, "temperature", "mix", "perturbed_weight"))


def fitnet(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    student, teacher = (passed.stages[params.hint_stage] for passed in (seen.student, seen.teacher))
    return params.feature_weight * fitnet_loss(method.regressor(student), teacher)


def vid(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    total = torch.zeros(())
    for predictor, *maps in zip(method.predictors, *seen.stages, strict=True):
        student, teacher = pooled_alike(*maps)
        total = total + vid_loss(predictor.mean(student), teacher, predictor.log_scale, eps=params.eps)
    return params.feature_weight * total


def crd(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    ours = unit(method.embed_student(seen.student.pooled), dim=1)
    theirs = unit(method.embed_teacher(seen.teacher.pooled), dim=1)
    own = torch.searchsorted(INDEX, seen.index)
    fewest = 36  # images of the other nine classes
    drawn = draw_negatives(0, EPOCH, own, INDEX, LABELS, negatives=min(params.negatives, fewest))
    contrast = torch.cat([own[:, None], drawn], dim=1)
    return params.crd_weight * method.memories(ours, theirs, contrast, **only(params, "temperature", "momentum"))


def ofd(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    ours, theirs = paired_preactivations(seen.student, seen.teacher)
    connected = [connect(maps) for connect, maps in zip(method.connectors, ours, strict=True)]
    margins = [method.get_buffer(f"margin{stage}") for stage in range(len(ours))]
    return params.feature_weight * ofd_loss(connected, theirs, margins)


def reviewkd(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    ours, theirs = paired_levels(seen.student, seen.teacher, before_relu=params.student_preactivations)
    return risen(params) * params.reviewkd_weight * hcl_loss(method.review(ours, theirs), theirs)


def catkd(params: Any, seen: Seen) -> Tensor:
    method: Any = seen.method
    ours = class_activation_maps(seen.student.unpooled, method.student.classifier.weight)
    theirs = class_activation_maps(seen.teacher.unpooled, method.teacher_weight)
    return params.cat_weight * catkd_loss(ours, theirs, **only(params, "resolution", "normalize", "binarize"))


GDKD = ("k", "w0", "w1", "w2", "temperature")
BESIDES_THE_LABELS: dict[str, Callable[[Any, Seen], Tensor]] = {
    "scratch": lambda p, seen: torch.zeros(()),
    "kd": lambda p, seen: p.alpha * kd_loss(*seen.logits, temperature=p.temperature),
    "dhkd": dhkd,
    "dkd": lambda p, seen: (
        risen(p)
        * dkd_loss(*scores(p, seen), seen.targets, **only(p, "alpha", "beta", "temperature", "partition", "kl"))
    ),
    "gdkd": lambda p, seen: risen(p) * gdkd_loss(*scores(p, seen), **only(p, *GDKD, "partition", "kl")),
    "gdkd3": lambda p, seen: risen(p) * gdkd3_loss(*scores(p, seen), **only(p, *GDKD)),
    "dist": lambda p, seen: dist_loss(*seen.logits, **only(p, "beta", "gamma", "temperature")),
    "lskd": lambda p, seen: p.kd_weight * lskd_loss(*seen.logits, temperature=p.temperature),
    "nkd": nkd,
    "ttm": lambda p, seen: p.beta * ttm_loss(*seen.logits, gamma=p.gamma),
    "wttm": lambda p, seen: p.beta * ttm_loss(*seen.logits, gamma=p.gamma, weighted=True),
    "rld": lambda p, seen: (
        risen(p)
        * rld_loss(
            *seen.logits,
            seen.targets,
            **only(p, "alpha", "beta", "temperature", "confidence_temperature", "standardize"),
        )
    ),
    "la": lambda p, seen: p.kd_weight * la_loss(*seen.logits, seen.targets, temperature=p.temperature),
    "rc": lambda p, seen: rc_loss(
        *seen.logits, seen.targets, **only(p, "kd_weight", "self_weight", "temperature", "standardize")
    ),
    "lr_revision": lambda p, seen: lr_loss(
        *seen.logits, seen.targets, **only(p, "right_weight", "logit_weight", "revised_weight", "eta")
    ),
    "abkd": lambda p, seen: (
        p.kd_weight * abkd_loss(*seen.logits, **only(p, "alpha", "beta", "temperature", "standardize"))
    ),
    "abkd_dkd": lambda p, seen: (
        risen(p)
        * abkd_dkd_loss(*seen.logits, seen.targets, **only(p, "alpha", "beta", "ab_alpha", "ab_beta", "temperature"))
    ),
    "normkd": lambda p, seen: p.kd_weight * normkd_loss(*seen.logits, temperature=p.temperature),
    "normkd_dkd": lambda p, seen: (
        risen(p) * normkd_dkd_loss(*seen.logits, seen.targets, **only(p, "alpha", "beta", "temperature"))
    ),
    "ldrld": lambda p, seen: ldrld_loss(*seen.logits, **only(p, "alpha", "beta", "k", "temperature")),
    "wkd": wkd,
    "ctkd": ctkd,
    "mlkd": mlkd,
    "sld": sld,
    "crld": crld,
    "dho": dho,
    "sdd": sdd,
    "tekap": tekap,
    "fitnet": fitnet,
    "at": lambda p, seen: p.feature_weight * at_loss(*seen.stages, p=p.p),
    "nst": lambda p, seen: p.feature_weight * nst_loss(*seen.stages),
    "sp": lambda p, seen: p.feature_weight * sp_loss(seen.student.stages[-1:], seen.teacher.stages[-1:]),
    "pkt": lambda p, seen: p.feature_weight * pkt_loss(seen.student.pooled, seen.teacher.pooled, eps=p.eps),
    "rkd": lambda p, seen: rkd_loss(
        seen.student.pooled, seen.teacher.pooled, **only(p, "distance_weight", "angle_weight", "squared", "eps")
    ),
    "vid": vid,
    "crd": crd,
    "ofd": ofd,
    "reviewkd": reviewkd,
    "simkd": lambda p, seen: p.simkd_weight * simkd_loss(seen.student.unpooled, seen.teacher.unpooled),
    "catkd": catkd,
}
"""The loss without the cross-entropy of the weak view, out of plain functions that are given the hyperparameters."""


# -- a step, by the class and by the functions


@dataclass(frozen=True)
class World:
    """Two untrained networks and what they make of the two views of a batch."""

    student: Network
    teacher: Network
    images: tuple[Tensor, Tensor]
    students: tuple[Features, Features]
    teachers: tuple[Features, Features]


@cache
@torch.no_grad()
def world() -> World:
    student, teacher = seeded_model("resnet8", 10, seed=0), seeded_model("resnet14", 10, seed=99)
    weak, strong = torch.randn(2, IMAGES, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    taught = (teacher.eval().features(images) for images in (weak, strong))
    sure = [passed._replace(logits=passed.logits * 3) for passed in taught]
    students = (student.features(weak), student.features(strong))
    return World(student, teacher, (weak, strong), students, (sure[0], sure[1]))


def leaves(passed: Features) -> Features:
    """The same stations, each with a gradient of its own."""
    alone = (passed.logits, passed.pooled, passed.unpooled)
    logits, pooled, unpooled = (station.clone().requires_grad_() for station in alone)
    both = (passed.stages, passed.preactivations)
    stages, before = (tuple(station.clone().requires_grad_() for station in maps) for maps in both)
    return Features(logits, pooled, stages, before, unpooled)


def made(name: str, params: Params) -> Distiller:
    torch.manual_seed(0)
    setting = Setting(10, image_size=(8, 8), teacher=world().teacher, index=INDEX, labels=LABELS)
    return build_distiller(MethodConfig(name=name, params=dict(params)), world().student, setting).train()


def by_the_class(method: Distiller) -> Tensor:
    weak, strong = (View(*seen) for seen in zip(world().images, world().teachers, strict=True))
    batch = Batch(weak.images, LABELS[:IMAGES], INDEX[:IMAGES], EPOCH, weak.teacher, strong)
    weights = method.weights(EPOCH)
    return torch.stack([weights[name] * term for name, term in method.losses(batch).terms.items()]).sum()


def by_the_functions(name: str, method: Distiller) -> Tensor:
    student, strong_student = (method.labelled.features(images) for images in world().images)
    teacher, strong_teacher = world().teachers
    seen = Seen(method, student, teacher, strong_student, strong_teacher, LABELS[:IMAGES], INDEX[:IMAGES])
    params: Any = getattr(method, "params", None)
    ce = F.cross_entropy(student.logits, seen.targets)
    return getattr(params, "ce_weight", 1.0) * ce + BESIDES_THE_LABELS[name](params, seen)


def two_steps(method: Distiller, loss: Callable[[Distiller], Tensor]) -> dict[str, Tensor]:
    """The values of one step, taken twice (a method may remember the first), and the gradients by all that the second
    one reads: the student's stations and the layers that the method adds."""
    weak, strong = map(leaves, world().students)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method.student, "features", lambda images: weak if images is world().images[0] else strong)
        for step in ("first", "second"):
            torch.manual_seed(1)  # dropout
            total = loss(method)
            found[step] = total.detach()
    read = {key: parameter for key, parameter in method.named_parameters() if parameter.requires_grad}
    for view, passed in (("weak", weak), ("strong", strong)):
        stations = (passed.logits, passed.pooled, passed.unpooled, *passed.stages, *passed.preactivations)
        read |= {f"{view} station {place}": station for place, station in enumerate(stations)}
    gradients = torch.autograd.grad(total, list(read.values()), allow_unused=True)
    return found | {key: gradient for key, gradient in zip(read, gradients, strict=True) if gradient is not None}


@cache
def as_it_is(name: str, *beside: tuple[str, Any]) -> tuple[dict[str, Tensor], frozenset[str], Tensor]:
    """The steps of a method, its anchors, and what it predicts."""
    method = made(name, dict(beside))
    return two_steps(method, by_the_class), method.anchors, predicted(method)


@torch.no_grad()
def predicted(method: Distiller) -> Tensor:
    return method.eval().predictor(world().images[0])


def apart(one: dict[str, Tensor], other: dict[str, Tensor], share: float) -> list[str]:
    """What differs by more than `share` of its size, by name."""
    names = [key for key in one.keys() & other.keys() if one[key].shape == other[key].shape]
    far = [key for key in names if (one[key] - other[key]).norm() > share * other[key].norm() + 1e-7]
    return sorted(far + [key for key in one.keys() | other.keys() if key not in names])


def test_every_hyperparameter_has_another_value_here() -> None:
    here = {(name, field) for name, values in OTHERWISE.items() for field in values}
    assert here == set(FIELDS)
    assert set(BESIDES_THE_LABELS) == set(METHODS)
    for name, field in here:
        default = BESIDE.get((name, field), {}).get(field, getattr(METHODS[name].Params(), field))
        assert OTHERWISE[name][field] != default


@pytest.mark.parametrize("name", METHODS)
def test_by_default_a_method_s_loss_is_the_function_of_its_hyperparameters(name: str) -> None:
    found, *_ = as_it_is(name)
    assert apart(found, two_steps(made(name, {}), lambda method: by_the_functions(name, method)), 1e-4) == []


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_hyperparameter_moves_the_loss_as_the_function_says(name: str, field: str) -> None:
    beside = BESIDE.get((name, field), {})
    params = {**beside, field: OTHERWISE[name][field]}
    method = made(name, params)
    found, (before, *others) = two_steps(method, by_the_class), as_it_is(name, *beside.items())
    anchors, prediction = others
    moved = apart(found, before, 1e-3) or method.anchors != anchors
    assert moved or (name, field) in PREDICTS
    assert (name, field) not in PREDICTS or (predicted(method) - prediction).abs().max() > 0.01
    assert apart(found, two_steps(made(name, params), lambda twin: by_the_functions(name, twin)), 1e-4) == []
