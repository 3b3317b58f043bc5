"""TeKAP, Teacher Knowledge Augmentation via Perturbation (Hossain et al., ICLR 2025), at the level of logits.

::

    L = ce_weight * CE(z_s, y) + kd_weight * (kd + perturbed_weight * tekap)

    kd    = K(z_s, z_t)
    tekap = sum over i = 1 ... draws of K(z_s, (1 - mix) * z_t + mix * e_i)      e_i ~ N(0, 1), of each class alone
    K(a, b) = T² KL(softmax(b / T) || softmax(a / T))

Several teachers out of one: its logits, each time perturbed by other noise. T -> `temperature`.

The numbers are those of the authors' release, where 3 draws, a mix of 0.1 and the weight of 0.8 are literals. The terms
are added up and not averaged, so that KD weighs 3.4 times as much as in KD itself, and the noise does not know the
scale of the logits. Where it differs: there e_i comes from torch's global generator; here it is a function of (seed,
epoch, sample, class, i), so that a resumed trial repeats and a batch has the same loss in any order. The other half of
the release, CRD run twice with a perturbed feature, is left out.

Shapes: `B` batch, `C` classes, `N` draws.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams, Setting
from trainers.distillers.kd import kd_loss
from trainers.draws import bits_from, start
from trainers.models import Network


def perturbed_loss(
    student_logits: Tensor, teacher_logits: Tensor, noise: Tensor, *, temperature: float = 4.0, mix: float = 0.1
) -> Tensor:
    """`tekap`: KD's loss, summed over the perturbed teachers; arguments as in :func:`tekap_loss`."""
    teachers = (1 - mix) * teacher_logits.detach() + mix * noise  # [N, B, C]
    students = student_logits.expand_as(teachers).flatten(0, 1)
    return kd_loss(students, teachers.flatten(0, 1), temperature=temperature) * len(noise)


def tekap_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    noise: Tensor,
    *,
    temperature: float = 4.0,
    mix: float = 0.1,
    perturbed_weight: float = 0.8,
) -> Tensor:
    """kd + perturbed_weight * tekap, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        noise: ``[N, B, C]``, the draws, standard normal.
        temperature: `T`.
        mix: share of the noise in the perturbed logits.
        perturbed_weight: weight of each perturbed teacher beside the teacher itself.
    """
    kd = kd_loss(student_logits, teacher_logits, temperature=temperature)
    perturbed = perturbed_loss(student_logits, teacher_logits, noise, temperature=temperature, mix=mix)
    return kd + perturbed_weight * perturbed


def draw_noise(seed: int, epoch: int, index: Tensor, *, draws: int, classes: int) -> Tensor:
    """Standard normal numbers, float32 ``[draws, B, classes]``.

    Args:
        seed, epoch: with a sample's index, the address of its draws.
        index: int64 ``[B]``, each image's place in the data set.
        draws: `N`.
        classes: `C`.
    """
    return _drawn(_start(seed, epoch), index, draws, classes)


def _start(seed: int, epoch: int) -> int:
    return start(seed, "tekap noise", epoch)


def _drawn(beginning: int | Tensor, index: Tensor, draws: int, classes: int) -> Tensor:
    """:func:`draw_noise` from where an epoch's draws start."""
    entries = torch.arange(draws * classes, device=index.device).view(draws, 1, classes)
    places = index[:, None] * (draws * classes) + entries  # [N, B, C]
    uniform = ((bits_from(beginning, places) >> 10).double() + 0.5) * 2.0**-53  # in (0, 1), neither end
    noise: Tensor = torch.special.ndtri(uniform)
    return noise.float()


class TeKAPParams(MethodParams):
    """Hyperparameters of TeKAP."""

    ce_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the labels."""
    kd_weight: float = Field(0.9, ge=0)
    """Weight of the distillation, perturbed teachers included."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens all distributions."""
    draws: int = Field(3, ge=1, le=100)
    """Perturbed teachers in each step; a literal of the release."""
    mix: float = Field(0.1, ge=0, le=1)
    """Share of the noise in a perturbed teacher's logits; a literal of the release."""
    perturbed_weight: float = Field(0.8, ge=0)
    """Weight of each perturbed teacher beside the teacher itself; a literal of the release."""


class TeKAP(Distiller):
    """The teacher, and several more that are its logits with noise."""

    Params: ClassVar[type[MethodParams]] = TeKAPParams
    summary: ClassVar[str] = "the teacher, and more made of its logits with noise (ICLR 2025)"
    beginning: Tensor  # int64, a scalar: where the epoch's draws start

    def __init__(self, params: TeKAPParams, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params, self.seed = params, setting.seed
        self.register_buffer("beginning", torch.zeros((), dtype=torch.int64), persistent=False)

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> TeKAP:
        """The method around `student`; nothing is added to it."""
        return cls(params, student, setting)

    def begin(self, epoch: int) -> None:
        """Set where its draws start."""
        self.beginning.fill_(_start(self.seed, epoch))

    def losses(self, batch: Batch) -> Losses:
        """`ce`, `kd` and `tekap`, of float32 logits ``[B, C]``.

        Raises:
            TypeError: where the batch carries no teacher's pass.
        """
        params = self.params
        self.at(batch.epoch)
        logits, teacher = self.passed(batch.images).logits.float(), batch.need_teacher().logits.float()
        noise = _drawn(self.beginning, batch.index, params.draws, self.num_classes)
        ce = batch.ce(logits)
        kd = kd_loss(logits, teacher, temperature=params.temperature)
        perturbed = perturbed_loss(logits, teacher, noise, temperature=params.temperature, mix=params.mix)
        return Losses(logits, {"ce": ce, "kd": kd, "tekap": perturbed})

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`, `kd_weight` for `kd` and that times `perturbed_weight` for `tekap`, in every epoch."""
        params = self.params
        return {"ce": params.ce_weight, "kd": params.kd_weight, "tekap": params.kd_weight * params.perturbed_weight}
