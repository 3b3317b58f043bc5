"""Whether two losses pull the same parameters in opposite directions (DHKD, arXiv 2411.08937, section 3).

::

    conflict(P) = <g_1, g_2> / (|g_1| |g_2|)     g_i: gradient of L_i by the parameters P;  -1 opposed ... 1 the same

    L_1 = weighted sum of the terms on probabilities: the cross-entropy, and what else reads a softmax
    L_2 = weighted sum of the terms on the logits themselves: BinaryKL-Norm, BinaryKL, or plain regression

The paper argues from neural collapse that the two conflict in a linear head that both share, and not in the backbone;
it moves L_2 to a head of its own. Here both are measured: P is the backbone (the student less its classifier), the main
head, or the auxiliary head.

Gradients are of the mean loss over a fixed sample, in evaluation mode, where BatchNorm and dropout do not mix images:
batches add up to the sample's gradient, but for terms that compare the images of a batch (`main: dist`). They are those
before gradient alignment. A loss that does not reach P, or has weight 0, has no gradient there, and the cosine is not
defined: with two heads, no head is reached by both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from trainers.diagnostics.neural_collapse import exact
from trainers.distillers import Batch, Distiller
from trainers.distillers.dhkd import DHKD
from trainers.distillers.dho import DHO
from trainers.loop.gradient_alignment import Gradients

LOGIT_LEVEL = frozenset({"binary_kl_norm", "binary_kl", "mse"})
"""Terms that read the logits themselves; in the methods that have one of these, all other terms read a softmax."""


def gradient_cosine(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> float:
    """Cosine of two gradients by the same parameters, each taken as one vector.

    Args:
        first, second: for each parameter a tensor of its shape; None, where a loss does not reach it, counts as zeros.

    Returns:
        -1 to 1, computed in float64; NaN where one of the two is zero all over.
    """
    norms = math.sqrt(_dot(first, first)) * math.sqrt(_dot(second, second))
    return max(-1.0, min(1.0, _dot(first, second) / norms)) if norms > 0 else math.nan


def _dot(left: Sequence[Tensor | None], right: Sequence[Tensor | None]) -> float:
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    return sum(float((exact(a) * exact(b)).sum()) for a, b in pairs)


def levels(weights: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """The weights other than 0, of terms on probabilities and of terms on logits."""
    used = {name: weight for name, weight in weights.items() if weight != 0}
    on_logits = {name: weight for name, weight in used.items() if name in LOGIT_LEVEL}
    return {name: weight for name, weight in used.items() if name not in LOGIT_LEVEL}, on_logits


def auxiliary_head(distiller: Distiller) -> nn.Module | None:
    """The second classifier that a method trains beside the student, where it has one."""
    return distiller.aux_head if isinstance(distiller, DHKD | DHO) else None


def parts(distiller: Distiller) -> dict[str, list[nn.Parameter]]:
    """The trained parameters of `backbone`, `head` and, where there is one, `aux_head`."""
    head, aux = distiller.student.classifier, auxiliary_head(distiller)
    in_head = set(map(id, head.parameters()))
    places = {
        "backbone": [parameter for parameter in distiller.student.parameters() if id(parameter) not in in_head],
        "head": list(head.parameters()),
    }
    if aux is not None:
        places["aux_head"] = list(aux.parameters())
    return {name: [p for p in parameters if p.requires_grad] for name, parameters in places.items()}


def gradient_conflict(distiller: Distiller, batches: Iterable[Batch], epoch: int) -> dict[str, float]:
    """`conflict_backbone`, `conflict_head` and `conflict_aux_head`: NaN where the cosine is not defined.

    Empty for methods that have not both kinds of terms in that epoch (counted from 1): they are not even asked for
    their losses. The method is to be in evaluation mode; no parameter's `grad` is touched.
    """
    both = levels(distiller.weights(epoch))
    if not all(both):
        return {}
    places = parts(distiller)
    parameters = [parameter for part in places.values() for parameter in part]
    sums: list[Gradients] = [[None] * len(parameters), [None] * len(parameters)]
    for batch in batches:
        sums = [_added(*pair) for pair in zip(sums, _gradients(distiller, batch, both, parameters), strict=True)]
    cosines, start = {}, 0
    for name, part in places.items():
        first, second = (total[start : start + len(part)] for total in sums)
        cosines[f"conflict_{name}"] = gradient_cosine(first, second)
        start += len(part)
    return cosines


def _gradients(
    distiller: Distiller, batch: Batch, both: Sequence[dict[str, float]], parameters: Sequence[nn.Parameter]
) -> list[Gradients]:
    """Of each level's loss, summed over the images of the batch."""
    with torch.enable_grad():
        terms = distiller.losses(batch).terms
        losses = [torch.stack([weight * terms[name] for name, weight in level.items()]).sum() for level in both]
        first, second = (len(batch.targets) * loss for loss in losses)
        return [
            list(torch.autograd.grad(first, parameters, retain_graph=True, allow_unused=True)),
            list(torch.autograd.grad(second, parameters, allow_unused=True)),
        ]


def _added(left: Gradients, right: Gradients) -> Gradients:
    """left + right; where one of the two is missing, the other."""
    return [a if b is None else b if a is None else a + b for a, b in zip(left, right, strict=True)]
