"""Three ways to correct a teacher by the labels before it teaches: what Refined Logit Distillation is compared with.

::

    LA: L = ce_weight * CE(z_s, y) + kd_weight * K(z_s, swap(z_t))
    RC: L = ce_weight * CE(z_s, y) + kd_weight * K(z_s, z_t) + self_weight * K(z_s, raise(z_s))
    LR: L = ce_weight * CE(z_s, y) + right_weight * CE over R
            + logit_weight * mean over R of |z_s - z_t|² / C + revised_weight * mean over W of |p_s - r|² / C

    K(z_s, z_t) = T² KL(softmax(z_t / T) || softmax(z_s / T))
    swap(z):  z with the values of its largest class and of y exchanged
    raise(z): z with max(z) added to the value of y, as a target without gradient
    R: the samples that the teacher gets right, W: the others;  p: softmax(z)
    r = m p_t + (1 - m) onehot(y),   m = eta / (max(p_t) - p_t[y] + 1)

LA exchanges values, RC lets the student correct itself, LR (label revision) mixes the teacher's probabilities with the
label, which is then 1 - eta ahead of the teacher's first class. T -> `temperature`.

All three are as RLD's release (zju-SWJ/RLD) has them, whose numbers these are. Its LA has no cross-entropy (`ce_weight`
is 0), the cross-entropy of its LR covers R alone (`right_weight`, beside which `ce_weight` is 0), and a group without
samples counts 0. The weights 0.1 of RC and 4, 1 and 0.8 of LR are constants there. T is 4 on CIFAR-100 and 1 on
ImageNet. Its option to standardise logits in RC is `standardize`.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import LogitDistiller, MethodParams
from trainers.distillers.kd import kd_loss
from trainers.distillers.lskd import standardize as standard_scores
from trainers.distillers.sld import swap_logits


def la_loss(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, *, temperature: float = 4.0) -> Tensor:
    """LA: KD's loss with the teacher's first class and the label exchanged, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        targets: int64 ``[B]``.
        temperature: `T`.
    """
    return kd_loss(student_logits, swap_logits(teacher_logits, targets), temperature=temperature)


def raised(logits: Tensor, targets: Tensor) -> Tensor:
    """``[B, C]``, without gradient: logits with each sample's largest value added to that of its label."""
    still = logits.detach()
    return still + F.one_hot(targets, logits.shape[1]) * still.amax(dim=1, keepdim=True)


def rc_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    temperature: float = 4.0,
    standardize: bool = False,
) -> tuple[Tensor, Tensor]:
    """KD's loss, and the student's divergence from itself with the label raised; arguments as in :func:`rc_loss`."""
    if standardize:
        student_logits, teacher_logits = standard_scores(student_logits), standard_scores(teacher_logits)
    corrected = raised(student_logits, targets)
    taught = kd_loss(student_logits, teacher_logits, temperature=temperature)
    return taught, kd_loss(student_logits, corrected, temperature=temperature)


def rc_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    kd_weight: float = 1.0,
    self_weight: float = 0.1,
    temperature: float = 4.0,
    standardize: bool = False,
) -> Tensor:
    """RC, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        targets: int64 ``[B]``.
        kd_weight: weight of KD's loss.
        self_weight: weight of the student's divergence from itself with the label raised.
        temperature: `T`.
        standardize: compare standard scores.
    """
    taught, own = rc_terms(student_logits, teacher_logits, targets, temperature=temperature, standardize=standardize)
    return kd_weight * taught + self_weight * own


def lr_terms(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, *, eta: float = 0.8
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy and squared logit difference where the teacher is right, and the squared difference from revised
    probabilities where it is wrong, each a mean over its samples; arguments as in :func:`lr_loss`."""
    teacher = teacher_logits.detach()
    right = (teacher.argmax(dim=1) == targets).to(student_logits.dtype)  # [B]
    ce = F.cross_entropy(student_logits, targets, reduction="none")
    logit = (student_logits - teacher).square().mean(dim=1)
    revised = (student_logits.softmax(dim=1) - revised_labels(teacher, targets, eta=eta)).square().mean(dim=1)
    return _mean_over(ce, right), _mean_over(logit, right), _mean_over(revised, 1 - right)


def revised_labels(teacher_logits: Tensor, targets: Tensor, *, eta: float = 0.8) -> Tensor:
    """r ``[B, C]``: the teacher's probabilities mixed with the label (int64 ``[B]``), which is 1 - `eta` ahead of the
    teacher's first class where that is another."""
    teacher, label = teacher_logits.softmax(dim=1), targets[:, None]
    mix = eta / (teacher.amax(dim=1, keepdim=True) - teacher.gather(1, label) + 1)  # [B, 1]
    return mix * teacher + (1 - mix) * F.one_hot(targets, teacher.shape[1])


def lr_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    right_weight: float = 1.0,
    logit_weight: float = 4.0,
    revised_weight: float = 1.0,
    eta: float = 0.8,
) -> Tensor:
    """LR, with the cross-entropy of the samples that the teacher gets right, which is a part of it.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        targets: int64 ``[B]``.
        right_weight, logit_weight: weights of the cross-entropy and of the squared logit difference, over the samples
            that the teacher gets right.
        revised_weight: weight of the squared difference from revised probabilities, over the others.
        eta: the teacher's share in them, where it is nearly right.
    """
    ce, logit, revised = lr_terms(student_logits, teacher_logits, targets, eta=eta)
    return right_weight * ce + logit_weight * logit + revised_weight * revised


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of values ``[B]`` where `chosen` ``[B]`` is 1; 0 where it nowhere is."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)


class LAParams(MethodParams):
    """Hyperparameters of LA."""

    ce_weight: float = Field(0.0, ge=0)
    """Weight of the cross-entropy with the labels; the release has none."""
    kd_weight: float = Field(1.0, ge=0)
    """Weight of the distillation term."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""


class RCParams(MethodParams):
    """Hyperparameters of RC."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    kd_weight: float = Field(1.0, ge=0)
    """Weight of KD's loss."""
    self_weight: float = Field(0.1, ge=0)
    """Weight of the student's divergence from itself with the label raised."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens all distributions."""
    standardize: bool = False
    """Standardise both logits first (LSKD); the temperature then divides standard scores: 2, say."""


class LRParams(MethodParams):
    """Hyperparameters of LR."""

    ce_weight: float = Field(0.0, ge=0)
    """Weight of the cross-entropy with the labels of all samples; the release has none."""
    right_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy of the samples that the teacher gets right."""
    logit_weight: float = Field(4.0, ge=0)
    """Weight of the squared logit difference of the same samples."""
    revised_weight: float = Field(1.0, ge=0)
    """Weight of the squared difference from revised probabilities, of the other samples."""
    eta: float = Field(0.8, ge=0, le=1)
    """The teacher's share in revised probabilities, where it is nearly right."""


class LA(LogitDistiller):
    """KD from a teacher whose mistakes are swapped away."""

    Params: ClassVar[type[MethodParams]] = LAParams
    summary: ClassVar[str] = "KD with the teacher's first class and the label exchanged (RLD's baseline)"
    params: LAParams
    reads_labels = True

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`la`: :func:`la_loss`, a scalar, from logits ``[B, C]``."""
        return {"la": la_loss(student, teacher, targets, temperature=self.params.temperature)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `kd_weight` for `la`, in every epoch."""
        return {"ce": self.params.ce_weight, "la": self.params.kd_weight}


class RC(LogitDistiller):
    """KD beside a student that corrects itself."""

    Params: ClassVar[type[MethodParams]] = RCParams
    summary: ClassVar[str] = "KD, and the student's own logits with the label raised (RLD's baseline)"
    params: RCParams
    reads_labels = True

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`kd` and `rc`, scalars of :func:`rc_terms`, from logits ``[B, C]``."""
        options = self.params
        taught, own = rc_terms(
            student, teacher, targets, temperature=options.temperature, standardize=options.standardize
        )
        return {"kd": taught, "rc": own}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`, `kd_weight` for `kd` and `self_weight` for `rc`, in every epoch."""
        return {"ce": self.params.ce_weight, "kd": self.params.kd_weight, "rc": self.params.self_weight}


class LR(LogitDistiller):
    """Logits where the teacher is right, revised probabilities where it is wrong."""

    Params: ClassVar[type[MethodParams]] = LRParams
    summary: ClassVar[str] = "logits of right answers, label-revised probabilities of others (RLD's baseline)"
    params: LRParams
    reads_labels = True

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`ce_right`, `lr_logit` and `lr_revised`, scalars of :func:`lr_terms`, from logits ``[B, C]``."""
        ce, logit, revised = lr_terms(student, teacher, targets, eta=self.params.eta)
        return {"ce_right": ce, "lr_logit": logit, "lr_revised": revised}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight`, `right_weight`, `logit_weight` and `revised_weight` for `ce`, `ce_right`, `lr_logit` and
        `lr_revised`, in every epoch."""
        params = self.params
        weights = {
            "ce_right": params.right_weight,
            "lr_logit": params.logit_weight,
            "lr_revised": params.revised_weight,
        }
        return {"ce": params.ce_weight} | weights
