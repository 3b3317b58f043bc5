"""Curriculum Temperature for Knowledge Distillation (Li et al., arXiv 2211.16231, AAAI 2023): one learnt temperature.

::

    L = ce_weight * CE(z_s, y) + kd_weight * T² KL(softmax(z_t / T) || softmax(z_s / T))

    T = least + span * sigmoid(theta)                                            theta: learnt, starts at `init`
    d theta = - lambda * dL / dT * dT / d theta,   lambda = (1 - cos(pi * min(epoch / E, 1))) / 2

The temperature learns against the student: its gradient is reversed, so that it moves to where the divergence is
larger, and lambda lets that in over the first E epochs. E -> `curriculum_epochs`. T² is differentiated along with the
divergence. theta is one number, a parameter of the method that the recipe's optimiser trains and decays like all
others, as in the authors' release; it is dropped afterwards.

The defaults are the release's CIFAR-100 script: T from 1 to 21, theta = 1 at first (T = 15.6), E = 10, weights 0.1 and
0.9. The paper's other form, a temperature for each sample out of a small network, is not in the release and not here;
nor are its combinations with feature methods. No other difference is known; checked against the equation, not against
numbers of the authors' code.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams, Setting
from trainers.distillers.kd import soft_kl
from trainers.models import Network


def reversal(epoch: int, epochs: int) -> float:
    """lambda, how strongly the temperature works against the student in `epoch` (from 1); 1 after `epochs` epochs."""
    return (1 - math.cos(math.pi * min(epoch / epochs, 1.0))) / 2 if epochs > 0 else 1.0


def reversed_gradient(value: Tensor, strength: float | Tensor) -> Tensor:
    """`value` itself, of any shape, whose gradient comes back multiplied by minus `strength`."""
    still = value.detach()
    return still - strength * (value - still)


class CTKDParams(MethodParams):
    """Hyperparameters of CTKD."""

    ce_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the labels."""
    kd_weight: float = Field(0.9, ge=0)
    """Weight of the distillation term."""
    least: float = Field(1.0, gt=0)
    """The least temperature (the release's `t_start`)."""
    span: float = Field(20.0, gt=0)
    """How far the temperature may rise above it (the release's `t_end`)."""
    init: float = 1.0
    """theta before training: the temperature starts at least + span * sigmoid(init)."""
    curriculum_epochs: int = Field(10, ge=0)
    """Epochs over which the reversed gradient comes in along half a cosine; 0 for all of it at once."""


class CTKD(Distiller):
    """KD at a temperature that learns to make the student's task harder."""

    Params: ClassVar[type[MethodParams]] = CTKDParams
    summary: ClassVar[str] = "KD at a temperature learnt against the student (arXiv 2211.16231)"
    strength: Tensor  # lambda of the epoch, a scalar

    def __init__(self, params: CTKDParams, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params
        self.theta = nn.Parameter(torch.tensor(params.init))
        self.register_buffer("strength", torch.zeros(()), persistent=False)

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> CTKD:
        """The method around `student`, with `theta` at `init`."""
        return cls(params, student, setting)

    def begin(self, epoch: int) -> None:
        """Set lambda."""
        self.strength.fill_(reversal(epoch, self.params.curriculum_epochs))

    def temperature(self, epoch: int) -> Tensor:
        """T, a scalar, whose gradient is reversed as far as `epoch` lets it."""
        self.at(epoch)
        theta = reversed_gradient(self.theta, self.strength)
        return self.params.least + self.params.span * torch.sigmoid(theta)

    def losses(self, batch: Batch) -> Losses:
        """`ce`, and `ctkd`: KD's loss of float32 logits ``[B, C]`` at the epoch's :meth:`temperature`, which learns
        along."""
        logits = self.passed(batch.images).logits.float()
        teacher = batch.need_teacher().logits.float().detach()
        kd = soft_kl(logits, teacher, self.temperature(batch.epoch))
        return Losses(logits, {"ce": batch.ce(logits), "ctkd": kd})

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `kd_weight` for `ctkd`; what changes over the epochs is the gradient of `theta`
        alone."""
        return {"ce": self.params.ce_weight, "ctkd": self.params.kd_weight}
