"""Which parameters' weights decay: all, or as timm groups them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trainers.config import MethodConfig, Recipe
from trainers.distillers import Batch, Distiller, Setting, build_distiller
from trainers.errors import InputError
from trainers.loop.optimizers import optimizer_of
from trainers.loop.parameters import groups_of
from trainers.loop.step import step
from trainers.loop.weighing import Weighing
from trainers.training import seeded_model

SPARING = Recipe(decay_norms_and_biases=False, weight_decay=0.2)


def around(model: str) -> Distiller:
    """A method that adds a head to the student."""
    return build_distiller(MethodConfig(name="dhkd"), seeded_model(model, 10, seed=0), Setting(10))


def names(distiller: Distiller, decay: float) -> set[str]:
    """Of the parameters that decay so much."""
    ids = {
        id(one)
        for group in groups_of(distiller, SPARING)
        if group.get("weight_decay", 0.2) == decay
        for one in group["params"]
    }
    return {name for name, parameter in distiller.named_parameters() if id(parameter) in ids}


def test_norms_and_biases_are_spared_and_nothing_else() -> None:
    distiller = around("resnet8")
    expected = set()
    for name, module in distiller.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            expected |= {f"{name}.weight", f"{name}.bias"}
        elif isinstance(module, nn.Linear):
            expected.add(f"{name}.bias")
    assert names(distiller, 0.0) == expected
    assert names(distiller, 0.2) == {name for name, _ in distiller.named_parameters()} - expected


@pytest.mark.parametrize("model", ["deit_tiny_patch16_224", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_timm_s_networks_are_grouped_as_timm_groups_them(model: str) -> None:
    optim = pytest.importorskip("timm.optim")
    with torch.device("meta"):
        student = seeded_model(f"timm:{model}", 10, seed=0)
    distiller = build_distiller(MethodConfig(name="scratch"), student, Setting(10))
    network: Any = student.network
    named = getattr(network, "no_weight_decay", set)()
    groups = optim.param_groups_weight_decay(network, 0.2, no_weight_decay_list=named)
    theirs = {id(one) for group in groups if group["weight_decay"] == 0 for one in group["params"]}
    expected = {f"student.network.{name}" for name, one in network.named_parameters() if id(one) in theirs}
    assert expected
    assert names(distiller, 0.0) == expected


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_without_gradient_shrinks_what_decays_alone(optimizer: str) -> None:
    distiller = around("resnet8")
    before = {name: parameter.detach().clone() for name, parameter in distiller.named_parameters()}
    stepping = optimizer_of(
        distiller, Recipe.model_validate(SPARING.model_dump() | {"optimizer": optimizer, "lr": 0.5})
    )
    for parameter in distiller.parameters():
        parameter.grad = torch.zeros_like(parameter)
    stepping.step()
    decayed = names(distiller, 0.2)
    for name, parameter in distiller.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * (0.9 if name in decayed else 1.0))


@pytest.mark.parametrize(
    "model", ["deit_tiny_patch16_224", "convnext_atto", "swin_tiny_patch4_window7_224", "resnet18"]
)
def test_layers_learn_as_fast_as_timm_has_it(model: str) -> None:
    optim = pytest.importorskip("timm.optim")
    with torch.device("meta"):
        student = seeded_model(f"timm:{model}", 10, seed=0)
        distiller = build_distiller(MethodConfig(name="dhkd"), student, Setting(10))
    network: Any = student.network
    named = getattr(network, "no_weight_decay", set)()
    theirs = {
        id(one): (group["lr_scale"], group["weight_decay"])
        for group in optim.param_groups_layer_decay(network, 0.2, no_weight_decay_list=named, layer_decay=0.75)
        for one in group["params"]
    }
    recipe = Recipe(layer_decay=0.75, decay_norms_and_biases=False, weight_decay=0.2)
    ours = {
        id(one): (group["lr_scale"], group.get("weight_decay", 0.2))
        for group in groups_of(distiller, recipe)
        for one in group["params"]
    }
    assert {key: ours[key] for key in theirs} == theirs
    added = [ours[id(one)][0] for name, one in distiller.named_parameters() if name.startswith("aux_head")]
    assert added
    assert set(added) == {1.0}


def test_a_step_s_rate_is_the_layer_s_share_of_it() -> None:
    distiller = build_distiller(MethodConfig(name="scratch"), seeded_model("timm:test_vit", 10, seed=0), Setting(10))
    stepping = optimizer_of(distiller, Recipe(layer_decay=0.5))
    images, targets = torch.randn(2, 3, 32, 32), torch.tensor([1, 2])
    terms = distiller.train().losses(Batch(images, targets, targets, 1)).terms
    step(distiller, stepping, terms, Weighing({"ce": 1.0}, torch.device("cpu")), 0.08)
    rates = sorted({group["lr"] for group in stepping.param_groups})
    assert rates[-1] == 0.08
    assert rates == [0.08 * 0.5**depth for depth in range(len(rates) - 1, -1, -1)]
    assert len(rates) == 8  # the embedding, six blocks and the head


def test_a_network_of_no_known_layers_is_refused() -> None:
    with pytest.raises(InputError, match="needs one of timm's networks"):
        groups_of(around("resnet8"), Recipe(layer_decay=0.5))
