"""Accuracy of a network on a split, in percent.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainers.data.base import Images
from trainers.loop.data_parallel import ALONE, Group
from trainers.models import Network
from trainers.views.views import Views

EVAL_BATCH = 256
"""Images per forward pass; it does not change the result of a network in evaluation mode."""


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


@torch.no_grad()
def accuracy(network: Network, split: Images, views: Views, autocast: torch.autocast, group: Group = ALONE) -> Accuracy:
    """Top-1 and top-5 accuracy of `network`, in evaluation mode, on the plain view; each process of `group` has a share
    of the images."""
    network.eval()
    counts = torch.zeros(2, dtype=torch.int64, device=split.labels.device)
    own = group.share(torch.arange(len(split), device=split.labels.device))
    for part in split.batches(own.tensor_split(list(range(EVAL_BATCH, len(own), EVAL_BATCH)))):
        with autocast:
            logits = network(views.plain(part.images))
        counts += correct_in_top(logits.float(), part.labels)
    return percent(group.sum(counts), len(split))


def percent(counts: Tensor, total: int) -> Accuracy:
    """Counts of :func:`correct_in_top` (int64 ``[2]``) as percentages of `total`."""
    top1, top5 = (100.0 * count / total for count in counts.tolist())
    return Accuracy(top1, top5)
