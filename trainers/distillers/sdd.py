"""SDD, Scale Decoupled Distillation (Wei, Luo & Luo, arXiv 2403.13512, CVPR 2024): KD, DKD or NKD of every region.

::

    L = ce_weight * CE(z_s, y) + min(epoch / warmup, 1) * (alpha * D1 + beta * D2)

    D = 1/(B R) sum over samples and regions r of w[r] * d(s[r], t[r], y)
    w[r] = disagreement where the teacher is right about the region or the whole map alone, else 1

    around kd:  d1 = T² KL(p_t || p_s)                                    p: softmax(z / T); there is no d2
    around dkd: d1 = TCKD, d2 = NCKD                                      (trainers.distillers.dkd)
    around nkd: d1 = - q_t[y] log q_s[y]                                  q: softmax(z)
                d2 = - T² sum over classes of p_t log p_s

s[r], t[r]: logits of a region, which are the classifier's, of the map in front of the pooling averaged over the region.
The map is averaged to 4 × 4 cells, and these to 2 × 2 and to one; R = 21 regions with `finest` 4, 5 with 2 (M = [1, 2]
there), 1 with 1. Each network is read by its own classifier; the student's gets gradients from all regions. Where
neither 4 nor the map's side divides the other, cells overlap, and the whole map's region is not quite the network's
logits.

The numbers are those of the authors' release. What is odd in it:

- In SD-NKD the mask that should leave the label out of d2 is filled with ones, so that d2 is over all classes. That is
  the default, `nkd_classes: all`; `others` leaves the label out and normalises the rest, as NKD has it.
- It replaces a batch's loss by 0, without gradient and without a word, where it is not finite, as at logits whose
  probabilities float32 cannot hold. Here the losses are exact there, and one that is not finite ends the trial.
- It clips the norm of all gradients at 40, for every method; that is a matter of the recipe and not done here.
- SD-KD has no warm-up and other weights: `{around: kd, ce_weight: 0.1, alpha: 0.9, warmup_epochs: 0}`.

beta is tuned per pair there: 6 for vgg13 and most of wrn_40_2, 8 for resnet32x4 and ResNet50; on ImageNet T = 1, a
warm-up of one epoch, beta 0.5 for ResNet34 -> ResNet18 and 2 for ResNet50 -> MobileNetV2.

Shapes: `B` batch, `C` classes, `D` features, `R` regions, `h`, `w` pixels of a map.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams, Setting, ramp
from trainers.distillers.feature_maps import MapDistiller, survey
from trainers.distillers.partition import divergences, kl_divergence, ranking
from trainers.models import Features, Network

SIDES = (1, 2, 4)
"""Regions along a side of the map, coarsest first; finer grids are not in the release."""

Around = Literal["kd", "dkd", "nkd"]
NKDClasses = Literal["all", "others"]
TERMS: dict[Around, tuple[str, ...]] = {
    "kd": ("sd_kd",),
    "dkd": ("sd_tckd", "sd_nckd"),
    "nkd": ("sd_nkd_target", "sd_nkd_other"),
}
"""What is weighed by alpha, and what by beta."""


def region_logits(unpooled: Tensor, weight: Tensor, bias: Tensor | None, *, finest: int = 4) -> Tensor:
    """Logits of each region, ``[B, R, C]``: the whole map first, then finer grids, row by row.

    Args:
        unpooled: the map in front of the pooling, ``[B, D, h, w]``.
        weight, bias: the classifier's, ``[C, D]`` and ``[C]``.
        finest: regions along a side of the finest grid, of :data:`SIDES`.
    """
    cells = F.adaptive_avg_pool2d(unpooled, SIDES[-1])
    grids = [F.adaptive_avg_pool2d(cells, side).flatten(2) for side in SIDES if side <= finest]
    return F.linear(torch.cat(grids, dim=2).mT, weight, bias)


def region_weights(teacher_regions: Tensor, targets: Tensor, *, disagreement: float = 2.0) -> Tensor:
    """w: ``[B, R]``; arguments as in :func:`sdd_loss`."""
    right = teacher_regions.argmax(dim=2) == targets[:, None]  # [B, R]
    return 1 + (disagreement - 1) * (right != right[:, :1]).to(teacher_regions.dtype)


def sdd_terms(
    student_regions: Tensor,
    teacher_regions: Tensor,
    targets: Tensor,
    *,
    around: Around = "dkd",
    temperature: float = 4.0,
    disagreement: float = 2.0,
    nkd_classes: NKDClasses = "all",
) -> tuple[Tensor, ...]:
    """D1 and D2, of which KD has the first alone, unweighted; arguments as in :func:`sdd_loss`."""
    teacher = teacher_regions.detach()
    labels = targets[:, None].expand(teacher.shape[:2])  # [B, R]
    rows = (student_regions.flatten(0, 1), teacher.flatten(0, 1), labels.flatten())
    if around == "kd":
        losses: tuple[Tensor, ...] = (_kd(*rows[:2], temperature),)
    elif around == "dkd":
        losses = _dkd(*rows, temperature)
    else:
        losses = _nkd(*rows, temperature, nkd_classes)
    weights = region_weights(teacher, targets, disagreement=disagreement).flatten()
    return tuple((weights * loss).mean() for loss in losses)


def sdd_loss(
    student_regions: Tensor,
    teacher_regions: Tensor,
    targets: Tensor,
    *,
    around: Around = "dkd",
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    disagreement: float = 2.0,
    nkd_classes: NKDClasses = "all",
) -> Tensor:
    """alpha * D1 + beta * D2, mean over batch and regions, without warm-up.

    Args:
        student_regions, teacher_regions: logits ``[B, R, C]``, the whole map's first (:func:`region_logits`).
        targets: int64 ``[B]``.
        around: the loss of each region, KD's, DKD's or NKD's.
        alpha, beta: weights of its two terms; KD has the first alone.
        temperature: `T`.
        disagreement: weight of a region where the teacher is right about it or about the whole map alone.
        nkd_classes: whether NKD's second term is over all classes, as released, or over all but the label's.
    """
    terms = sdd_terms(
        student_regions,
        teacher_regions,
        targets,
        around=around,
        temperature=temperature,
        disagreement=disagreement,
        nkd_classes=nkd_classes,
    )
    return torch.stack([weight * term for weight, term in zip((alpha, beta), terms, strict=False)]).sum()


def _kd(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² KL of each row ``[N, C]``: ``[N]``."""
    student, teacher = ((logits / temperature).log_softmax(dim=1) for logits in (student, teacher))
    return temperature**2 * kl_divergence(student, teacher)


def _dkd(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """TCKD and NCKD of each row: ``[N]`` each."""
    order, sizes = ranking(teacher, first=targets), (1, student.shape[1] - 1)
    parts = divergences(student, teacher, order, sizes, temperature=temperature)
    return parts.between, parts.within[1]


def _nkd(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, classes: NKDClasses
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the label's class, and of the others or of all, of each row: ``[N]`` each."""
    label = targets[:, None]
    target = -teacher.softmax(dim=1).gather(1, label) * student.log_softmax(dim=1).gather(1, label)
    if classes == "others":
        others = ranking(teacher, first=targets)[:, 1:]
        student, teacher = student.gather(1, others), teacher.gather(1, others)
    entropies = -(teacher / temperature).softmax(dim=1) * (student / temperature).log_softmax(dim=1)
    return target[:, 0], temperature**2 * entropies.sum(dim=1)


class SDDParams(MethodParams):
    """Hyperparameters of SDD."""

    around: Around = "dkd"
    """The loss of each region: KD's, DKD's or NKD's."""
    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels; the release has 0.1 around KD."""
    alpha: float = Field(1.0, ge=0)
    """Weight of KD's divergence (0.9 in the release), of TCKD, or of NKD's label class."""
    beta: float = Field(8.0, ge=0)
    """Weight of NCKD, or of NKD's other classes; KD has none."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs over which alpha and beta rise linearly from 0; 0 for none, as the release has it around KD."""
    finest: Literal[1, 2, 4] = 4
    """Regions along a side of the finest grid; all coarser ones are there too, and 1 is the whole map alone."""
    disagreement: float = Field(2.0, ge=0)
    """Weight of a region where the teacher is right about it or about the whole map alone; 1 elsewhere."""
    nkd_classes: NKDClasses = "all"
    """Around NKD: whether beta's term is over all classes, as released, or over those that are not the label's."""


class SDD(MapDistiller):
    """Every region of the map in front of the pooling, classified by itself, imitates the teacher's."""

    Params: ClassVar[type[MethodParams]] = SDDParams
    summary: ClassVar[str] = "KD, DKD or NKD of every region of the last map (arXiv 2403.13512)"
    params: SDDParams
    reads_labels = True
    teacher_weight: Tensor  # [C, D]
    teacher_bias: Tensor | None  # [C]

    def __init__(self, params: SDDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        teacher = setting.need_teacher()
        for network in (student, teacher):
            survey(network, setting, "sdd", unpooled=True)
        head = teacher.classifier
        bias = head.bias.detach().clone() if head.bias is not None else None
        self.register_buffer("teacher_weight", head.weight.detach().clone(), persistent=False)
        self.register_buffer("teacher_bias", bias, persistent=False)

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """What :data:`TERMS` names, scalars of :func:`sdd_terms`, of both networks' regions ``[B, R, C]``."""
        params, head = self.params, self.student.classifier
        ours = region_logits(student.unpooled, head.weight, head.bias, finest=params.finest)
        theirs = region_logits(teacher.unpooled, self.teacher_weight, self.teacher_bias, finest=params.finest)
        found = sdd_terms(
            ours,
            theirs,
            batch.targets,
            around=params.around,
            temperature=params.temperature,
            disagreement=params.disagreement,
            nkd_classes=params.nkd_classes,
        )
        return dict(zip(TERMS[params.around], found, strict=True))

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `alpha` and `beta` for the others, which rise linearly over `warmup_epochs`."""
        params = self.params
        risen = ramp(epoch, params.warmup_epochs)
        both = (risen * params.alpha, risen * params.beta)
        return {"ce": params.ce_weight, **dict(zip(TERMS[params.around], both, strict=False))}
