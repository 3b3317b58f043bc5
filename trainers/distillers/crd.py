"""Contrastive Representation Distillation (Tian, Krishnan & Isola, arXiv 1910.10699, ICLR 2020).

::

    L = ce_weight * CE(z_s, y) + crd_weight * (NCE(e_s, M_t) + NCE(e_t, M_s))

    NCE(e, M) = - mean over samples b of ( log h(b, b) + sum over K negatives j of log (1 - h(b, j)) )
    h(b, j)   = P / (P + K/N + eps)            the probability that j is b, and not one of K draws of noise
    1 - h     = (K/N) / (P + K/N + eps)
    P(b, j)   = exp(<e_b, M_j> / tau) / Z

e_s, e_t: linear embeddings of the pooled features, of length 1; M_s, M_t: memories of the embeddings of all N training
images, M <- normalised (momentum * M + (1 - momentum) * e) after each step; Z: N times the mean of exp(...) over the
first batch, one for each of both sums, from then on constant. Negatives are images of other classes ("exact" sampling).

tau -> `temperature`, K -> `negatives`.

Where mdistiller's code differs: it draws negatives from NumPy's global generator; here a sample's negatives are a
function of (seed, epoch, sample), so a resumed trial repeats. Both draw without replacement; where fewer than K images
belong to other classes, some are repeated there, while here K shrinks to as many as every class leaves, and so does
K/N. It exponentiates; here P stays a logarithm, so no temperature overflows. The memories (2 N `dim` floats) are
buffers, so a checkpoint carries them. In evaluation mode nothing is remembered. Given the same negatives, the numbers
are those of mdistiller's code.

Shapes: `B` batch, `D` features, `d` embedding, `K` negatives, `N` training images.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams, Setting
from trainers.distillers.feature_maps import MapDistiller, unit
from trainers.draws import bits_from, start
from trainers.errors import InputError
from trainers.models import Features, Network

EPS = 1e-7
"""Added to the denominators, as in mdistiller's code."""
UNSET = -math.inf
"""Log of a normaliser that no batch has set."""


def crd_scores(embedding: Tensor, memory: Tensor, *, temperature: float = 0.07) -> Tensor:
    """<e, M_j> / tau: ``[B, 1 + K]`` from embeddings ``[B, d]`` and what each is contrasted with, ``[B, 1 + K, d]``."""
    return torch.einsum("bd,bjd->bj", embedding, memory) / temperature


def log_normaliser(scores: Tensor, *, images: int) -> Tensor:
    """Log of Z, a constant scalar: N times the mean of exp(scores), of scores of any shape; N is `images`."""
    flat = scores.detach().flatten()
    return flat.logsumexp(0) - math.log(len(flat)) + math.log(images)


def crd_loss(log_densities: Tensor, *, images: int, eps: float = EPS) -> Tensor:
    """NCE, mean over the batch.

    Args:
        log_densities: ``[B, 1 + K]``: log P of the sample itself, then of its negatives.
        images: `N`.
        eps: added to P + K/N.
    """
    noise = (log_densities.shape[1] - 1) / images
    floor = math.log(noise + eps)
    own, others = log_densities[:, 0], log_densities[:, 1:]
    log_self = -F.softplus(floor - own)  # log h
    log_noise = math.log(noise) - floor - F.softplus(others - floor)  # log (1 - h)
    return -(log_self.sum() + log_noise.sum()) / len(own)


class Memories(nn.Module):
    """An embedding of every training image by the student and by the teacher, and the normalisers of both sums."""

    student: Tensor  # [N, d]
    teacher: Tensor  # [N, d]
    log_z: Tensor  # [2], of the student's embeddings and of the teacher's

    def __init__(self, images: int, dim: int) -> None:
        super().__init__()
        bound = math.sqrt(3 / dim)
        for name in ("student", "teacher"):
            self.register_buffer(name, torch.empty(images, dim).uniform_(-bound, bound))
        self.register_buffer("log_z", torch.full((2,), UNSET))

    def forward(
        self, student: Tensor, teacher: Tensor, contrast: Tensor, *, temperature: float = 0.07, momentum: float = 0.5
    ) -> Tensor:
        """The loss of a batch; in training mode its embeddings are remembered afterwards.

        Args:
            student, teacher: embeddings ``[B, d]`` of length 1.
            contrast: int64 ``[B, 1 + K]``, rows of the memories: each sample's own, then its negatives.
            temperature: `tau`.
            momentum: share of the old memory in the new.

        Returns:
            A scalar: NCE of the student's embeddings against the teacher's memory, plus the other way round.
        """
        pairs = ((student, self.teacher), (teacher, self.student))
        scores = [crd_scores(mine, theirs[contrast], temperature=temperature) for mine, theirs in pairs]
        images = len(self.student)
        fresh = torch.stack([log_normaliser(each, images=images) for each in scores])
        log_z = torch.where(self.log_z == UNSET, fresh, self.log_z)
        if self.training:
            self.log_z.copy_(log_z)
            self._remember(self.student, student, contrast[:, 0], momentum)
            self._remember(self.teacher, teacher, contrast[:, 0], momentum)
        return torch.stack([crd_loss(each - z, images=images) for each, z in zip(scores, log_z, strict=True)]).sum()

    @staticmethod
    @torch.no_grad()
    def _remember(memory: Tensor, embedding: Tensor, rows: Tensor, momentum: float) -> None:
        memory[rows] = unit(momentum * memory[rows] + (1 - momentum) * embedding, dim=1)


def draw_negatives(seed: int, epoch: int, own: Tensor, index: Tensor, labels: Tensor, *, negatives: int) -> Tensor:
    """For each sample, different rows of images of other classes: int64 ``[B, negatives]``.

    Args:
        seed, epoch: with a sample's index, the address of its draws.
        own: int64 ``[B]``, the samples' rows in `index`.
        index, labels: int64 ``[N]``, of all training images.
        negatives: no more than any of the samples has images of other classes.
    """
    return _drawn(_start(seed, epoch), own, index, labels, negatives)


def _start(seed: int, epoch: int) -> int:
    return start(seed, "crd negatives", epoch)


def _drawn(beginning: int | Tensor, own: Tensor, index: Tensor, labels: Tensor, negatives: int) -> Tensor:
    """:func:`draw_negatives` from where an epoch's draws start."""
    pairs = index[own, None] * (index.max() + 1) + index  # [B, N]
    keys = bits_from(beginning, pairs)
    keys = keys.masked_fill(labels[own, None] == labels, torch.iinfo(torch.int64).max)
    return keys.topk(negatives, dim=1, largest=False).indices


class CRDParams(MethodParams):
    """Hyperparameters of CRD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    crd_weight: float = Field(0.8, ge=0)
    """Weight of the contrastive term, both sums together."""
    dim: int = Field(128, ge=1, le=65_536)
    """Width of the embeddings."""
    negatives: int = Field(16384, ge=1, le=10_000_000)
    """`K`, images of other classes that each sample is told from; fewer where some class leaves fewer."""
    temperature: float = Field(0.07, gt=0)
    """`tau`, divides the cosines."""
    momentum: float = Field(0.5, ge=0, lt=1)
    """Share of the old embedding when a memory is renewed."""


class CRD(MapDistiller):
    """Student and teacher embeddings of an image recognise each other among those of many others."""

    Params: ClassVar[type[MethodParams]] = CRDParams
    summary: ClassVar[str] = "contrast of embeddings against a memory of all images (arXiv 1910.10699)"
    reads_labels = True
    remembers_images: ClassVar[bool] = True
    params: CRDParams
    index: Tensor  # int64 [N]
    labels: Tensor  # int64 [N]
    beginning: Tensor  # int64, a scalar: where the epoch's draws start

    def __init__(self, params: CRDParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        self.seed = setting.seed
        self.embed_student = nn.Linear(student.feature_dim, params.dim)
        self.embed_teacher = nn.Linear(setting.need_teacher().feature_dim, params.dim)
        self.memories = Memories(len(setting.index), params.dim)
        self.negatives = min(params.negatives, _fewest_others(setting))
        self.register_buffer("index", setting.index, persistent=False)
        self.register_buffer("labels", setting.labels, persistent=False)
        self.register_buffer("beginning", torch.zeros((), dtype=torch.int64), persistent=False)

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`crd`: the loss of :class:`Memories`, a scalar, of both networks' embeddings ``[B, d]`` of the pooled
        features."""
        params = self.params
        ours = unit(self.embed_student(student.pooled), dim=1)
        theirs = unit(self.embed_teacher(teacher.pooled.detach()), dim=1)
        contrast = self._contrast(batch)
        loss = self.memories(ours, theirs, contrast, temperature=params.temperature, momentum=params.momentum)
        return {"crd": loss}

    def begin(self, epoch: int) -> None:
        """Set where its draws start."""
        self.beginning.fill_(_start(self.seed, epoch))

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `crd_weight` for `crd`, in every epoch."""
        return {"ce": self.params.ce_weight, "crd": self.params.crd_weight}

    def _contrast(self, batch: Batch) -> Tensor:
        """Each sample's own row, then its negatives': int64 ``[B, 1 + K]``."""
        self.at(batch.epoch)
        own = torch.searchsorted(self.index, batch.index)
        drawn = _drawn(self.beginning, own, self.index, self.labels, self.negatives)
        return torch.cat([own[:, None], drawn], dim=1)


def _fewest_others(setting: Setting) -> int:
    """Images that do not belong to the largest class."""
    if len(setting.labels) == 0:
        raise InputError("crd needs the training images' indices and labels to draw negatives from; found none")
    fewest = len(setting.labels) - int(setting.labels.bincount().max())
    if fewest == 0:
        raise InputError("crd tells images from those of other classes, but all training images are of one class")
    return fewest
