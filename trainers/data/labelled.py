"""Which training images keep their label, where a recipe says that only a share of them does (`labelled_fraction`).

The share is one of each class, and drawn by the recipe's `split_seed` and each image's place in its source: the same
for every method, seed and batch size, so that what is compared has seen the same labels, and a smaller share is a part
of every larger one. An image that keeps none has :data:`UNLABELLED` in its label's place wherever it is trained on.

Shapes: `N` images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.draws import bits
from trainers.errors import InputError

UNLABELLED = -100
"""In the place of a label that is not known; the number that torch's cross-entropy passes over."""


def keep_labels(
    labels: Tensor, index: Tensor, *, fraction: float, seed: int, name: str, classes: Sequence[str]
) -> Tensor:
    """Whether each image keeps its label: bool ``[N]``.

    Args:
        labels, index: int64 ``[N]``, of the images that are trained on.
        fraction: of each class, rounded to whole images.
        seed: the draw's address.
        name, classes: of the data set, for the message.

    Raises:
        InputError: when a class would have no image with a label.
    """
    kept = torch.ones_like(labels, dtype=torch.bool)
    if fraction == 1:
        return kept
    chosen = bits(seed, "labelled", 0, index)
    for label, called in enumerate(classes):
        members = torch.nonzero(labels == label).flatten()
        count = round(fraction * len(members))
        if count < 1:
            raise InputError(
                f"data set '{name}', class '{called}': labelled_fraction {fraction:g} leaves none of its {len(members)}"
                f" training images a label; from {1 / max(len(members), 1):.2g} on it leaves one"
            )
        kept[members[torch.argsort(chosen[members], stable=True)][count:]] = False
    return kept


def spread(order: Tensor, labelled: Tensor) -> Tensor:
    """An epoch's order in which the images with a label, and those without, are spread evenly over it.

    Each of the two keeps its own order. So batches hold as many labels as can be, give or take one.

    Args:
        order: a permutation of the positions of all images, int64 ``[N]``.
        labelled: of the image at each place of `order`, bool ``[N]``.
    """
    parts = [order[labelled], order[~labelled]]
    counts = [len(part) for part in parts]
    middles = [(2 * torch.arange(count, device=order.device) + 1) for count in counts]
    places = torch.cat([middle * other for middle, other in zip(middles, reversed(counts), strict=True)])
    return torch.cat(parts)[torch.argsort(places, stable=True)]
