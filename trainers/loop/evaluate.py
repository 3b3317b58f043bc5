"""Accuracy of a network on a split, in percent.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.data.base import Images
from trainers.loop.data_parallel import ALONE, Group
from trainers.models import Network
from trainers.views.views import Views

EVAL_BATCH = 256
"""Images per forward pass on a CPU, whose speed and last digits change with their number."""
EVAL_BATCH_GPU = 1024
"""The same on a GPU, which starts a pass of many images as soon as one of few."""
EVAL_BYTES = 64_000_000
"""Of the images of a pass on a GPU, as float32, at most, where that is more than :data:`EVAL_BATCH` of them."""


class Accuracy(NamedTuple):
    """Share of correct predictions, in percent."""

    top1: float
    top5: float


def correct_in_top(logits: Tensor, targets: Tensor) -> Tensor:
    """How many targets are the first, and among the first five, of their row: int64 ``[2]``.

    Args:
        logits: ``[B, C]``; with fewer than five classes the second count is over all of them.
        targets: int64 ``[B]``.
    """
    top = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = top == targets[:, None]  # [B, 5]
    return torch.stack([hits[:, 0].sum(), hits.sum()])


def accuracy(network: Network, split: Images, views: Views, autocast: torch.autocast, group: Group = ALONE) -> Accuracy:
    """:func:`accuracies` on one split."""
    (found,) = accuracies(network, [split], views, autocast, group)
    return found


def accuracies(
    network: Network, splits: Sequence[Images], views: Views, autocast: torch.autocast, group: Group = ALONE
) -> list[Accuracy]:
    """Top-1 and top-5 accuracy of `network` on each of `splits`, in evaluation mode, on the plain view; each process of
    `group` has a share of the images. The host waits for the device once, at the end."""
    network.eval()
    counts = group.sum(torch.stack([_counted(network, split, views, autocast, group) for split in splits]))
    return [percent(count, len(split)) for count, split in zip(counts.cpu(), splits, strict=True)]


@torch.no_grad()
def _counted(network: Network, split: Images, views: Views, autocast: torch.autocast, group: Group) -> Tensor:
    """:func:`correct_in_top` of this process's share of a split, on its device."""
    counts = torch.zeros(2, dtype=torch.int64, device=split.labels.device)
    own, size = group.share(torch.arange(len(split), device=split.labels.device)), images_of_a_pass(split)
    for part in split.batches(own.tensor_split(list(range(size, len(own), size)))):
        with autocast:
            logits = network(views.plain(part.images))
        counts += correct_in_top(logits.float(), part.labels)
    return counts


def images_of_a_pass(split: Images) -> int:
    """How many images of a split a network is best evaluated on at a time, on the split's device."""
    if split.labels.device.type == "cpu":
        return EVAL_BATCH
    height, width = split.image_size
    return max(EVAL_BATCH, min(EVAL_BATCH_GPU, EVAL_BYTES // (3 * height * width * torch.float32.itemsize)))


def percent(counts: Tensor, total: int) -> Accuracy:
    """Counts of :func:`correct_in_top` (int64 ``[2]``) as percentages of `total`."""
    top1, top5 = (100.0 * count / total for count in counts.tolist())
    return Accuracy(top1, top5)
