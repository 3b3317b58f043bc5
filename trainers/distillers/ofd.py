"""A Comprehensive Overhaul of Feature Distillation (Heo et al., arXiv 1904.01866, ICCV 2019).

::

    L = ce_weight * CE(z_s, y) + feature_weight * OFD

    OFD   = sum over stages i = 1 ... n of 2^-(n - i) * sum over channels and pixels of d(r_i(F_s), F_t)
    d(s, t) = (s - max(t, m))²   where t > 0 or s > max(t, m)
              0                  elsewhere
    m     = E[x | x < 0], x ~ N(bias, |weight|²) of the batch norm in front of the ReLU, per channel

F: stages before their ReLU, without the stem; r: a convolution and batch norm, which train along; the teacher's map is
averaged to the size of the student's. Where the teacher is negative its ReLU gives 0, so it matters only that the
student is negative too: from the margin m down it is left alone. Sums are over channels and pixels, means over the
batch alone, so the term grows with the image.

Where no more than a thousandth of N(bias, |weight|²) is negative, m = -3 |weight|. A residual stage adds a shortcut
behind the norm that m is computed from, and m leaves it out.

Where the authors' code differs: mdistiller's port leaves the teacher in training mode, so that it normalises by the
batch and its running statistics move; here it stays in evaluation mode, as in every method. Stages are paired from the
deepest on, margins included; there margins start with the first stage, also where the maps do not. Students without
preactivations (MobileNetV2) fail there; here what a linear stage hands on is taken. ShuffleV1 as a teacher is ours,
ShuffleV2 is refused in both: half of a stage's channels pass by its last batch norm.

Shapes: `B` batch, `c` the teacher's channels, `h`, `w` pixels of a map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams, Setting
from trainers.distillers.feature_maps import MapDistiller, name_of, survey
from trainers.errors import InputError
from trainers.models import Features, Network

RARE = 1e-3
"""Share of negative values up to which their mean is not computed."""
RARE_MARGIN = -3.0
"""The margin then, in standard deviations."""


@torch.no_grad()
def ofd_margins(weight: Tensor, bias: Tensor) -> Tensor:
    """Mean of the negative part of N(bias, weight²), per channel: float32 ``[c]``, at most 0; computed in float64."""
    if weight.is_meta:  # an outline has no numbers, and to go without them torch would load its compiler: seconds
        return weight.detach()
    std = weight.double().abs().clamp_min(torch.finfo(torch.float64).tiny)
    mean = bias.double()
    negative = torch.special.ndtr(-mean / std)
    density = torch.exp(-((mean / std) ** 2) / 2) / math.sqrt(2 * math.pi)
    partial_mean = mean - std * density / negative.clamp_min(RARE)
    return torch.where(negative > RARE, partial_mean, RARE_MARGIN * std).float()


def ofd_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor], margins: Sequence[Tensor]) -> Tensor:
    """The partial squared distance, summed over channels and pixels, halved with every stage before the last.

    Args:
        student_maps: per stage ``[B, c, h, w]``, in the teacher's channels.
        teacher_maps: per stage ``[B, c, ...]``; averaged to `h` × `w`.
        margins: per stage ``[c]``, of :func:`ofd_margins`.
    """
    stages = zip(student_maps, teacher_maps, margins, strict=True)
    losses = torch.stack([_partial_distance(*stage) for stage in stages])
    return (losses * 0.5 ** torch.arange(len(losses), device=losses.device).flip(0)).sum()


def _partial_distance(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Sum over channels and pixels, mean over the batch."""
    teacher = F.adaptive_avg_pool2d(teacher.detach(), (student.shape[2], student.shape[3]))
    goal = teacher.maximum(margin[:, None, None])
    counts = (teacher > 0) | (student > goal)
    return torch.where(counts, student - goal, 0.0).square().sum() / len(student)


def connector(channels_in: int, channels_out: int, kernel_size: int) -> nn.Sequential:
    """Convolution, from N(0, 2 / fan-out), and batch norm: channels change, pixels do not. `kernel_size` is odd."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out))


def paired_preactivations(student: Features, teacher: Features) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """As many stages ``[B, channels, h, w]`` of one as of the other, before their ReLU: the deepest, without the
    stems."""
    count = min(len(student.preactivations), len(teacher.preactivations)) - 1
    return student.preactivations[-count:], teacher.preactivations[-count:]


class OFDParams(MethodParams):
    """Hyperparameters of OFD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    feature_weight: float = Field(0.001, ge=0)
    """Weight of the distillation term, a sum over channels and pixels."""
    kernel_size: Literal[1, 3, 5] = 1
    """Pixels: side of the connectors' convolution."""


class OFD(MapDistiller):
    """Partial distance of the stages before their ReLU, with margins from the teacher's batch norms."""

    Params: ClassVar[type[MethodParams]] = OFDParams
    summary: ClassVar[str] = "partial distance of stages before their ReLU (arXiv 1904.01866)"
    params: OFDParams

    def __init__(self, params: OFDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        teacher = setting.need_teacher()
        norms = teacher.last_norms()
        if not norms:
            raise InputError(
                f"ofd: the teacher, a {name_of(teacher)}, has no batch norm in front of each stage's last ReLU"
                " to take margins from; choose a teacher of another family"
            )
        networks = (student, teacher)
        ours, theirs = paired_preactivations(*(survey(network, setting, "ofd", stages=2) for network in networks))
        pairs = zip(ours, theirs, strict=True)
        self.connectors = nn.ModuleList(
            connector(mine.shape[1], other.shape[1], params.kernel_size) for mine, other in pairs
        )
        for stage, norm in enumerate(norms[-len(ours) :]):
            self.register_buffer(f"margin{stage}", ofd_margins(norm.weight, norm.bias), persistent=False)

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`ofd`: :func:`ofd_loss`, a scalar, of the student's connected stages and the teacher's ``[B, c, h, w]``,
        before their ReLU."""
        ours, theirs = paired_preactivations(student, teacher)
        connected = [connect(maps) for connect, maps in zip(self.connectors, ours, strict=True)]
        margins = [self.get_buffer(f"margin{stage}") for stage in range(len(ours))]
        return {"ofd": ofd_loss(connected, theirs, margins)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `feature_weight` for `ofd`, in every epoch."""
        return {"ce": self.params.ce_weight, "ofd": self.params.feature_weight}
