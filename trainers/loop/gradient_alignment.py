"""Gradient alignment of DHKD (arXiv 2411.08937, section 4.3): the auxiliary gradient never opposes the main one.

::

    g_i <- g_i - min(0, <g_i, g_0>) / ||g_0||² * g_0        for every objective i >= 1;  the update uses g_0 + sum g_i

g_0 is the gradient of the weighted cross-entropy. Dot product and norm run over all trainable parameters; one that an
objective does not reach counts as zero there. The heads are disjoint, so the dot product comes from the backbone, while
||g_0||² includes the main head, whose gradient grows by 1 + |<g_i, g_0>| / ||g_0||² on conflict, as in the authors'
release.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from trainers.loop.data_parallel import ALONE, Group
from trainers.loop.weighing import Objective

APART_ON = "cpu"
"""The kind of device on which nothing is merged in a compiled graph: its launches cost nothing there, and the compiler
takes seconds for a network's many parameters."""
Gradients = list[Tensor | None]
"""One per parameter; None where the loss does not reach it."""


def aligned_gradients(
    anchor: Tensor | Objective,
    others: Sequence[Tensor | Objective],
    parameters: Sequence[Tensor],
    group: Group = ALONE,
    *,
    compiled: bool = False,
) -> list[Tensor]:
    """Merged gradient of `anchor` and `others`, one tensor of its shape per parameter.

    One backward pass per loss, and no copy of all parameters in one vector: dot products run over the parameters that
    both losses reach. Where several processes each hold a part of the losses, gradients are summed over `group` before
    they are compared.

    Args:
        anchor, others: weighted scalar losses over one graph, or sums of such with their weights apart.
        parameters: what the losses are differentiated by; one that none of them reaches gets zeros.
        group: the processes that train together.
        compiled: merge in a compiled graph, where there is a GPU.
    """
    reached = []
    for position, loss in enumerate((anchor, *others)):
        reached.append(_gradients(loss, parameters, retain=position < len(others)))
        group.sum_all(reached[-1])
    merge = _compiled() if compiled and parameters[0].device.type != APART_ON else combined
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, merge(reached), strict=True)]


def combined(reached: Sequence[Gradients]) -> Gradients:
    """The merged gradient, from the anchor's and each other objective's."""
    first, *others = reached
    norm = _dot(first, first).clamp_min(torch.finfo(torch.float32).tiny)
    scale = torch.ones_like(norm)
    whole: Gradients = [None] * len(first)
    for gradient in others:
        scale = scale - _dot(gradient, first).clamp_max(0) / norm
        whole = _added(whole, gradient)
    # g_0 + sum (g_i - c_i g_0) = (1 - sum c_i) g_0 + sum g_i
    return _added(whole, _scaled(first, scale))


@cache
def _compiled() -> Callable[[Sequence[Gradients]], Gradients]:
    return torch.compile(combined, dynamic=False)


def _gradients(loss: Tensor | Objective, parameters: Sequence[Tensor], retain: bool) -> Gradients:
    outputs, starts = ([loss], None) if isinstance(loss, Tensor) else loss
    return list(torch.autograd.grad(outputs, parameters, starts, retain_graph=retain, allow_unused=True))


def _dot(left: Gradients, right: Gradients) -> Tensor:
    """<left, right>, scalar, over the parameters that both reach."""
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    if not pairs:
        return next((a.new_zeros(()) for a in [*left, *right] if a is not None), torch.zeros(()))
    products = torch._foreach_mul([a for a, _ in pairs], [b for _, b in pairs])
    return torch.stack(sums(products)).sum()


def sums(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sum of each tensor, bit for bit; vectors of one length, such as a network's batch norms have many of, are
    summed together, in two kernels."""
    alike: dict[int, list[int]] = {}
    for position, tensor in enumerate(tensors):
        alike.setdefault(len(tensor) if tensor.dim() == 1 else -1 - position, []).append(position)
    found: dict[int, Tensor] = {}
    for positions in alike.values():
        chosen = [tensors[position] for position in positions]
        each = torch.stack(chosen).sum(dim=1).unbind() if len(chosen) > 2 else [tensor.sum() for tensor in chosen]
        found |= dict(zip(positions, each, strict=True))
    return [found[position] for position in range(len(tensors))]


def _scaled(gradients: Gradients, scale: Tensor) -> Gradients:
    reached = [gradient for gradient in gradients if gradient is not None]
    scaled = iter(torch._foreach_mul(reached, scale))
    return [None if gradient is None else next(scaled) for gradient in gradients]


def _added(left: Gradients, right: Gradients) -> Gradients:
    """left + right; where one of the two is missing, the other."""
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    sums = iter(torch._foreach_add([a for a, _ in pairs], [b for _, b in pairs]) if pairs else [])
    return [next(sums) if a is not None and b is not None else _either(a, b) for a, b in zip(left, right, strict=True)]


def _either(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    return right if left is None else left
