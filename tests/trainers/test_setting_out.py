"""What a trial sets out with: the optimiser that its recipe describes, and torch's random numbers of each epoch."""

from __future__ import annotations

import torch
from torch import nn

from trainers.config import MethodConfig, Recipe
from trainers.distillers import Distiller, Setting, build_distiller
from trainers.loop.data_parallel import ALONE, Group
from trainers.loop.optimizers import optimizer_of
from trainers.training import _seed_torch, seeded_model


def method() -> Distiller:
    """One that adds a head to the student."""
    return build_distiller(MethodConfig(name="dhkd"), seeded_model("resnet8", 10, seed=0), Setting(10))


def test_the_optimiser_has_all_that_the_recipe_says_of_it_and_all_parameters() -> None:
    distiller = method()
    optimizer = optimizer_of(distiller, Recipe(lr=0.3, momentum=0.7, nesterov=True, weight_decay=0.02))
    (group,) = optimizer.param_groups
    said = {"lr": 0.3, "momentum": 0.7, "nesterov": True, "weight_decay": 0.02}
    assert {name: group[name] for name in said} == said
    assert set(map(id, group["params"])) == set(map(id, distiller.parameters()))


def test_the_optimiser_steps_as_the_recipe_says() -> None:
    """Two steps of gradient 1 on a parameter that starts at 1, by the formulas of Sutskever et al."""
    for nesterov in (False, True):
        distiller = method()
        parameter = next(distiller.parameters())
        nn.init.ones_(parameter)
        optimizer = optimizer_of(distiller, Recipe(lr=0.1, momentum=0.5, nesterov=nesterov, weight_decay=0.2))
        weight, velocity = 1.0, 0.0
        for _ in range(2):
            parameter.grad = torch.ones_like(parameter)
            optimizer.step()
            gradient = 1 + 0.2 * weight
            velocity = 0.5 * velocity + gradient
            weight -= 0.1 * (gradient + 0.5 * velocity if nesterov else velocity)
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, weight))


def drawn(seed: int, epoch: int, group: Group) -> tuple[float, ...]:
    with torch.random.fork_rng(devices=[]):
        _seed_torch(seed, epoch, group)
        return tuple(torch.rand(4).tolist())


def test_dropout_is_another_for_every_seed_epoch_and_process() -> None:
    addresses = [(seed, epoch, Group(rank, 3)) for seed in (0, 1) for epoch in (1, 2) for rank in (0, 1, 2)]
    assert len({drawn(*address) for address in addresses}) == len(addresses)
    assert drawn(1, 2, Group(1, 3)) == drawn(1, 2, Group(1, 3))
    assert len({drawn(seed, epoch, ALONE) for seed in (0, 1) for epoch in (1, 2)}) == 4
