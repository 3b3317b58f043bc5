"""The loss with the labels that every method adds its own to: cross-entropy, as the recipe reads the labels.

::

    CE(z, y) = - sum_c y_c log softmax(z)_c

    y = (1 - s) onehot + s / C                          label smoothing (Szegedy et al., arXiv 1512.00567, section 7)
    y = share * y_own + (1 - share) * y_partner         of an image that two were mixed into (mixup, CutMix)

z: the student's logits; s -> `smoothing`. With `binary` each class is a yes or no of its own, as in "ResNet strikes
back" (arXiv 2110.00476, section 2.1), whose release takes a class as there when y_c is more than 0.2:

::

    BCE(z, y) = - 1/C sum_c [t_c log sigmoid(z_c) + (1 - t_c) log(1 - sigmoid(z_c))],  t_c = 1 if y_c > 0.2 else 0

Both are timm's numbers (`LabelSmoothingCrossEntropy`, `SoftTargetCrossEntropy`, `BinaryCrossEntropy`).

Where only a share f of the training images has a label, the sum is over those of a batch, divided by how many are to be
expected there, f B: so a batch that happens to hold fewer counts for less, the mean over an epoch's batches is the mean
over all images with a label, and the shares of several processes add up to the batch's. Images without a label have
:data:`~trainers.data.labelled.UNLABELLED` in its place.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from trainers.config import Recipe
from trainers.data.labelled import UNLABELLED

THERE = 0.2
"""A class whose share of a label is more than this is in the image, to `binary`."""


class Partners(NamedTuple):
    """What the images of a batch are mixed with."""

    targets: Tensor
    """int64 ``[B]``, of each image's partner."""
    share: Tensor
    """float32 ``[B]``, of the image's own label; the rest is the partner's."""


class LabelReading(NamedTuple):
    """How a recipe reads labels."""

    smoothing: float = 0.0
    """`s`."""
    binary: bool = False
    """Each class by itself."""
    labelled: float = 1.0
    """`f`, share of all training images that have a label."""


AS_THEY_ARE = LabelReading()


def reading_of(recipe: Recipe, labels: Tensor | None = None) -> LabelReading:
    """How a recipe reads labels, of training images with `labels` (int64 ``[N]``); None where each has one."""
    share = 1.0 if recipe.labelled_fraction == 1 or labels is None else float(known(labels).double().mean())
    return LabelReading(recipe.label_smoothing, recipe.label_loss == "bce", share)


def known(targets: Tensor) -> Tensor:
    """Which of int64 ``[B]`` are labels: bool ``[B]``."""
    return targets != UNLABELLED


def label_loss(logits: Tensor, targets: Tensor, reading: LabelReading, partners: Partners | None) -> Tensor:
    """Mean over the batch, or over those of its images that have a label.

    Args:
        logits: float32 ``[B, C]``.
        targets: int64 ``[B]``.
        reading: of the recipe.
        partners: None where each image is its own.
    """
    if reading.labelled < 1:
        return _loss_of_some(logits, targets, reading) / (reading.labelled * len(targets))
    if reading.binary:
        there = soft_labels(logits, targets, reading, partners) > THERE
        return F.binary_cross_entropy_with_logits(logits, there.to(logits.dtype))
    if partners is None:
        return F.cross_entropy(logits, targets, label_smoothing=reading.smoothing)
    own, other = (
        F.cross_entropy(logits, labels, label_smoothing=reading.smoothing, reduction="none")
        for labels in (targets, partners.targets)
    )
    return (partners.share * own + (1 - partners.share) * other).mean()


def _loss_of_some(logits: Tensor, targets: Tensor, reading: LabelReading) -> Tensor:
    """Sum over the images that have a label."""
    if not reading.binary:
        smoothing = reading.smoothing
        return F.cross_entropy(logits, targets, label_smoothing=smoothing, ignore_index=UNLABELLED, reduction="sum")
    there = soft_labels(logits, targets.clamp_min(0), reading, None) > THERE
    each = F.binary_cross_entropy_with_logits(logits, there.to(logits.dtype), reduction="none").mean(dim=1)
    return each.masked_fill(~known(targets), 0).sum()


def soft_labels(logits: Tensor, targets: Tensor, reading: LabelReading, partners: Partners | None) -> Tensor:
    """y ``[B, C]``; arguments as in :func:`label_loss`."""
    classes = logits.shape[1]
    labels = F.one_hot(targets, classes).to(logits.dtype)
    if partners is not None:
        share = partners.share[:, None]
        labels = share * labels + (1 - share) * F.one_hot(partners.targets, classes)
    return (1 - reading.smoothing) * labels + reading.smoothing / classes
