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

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from trainers.config import Recipe

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


AS_THEY_ARE = LabelReading()


def reading_of(recipe: Recipe) -> LabelReading:
    """How a recipe reads labels."""
    return LabelReading(recipe.label_smoothing, recipe.label_loss == "bce")


def label_loss(logits: Tensor, targets: Tensor, reading: LabelReading, partners: Partners | None) -> Tensor:
    """Mean over the batch.

    Args:
        logits: float32 ``[B, C]``.
        targets: int64 ``[B]``.
        reading: of the recipe.
        partners: None where each image is its own.
    """
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


def soft_labels(logits: Tensor, targets: Tensor, reading: LabelReading, partners: Partners | None) -> Tensor:
    """y ``[B, C]``; arguments as in :func:`label_loss`."""
    classes = logits.shape[1]
    labels = F.one_hot(targets, classes).to(logits.dtype)
    if partners is not None:
        share = partners.share[:, None]
        labels = share * labels + (1 - share) * F.one_hot(partners.targets, classes)
    return (1 - reading.smoothing) * labels + reading.smoothing / classes
