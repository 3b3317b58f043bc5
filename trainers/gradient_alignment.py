"""Gradient alignment of DHKD (arXiv 2411.08937, section 4.3): the auxiliary gradient never opposes the main one.

::

    g_i <- g_i - min(0, <g_i, g_0>) / ||g_0||² * g_0        for every objective i >= 1;  the update uses g_0 + sum g_i

g_0 is the gradient of the weighted cross-entropy. Dot product and norm run over all trainable parameters; one that an
objective does not reach counts as zero there. The heads are disjoint, so the dot product comes from the backbone, while
||g_0||² includes the main head, whose gradient grows by 1 + |<g_i, g_0>| / ||g_0||² on conflict, as in the authors'
release.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def aligned_gradients(anchor: Tensor, others: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """Merged gradient of `anchor` and `others` (weighted scalar losses over one graph), one tensor per parameter."""
    first = _gradients(anchor, parameters, retain=bool(others))
    norm = _dot(first, first).clamp_min(torch.finfo(torch.float32).tiny)
    merged, scale = list(first), torch.ones_like(norm)
    for position, other in enumerate(others, start=1):
        gradient = _gradients(other, parameters, retain=position < len(others))
        scale = scale - _dot(gradient, first).clamp_max(0) / norm
        merged = [a + b for a, b in zip(merged, gradient, strict=True)]
    # g_0 + sum (g_i - c_i g_0) = sum g_i + (1 - sum c_i) g_0, and the leading 1 is in `merged` already
    return [total + (scale - 1) * base for total, base in zip(merged, first, strict=True)]


def _gradients(loss: Tensor, parameters: Sequence[Tensor], retain: bool) -> tuple[Tensor, ...]:
    found = torch.autograd.grad(loss, parameters, retain_graph=retain, allow_unused=True)
    return tuple(
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    )


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(left, right, strict=True)]).sum()
