"""Class Attention Transfer Based Knowledge Distillation (Guo et al., arXiv 2304.12777, CVPR 2023).

::

    L = ce_weight * CE(z_s, y) + cat_weight * MSE(N(A_s), N(A_t))

    A[b, c] = pool(sum over d of W[c, d] F[b, d])      class activation map of class c, averaged to `resolution` squared
    N(A)    = A / |A|, the norm over the pixels of each map; without `normalize`, A itself

F: the map in front of the global pooling, W: the classifier's weights, each network's own. The mean of a map is its
logit, less the bias. The mean in MSE is over batch, classes and pixels.

`binarize` replaces the teacher's maps before they are averaged: 1 where a map is above the mean of its absolute values,
0 elsewhere.

Where the authors' release differs: it trains networks whose classifier is a 1 × 1 convolution without bias in front of
the pooling, teachers included; here the networks keep their classifier, and its bias stays out of the maps. The release
can also transfer the maps of some classes alone; that is left out. `ce_weight: 0` is its CAT. Checked against the
equation, not against numbers of the authors' code.

Shapes: `B` batch, `C` classes, `D` features, `h`, `w` pixels of a map.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams, Setting
from trainers.distillers.feature_maps import MapDistiller, survey, unit
from trainers.models import Features, Network


def class_activation_maps(unpooled: Tensor, weight: Tensor) -> Tensor:
    """``[B, C, h, w]`` from the map in front of the pooling ``[B, D, h, w]`` and the classifier's weight ``[C, D]``."""
    return torch.einsum("cd,bdhw->bchw", weight, unpooled)


def catkd_loss(
    student_maps: Tensor,
    teacher_maps: Tensor,
    *,
    resolution: int = 2,
    normalize: bool = True,
    binarize: bool = False,
) -> Tensor:
    """Mean squared difference of the averaged class activation maps.

    Args:
        student_maps, teacher_maps: ``[B, C, h, w]``, sizes may differ.
        resolution: pixels, the side that both are averaged to.
        normalize: divide each averaged map by its norm.
        binarize: whether the teacher's maps are cut to 0 and 1 first.
    """
    teacher_maps = teacher_maps.detach()
    if binarize:
        teacher_maps = (teacher_maps > teacher_maps.abs().mean(dim=(2, 3), keepdim=True)).to(teacher_maps)
    ours, theirs = (F.adaptive_avg_pool2d(maps, resolution).flatten(2) for maps in (student_maps, teacher_maps))
    if normalize:
        ours, theirs = unit(ours, dim=2), unit(theirs, dim=2)
    return F.mse_loss(ours, theirs)


class CATKDParams(MethodParams):
    """Hyperparameters of CAT-KD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels; 0 is the authors' CAT."""
    cat_weight: float = Field(400.0, ge=0)
    """Weight of the distillation term; the authors tune it per pair, 0.7 to 600."""
    resolution: int = Field(2, ge=1, le=1_024)
    """Pixels, the side that class activation maps are averaged to; the authors use 4 for some ShuffleNets."""
    normalize: bool = True
    """Divide each map by its norm; the authors do not for pairs of one family, and weigh by 0.7 to 15 then."""
    binarize: bool = False
    """Cut the teacher's maps to 0 and 1."""


class CATKD(MapDistiller):
    """The student's class activation maps imitate the teacher's."""

    Params: ClassVar[type[MethodParams]] = CATKDParams
    summary: ClassVar[str] = "class activation maps imitate the teacher's (arXiv 2304.12777)"
    params: CATKDParams
    teacher_weight: Tensor  # [C, D]

    def __init__(self, params: CATKDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        teacher = setting.need_teacher()
        for network in (student, teacher):
            survey(network, setting, "catkd", unpooled=True)
        self.register_buffer("teacher_weight", teacher.classifier.weight.detach().clone(), persistent=False)

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`catkd`: :func:`catkd_loss`, a scalar, of both networks' class activation maps ``[B, C, h, w]``."""
        params = self.params
        ours = class_activation_maps(student.unpooled, self.student.classifier.weight)
        theirs = class_activation_maps(teacher.unpooled, self.teacher_weight)
        options = {"normalize": params.normalize, "binarize": params.binarize}
        return {"catkd": catkd_loss(ours, theirs, resolution=params.resolution, **options)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `cat_weight` for `catkd`, in every epoch."""
        return {"ce": self.params.ce_weight, "catkd": self.params.cat_weight}
