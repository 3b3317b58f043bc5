"""VID, Variational Information Distillation for Knowledge Transfer (Ahn et al., arXiv 1904.05835, CVPR 2019).

::

    L = ce_weight * CE(z_s, y) + feature_weight * vid

    vid = sum over stages of the mean over all entries of 1/2 * ((r(f_s) - f_t)² / v + log v)
    v   = log(1 + exp(log_scale)) + eps, of each channel of f_t

The negative log-likelihood, up to a constant, of the teacher's map under a normal distribution whose mean the regressor
r (three 1 × 1 convolutions with ReLUs between) predicts from the student's map, and whose variance v is learnt: what
the student cannot predict costs less. It can be negative. Maps of different sizes are average-pooled to the smaller one
before r. All stages after the stem are read, after their ReLU where they have one. Regressors and `log_scale` train
along and are dropped afterwards. The first v -> `init_variance`, eps -> `eps`.

Where mdistiller's release differs: it keeps each `log_scale` in a plain list, so that it is never registered, moved to
the GPU or trained, and v stays what it was at the start. Here it is a parameter and trains, as the paper describes;
with a v fixed at 5 the loss is mse / 10 plus a constant. The recipe's weight decay acts on it as on all parameters.
Pairing of networks with unequally many stages: :mod:`trainers.distillers.feature_maps`.

Shapes: `B` batch, `K` channels, `h`, `w` pixels of a map.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams, Setting, shapes
from trainers.distillers.feature_maps import MapDistiller, paired_stages, pooled_alike
from trainers.models import Features, Network


def vid_loss(mean: Tensor, teacher_map: Tensor, log_scale: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Negative log-likelihood of the teacher's map, mean over all entries, without its constant.

    Args:
        mean, teacher_map: ``[B, K, h, w]``.
        log_scale: ``[K]``; the variance is its softplus plus `eps`.
        eps: least variance.
    """
    variance = (F.softplus(log_scale) + eps).view(1, -1, 1, 1)
    return 0.5 * ((mean - teacher_map.detach()).square() / variance + variance.log()).mean()


class Predictor(nn.Module):
    """The teacher's map, predicted from the student's: a mean for each entry, a variance for each channel."""

    def __init__(self, channels_in: int, channels: int, *, init_variance: float = 5.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.mean = nn.Sequential(
            nn.Conv2d(channels_in, channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
        )
        self.eps = eps
        variance = init_variance - eps
        self.log_scale = nn.Parameter(torch.full((channels,), variance + math.log(-math.expm1(-variance))))

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """:func:`vid_loss` of two maps, ``[B, K, h, w]`` each."""
        student, teacher = pooled_alike(student_map, teacher_map)
        return vid_loss(self.mean(student), teacher, self.log_scale, eps=self.eps)


class VIDParams(MethodParams):
    """Hyperparameters of VID."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    feature_weight: float = Field(1.0, ge=0)
    """Weight of `vid`."""
    init_variance: float = Field(5.0, gt=0)
    """Variance of each channel at the start; more than eps."""
    eps: float = Field(1e-5, gt=0)
    """Least variance."""

    @model_validator(mode="after")
    def _starts_above_the_least(self) -> VIDParams:
        if self.init_variance <= self.eps:
            raise ValueError(f"init_variance ({self.init_variance}) must be more than eps ({self.eps})")
        return self


class VID(MapDistiller):
    """The teacher's maps are likely, given the student's."""

    least_stages: ClassVar[int] = 2
    Params: ClassVar[type[MethodParams]] = VIDParams
    summary: ClassVar[str] = "likelihood of the teacher's maps given the student's (arXiv 1904.05835)"
    params: VIDParams

    def __init__(self, params: VIDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        own, taught = (shapes(network, setting.image_size) for network in (student, setting.need_teacher()))
        pairs = zip(*paired_stages(own, taught), strict=True)
        start = {"init_variance": params.init_variance, "eps": params.eps}
        self.predictors = nn.ModuleList(Predictor(s.shape[1], t.shape[1], **start) for s, t in pairs)

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`vid`: :func:`vid_loss`, a scalar, summed over the paired stages ``[B, K, h, w]``, each with a
        :class:`Predictor` of its own."""
        stages = zip(self.predictors, *paired_stages(student, teacher), strict=True)
        return {"vid": torch.stack([predictor(own, taught) for predictor, own, taught in stages]).sum()}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `feature_weight` for `vid`, in every epoch."""
        return {"ce": self.params.ce_weight, "vid": self.params.feature_weight}
