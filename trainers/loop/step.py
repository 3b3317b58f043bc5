"""A step of the optimiser, and what the losses of an epoch's steps come to.

Shapes: `S` steps of an epoch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from trainers.distillers import Distiller
from trainers.errors import DivergedError
from trainers.loop.data_parallel import ALONE, Group
from trainers.loop.gradient_alignment import aligned_gradients
from trainers.loop.parameters import SCALE
from trainers.loop.weighing import Objective, Weighing


def shares(terms: dict[str, Tensor], own: int, batch: int) -> dict[str, Tensor]:
    """Each term's part in the mean over the whole batch of which this process has `own` images."""
    return terms if own == batch else {name: term * (own / batch) for name, term in terms.items()}


def step(
    distiller: Distiller,
    optimizer: torch.optim.Optimizer,
    terms: dict[str, Tensor],
    weighing: Weighing,
    lr: float,
    group: Group = ALONE,
    clip_norm: float | None = None,
) -> None:
    """Step the optimiser once, by the gradient of the weighted sum of the terms.

    Args:
        distiller: whose parameters these are.
        optimizer: of all of them.
        terms: unweighted scalars by name, this process's shares.
        weighing: of the epoch.
        lr: learning rate.
        group: the processes that train together.
        clip_norm: a gradient that is longer, over all parameters, is scaled down to it.
    """
    for parameters_group in optimizer.param_groups:
        parameters_group["lr"] = lr * parameters_group.get(SCALE, 1.0)
    counted = weighing.counted(terms)
    if distiller.anchors.isdisjoint(counted) or distiller.anchors.issuperset(counted):
        optimizer.zero_grad(set_to_none=True)
        weighing.backward(terms)
        group.sum_all([parameter.grad for parameter in distiller.parameters()])
    else:
        _align(distiller, [weighing.objective(terms, names) for names in _apart(counted, distiller.anchors)], group)
    if clip_norm is not None:
        clip_grad_norm_(distiller.parameters(), clip_norm)
    optimizer.step()


def _apart(names: list[str], anchors: frozenset[str]) -> list[list[str]]:
    """The anchors among `names`, and each other name by itself."""
    return [[name for name in names if name in anchors], *([name] for name in names if name not in anchors)]


def _align(distiller: Distiller, objectives: list[Objective], group: Group) -> None:
    """Give the parameters a gradient in which no other objective opposes the first."""
    parameters = [parameter for parameter in distiller.parameters() if parameter.requires_grad]
    merged = aligned_gradients(objectives[0], objectives[1:], parameters, group, compiled=distiller.compiles)
    for parameter, gradient in zip(parameters, merged, strict=True):
        parameter.grad = gradient


def mean_terms(records: Tensor, sizes: list[int], names: list[str], epoch: int) -> dict[str, float]:
    """Mean of each loss over the epoch's images, from float ``[S, len(names)]``.

    Raises:
        DivergedError: naming the first step and term that is NaN or infinite (the total last).
    """
    records = records.double().cpu()
    bad = torch.nonzero(~records.isfinite().all(dim=1)).flatten().tolist()
    if bad:
        first = bad[0]
        columns = [*range(1, len(names)), 0]
        column = next(index for index in columns if not math.isfinite(records[first, index]))
        raise DivergedError(names[column], epoch, first + 1, records[first, column].item())
    share = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
    return dict(zip(names, (share @ records).tolist(), strict=True))
