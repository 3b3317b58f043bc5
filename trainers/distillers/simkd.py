"""SimKD: Knowledge Distillation with the Reused Teacher Classifier (Chen et al., arXiv 2203.14001, CVPR 2022).

::

    L = ce_weight * CE(z, y) + simkd_weight * MSE(r(F_s), F_t)

    z = W_t mean over pixels of r(F_s) + b_t

F_t: the teacher's map in front of its global pooling; F_s: the student's last stage; r: a projector that trains along,
three convolutions (1 × 1, 3 × 3, 1 × 1), each with batch norm and ReLU, 1/`factor` of the teacher's channels in the
middle; W_t, b_t: the teacher's classifier, never trained. The larger map is averaged to the size of the smaller.

What is evaluated and exported is the student up to its last stage, the projector and the teacher's classifier; what
the student has behind its last stage is not used and does not train.

Where the authors' release differs: its run adds the cross-entropy and KD's loss of the student's own classifier with
weight 0; here `ce` is of the reused classifier, also with weight 0, and KD is left out. For the teacher it takes the
last stage, which is F_t in ResNets and VGGs, but not where layers follow. It asks the teacher for its map's size at
test time too; here the size is kept from the start. Checked against the equation, not against numbers of the authors'
code.

Shapes: `B` batch, `C` classes, `c` and `D` the student's and the teacher's channels, `h`, `w` pixels of a map.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams, Setting, shapes
from trainers.distillers.feature_maps import survey
from trainers.models import Features, Network


def simkd_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference of the projected map ``[B, D, h, w]`` and the teacher's, averaged to that size."""
    return F.mse_loss(student_map, shrunk(teacher_map.detach(), student_map.shape[2:]))


def shrunk(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """`maps` ``[B, D, ...]``, averaged to at most `size` pixels; a smaller side stays as it is."""
    height, width = (min(mine, most) for mine, most in zip(maps.shape[2:], size, strict=True))
    return F.adaptive_avg_pool2d(maps, (height, width))


def projector(channels_in: int, channels_out: int, factor: int = 2) -> nn.Sequential:
    """``[B, channels_in, h, w]`` to ``[B, channels_out, h, w]`` through 1/`factor` as many channels, at least one."""
    mid = max(channels_out // factor, 1)
    layers: list[nn.Module] = []
    for before, after, side in ((channels_in, mid, 1), (mid, mid, 3), (mid, channels_out, 1)):
        convolution = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class ReusedClassifier(Network):
    """A student that ends in a projector and a teacher's classifier: what SimKD trains, evaluates and exports.

    Its last stage and pooled feature are the projected ones; the stages before are the student's.
    """

    def __init__(self, student: Network, project: nn.Module, head: nn.Linear, size: tuple[int, ...]) -> None:
        """`size`: height and width of the teacher's map; larger ones of the student are averaged to it."""
        super().__init__()
        self.student, self.projector, self.head, self.size = student, project, head, size
        self.stage_channels = student.stage_channels
        self.feature_dim = head.in_features

    @property
    def classifier(self) -> nn.Linear:
        """The teacher's last layer, frozen: ``[B, D]`` to ``[B, C]``."""
        return self.head

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``: the student's, then :meth:`reused`."""
        return self.reused(self.student.features(images))

    def reused(self, student: Features) -> Features:
        """What becomes of the student's pass: its stages, with the projected map ``[B, D, h, w]`` as `unpooled`, the
        map's mean as `pooled` and the teacher's classifier's logits."""
        unpooled = self.projector(shrunk(student.stages[-1], self.size))
        pooled = unpooled.mean(dim=(2, 3))  # [B, D]
        return Features(self.head(pooled), pooled, student.stages, student.preactivations, unpooled)


def reused_classifier(
    student: Network, teacher: Network, image_size: tuple[int, int], *, factor: int = 2
) -> ReusedClassifier:
    """`student` with a fresh projector and a frozen copy of `teacher`'s classifier, for images of `image_size` pixels.

    A weights file of a trial with SimKD names both architectures and the factor, and loads into this.
    """
    _, channels, *size = shapes(teacher, image_size).unpooled.shape
    head = copy.deepcopy(teacher.classifier).requires_grad_(False)
    project = projector(student.stage_channels[-1], channels, factor)
    return ReusedClassifier(student, project, head, tuple(size))


class SimKDParams(MethodParams):
    """Hyperparameters of SimKD."""

    ce_weight: float = Field(0.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    simkd_weight: float = Field(1.0, ge=0)
    """Weight of the distance between the maps."""
    factor: int = Field(2, ge=1)
    """The projector is so many times narrower inside than the teacher's map."""


class SimKD(Distiller):
    """The student's last stage, projected, imitates the map that the teacher's classifier reads, and is read by it."""

    Params: ClassVar[type[MethodParams]] = SimKDParams
    summary: ClassVar[str] = "the teacher's classifier on a projected student (arXiv 2203.14001)"
    teacher_needs: ClassVar[Literal["nothing", "logits", "features"]] = "features"

    def __init__(self, params: SimKDParams, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params
        survey(student, setting, "simkd", stages=1)
        survey(setting.need_teacher(), setting, "simkd", unpooled=True)
        made = reused_classifier(student, setting.need_teacher(), setting.image_size, factor=params.factor)
        self.projector, self.head, self.size = made.projector, made.head, made.size

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> SimKD:
        """The method around `student`, with a fresh projector and a frozen copy of the teacher's classifier.

        Raises:
            InputError: where the student has no stages, or the teacher no map in front of its pooling.
        """
        return cls(params, student, setting)

    def losses(self, batch: Batch) -> Losses:
        """`ce` of the reused classifier's logits, and `simkd`: :func:`simkd_loss` of the projected map and the
        teacher's.

        Raises:
            TypeError: where the batch carries no teacher's pass.
        """
        teacher = batch.need_teacher().float()
        passed = self.predictor.reused(self.passed(batch.images).float())
        ce = batch.ce(passed.logits)
        return Losses(passed.logits, {"ce": ce, "simkd": simkd_loss(passed.unpooled, teacher.unpooled)})

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `simkd_weight` for `simkd`, in every epoch."""
        return {"ce": self.params.ce_weight, "simkd": self.params.simkd_weight}

    @property
    def predictor(self) -> ReusedClassifier:
        """The student up to its last stage, the projector and the teacher's classifier, in one network."""
        return ReusedClassifier(self.student, self.projector, self.head, self.size)
