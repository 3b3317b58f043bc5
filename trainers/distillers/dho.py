"""DHO, dual-head optimisation (Kang et al., arXiv 2505.07675).

::

    L = ce_weight * CE(a, y) + kd_weight * T² KL(softmax(z_t / T) || softmax(b / T))

    prediction = alpha * softmax(a) + (1 - alpha) * softmax(b / beta)

a, b: logits of two linear heads on one pooled feature. The label head `a` is the student's own classifier and learns
the labels alone; the distillation head `b` learns the teacher alone. Both are used at test time: their probabilities
are mixed, not their logits. T -> `temperature`.

Beside DHKD (:mod:`trainers.distillers.dhkd`) it is the same idea, two heads that keep two losses apart, with KD's
softmax divergence on the second head, without gradient alignment, and with a second head that is not dropped: what is
evaluated and exported is the student with both heads, whose logits are the log-probabilities of the mixture.

With a recipe's `labelled_fraction` it is semi-supervised, as the paper has it: the label head learns from the images
with a label alone, and the divergence is the sum of two means, over the images with a label and over those without:

::

    L = ce_weight * mean_l CE(a, y) + kd_weight * (mean_l KD + mean_u KD)

    KD = T² KL(softmax(z_t / T) || softmax(b / T))              mean_l, mean_u: over images with a label, and without

The authors' release draws two batches of one size for a step, one with labels and one without, however few images have
one. Here an epoch has each image once, and a batch of B images about f B labels (f: the fraction), so that the teacher
is asked no more than by other methods: an image with a label weighs 1 / f in its mean, one without 1 / (1 - f), which
has the same gradient on average, and in a batch with exactly its share is the release's number
(:func:`dho_loss` with `unlabelled`).

Where the release differs further: its teacher is CLIP; its scripts for labelled data choose alpha and beta after
training, one of them on the test set in every epoch; here they are hyperparameters, by default 0.5 and 0.5 as in its
semi-supervised scripts, and a search chooses them where the spec lets it. Both weights are 1 in those. T is a literal
there.

Shapes: `B` batch, `C` classes, `D` features.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams, Setting
from trainers.distillers.kd import kd_loss
from trainers.distillers.labels import known
from trainers.models import Features, Network


def dho_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float = 2.0,
    unlabelled: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """KD's loss of the distillation head, mean over the batch; with unlabelled images, the sum of both batches' means.

    Args:
        student_logits: ``[B, C]``, of the distillation head.
        teacher_logits: ``[B, C]``; no gradient reaches them.
        temperature: `T`.
        unlabelled: the same two of a batch without labels, which may have another size.
    """
    labelled = kd_loss(student_logits, teacher_logits, temperature=temperature)
    return labelled if unlabelled is None else labelled + kd_loss(*unlabelled, temperature=temperature)


def weighed_dho_loss(
    student_logits: Tensor, teacher_logits: Tensor, labelled: Tensor, *, share: float, temperature: float = 2.0
) -> Tensor:
    """The sum of both means of :func:`dho_loss` as one batch of images with and without a label shows it.

    Equal to it where the batch holds exactly its share of labels, and on average everywhere.

    Args:
        student_logits: ``[B, C]``, of the distillation head.
        teacher_logits: ``[B, C]``; no gradient reaches them.
        labelled: bool ``[B]``, which images have a label.
        share: of all training images that have one, between 0 and 1.
        temperature: `T`.
    """
    student, teacher = ((z / temperature).log_softmax(dim=1) for z in (student_logits, teacher_logits.detach()))
    each = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1) * temperature**2
    return torch.where(labelled, each / share, each / (1 - share)).mean()


def mixed_logits(label_logits: Tensor, distilled_logits: Tensor, *, alpha: float = 0.5, beta: float = 0.5) -> Tensor:
    """Logarithm of the prediction: ``[B, C]``, log-probabilities.

    Args:
        label_logits, distilled_logits: ``[B, C]``, of the label head and of the distillation head.
        alpha: share of the label head, from 0 to 1.
        beta: temperature of the distillation head.
    """
    shares = ((alpha, label_logits), (1 - alpha, distilled_logits / beta))
    parts = [math.log(share) + logits.log_softmax(dim=1) for share, logits in shares if share > 0]
    return parts[0] if len(parts) == 1 else torch.logaddexp(*parts)


class TwoHeads(Network):
    """A student and a second classifier on its pooled feature, which predict together: what DHO evaluates and exports.

    All stations are the student's but the logits: these are log-probabilities of the mixture.
    """

    def __init__(self, student: Network, aux_head: nn.Module, *, alpha: float = 0.5, beta: float = 0.5) -> None:
        """`aux_head`: ``[B, D]`` to ``[B, C]``; the others as in :func:`mixed_logits`."""
        super().__init__()
        self.student, self.aux_head, self.alpha, self.beta = student, aux_head, alpha, beta
        self.stage_channels, self.feature_dim = student.stage_channels, student.feature_dim

    @property
    def classifier(self) -> nn.Linear:
        """The label head, the student's own: ``[B, D]`` to ``[B, C]``."""
        return self.student.classifier

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``: the student's, with the mixture's logits."""
        passed = self.student.features(images)
        distilled = self.aux_head(passed.pooled)
        return passed._replace(logits=mixed_logits(passed.logits, distilled, alpha=self.alpha, beta=self.beta))


def two_heads(student: Network, num_classes: int, *, alpha: float = 0.5, beta: float = 0.5) -> TwoHeads:
    """`student` with a fresh second head, drawn as its own is.

    A weights file of a trial with DHO names the architecture, alpha and beta, and loads into this.
    """
    head = nn.Linear(student.feature_dim, num_classes)
    student.init_head(head)
    return TwoHeads(student, head, alpha=alpha, beta=beta)


class DHOParams(MethodParams):
    """Hyperparameters of DHO."""

    ce_weight: float = Field(0.5, ge=0)
    """Weight of the label head's cross-entropy with the labels."""
    kd_weight: float = Field(0.5, ge=0)
    """Weight of the distillation head's divergence."""
    temperature: float = Field(2.0, gt=0)
    """`T`, softens the teacher and the distillation head in training."""
    alpha: float = Field(0.5, ge=0, le=1)
    """Share of the label head in the prediction."""
    beta: float = Field(0.5, gt=0)
    """Temperature of the distillation head in the prediction."""


class DHO(Distiller):
    """Labels on one head, the teacher on another, and both at test time."""

    Params: ClassVar[type[MethodParams]] = DHOParams
    summary: ClassVar[str] = "two heads, labels on one, the teacher on the other, predict together (arXiv 2505.07675)"

    def __init__(self, params: DHOParams, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params
        self.aux_head = two_heads(student, setting.num_classes).aux_head

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> DHO:
        """The method around `student`, with a fresh distillation head."""
        return cls(params, student, setting)

    def losses(self, batch: Batch) -> Losses:
        """`ce` of the label head, and `dho` of the distillation head: :func:`dho_loss`, or :func:`weighed_dho_loss`
        where images have no label. The logits are the mixture's.

        Raises:
            TypeError: where the batch carries no teacher's pass.
        """
        passed, params = self.passed(batch.images), self.params
        labelled, distilled = passed.logits.float(), self.aux_head(passed.pooled.float())
        dho = self._divergence(distilled, batch)
        mixed = mixed_logits(labelled.detach(), distilled.detach(), alpha=params.alpha, beta=params.beta)
        return Losses(mixed, {"ce": batch.ce(labelled), "dho": dho})

    def _divergence(self, distilled: Tensor, batch: Batch) -> Tensor:
        """Of the distillation head, by whether all images have a label."""
        teacher, share = batch.need_teacher().logits.float(), batch.reading.labelled
        if share == 1:
            return dho_loss(distilled, teacher, temperature=self.params.temperature)
        labelled, temperature = known(batch.targets), self.params.temperature
        return weighed_dho_loss(distilled, teacher, labelled, share=share, temperature=temperature)

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `kd_weight` for `dho`, in every epoch."""
        return {"ce": self.params.ce_weight, "dho": self.params.kd_weight}

    @property
    def predictor(self) -> TwoHeads:
        """The student with both heads, in one network."""
        return TwoHeads(self.student, self.aux_head, alpha=self.params.alpha, beta=self.params.beta)

    @property
    def labelled(self) -> Network:
        """The student by its own head, which alone learns the labels."""
        return self.student
