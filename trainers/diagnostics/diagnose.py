"""All diagnostics of one trial at one epoch, by name, and the sample that they are taken on.

:func:`diagnose` looks on: it leaves weights, buffers, gradients, modes and random generators as they are, so a trial's
numbers are the same with and without it.

Shapes: `B` batch, `N` images, `C` classes, `D` features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from trainers.config import Recipe
from trainers.data.base import Images
from trainers.diagnostics.conflict import auxiliary_head, gradient_conflict
from trainers.diagnostics.fidelity import fidelity
from trainers.diagnostics.neural_collapse import neural_collapse
from trainers.distillers import Batch, Distiller
from trainers.distillers.labels import AS_THEY_ARE, LabelReading, reading_of
from trainers.draws import bits
from trainers.loop.evaluate import images_of_a_pass
from trainers.models import Features, Network
from trainers.models.dual_head import NonlinearHead
from trainers.views.views import Views

SAMPLE_PER_CLASS = 20
"""Training images of each class that neural collapse and gradients are measured on."""

_COLLAPSE = {
    "nc1": "variability inside the classes, against that between them",
    "nc2_equinorm": "how unequal the norms of the class means are: standard deviation over mean",
    "nc2_equinorm_head": "the same of the head's rows",
    "nc2_equiangular": "how unequal the angles between class means are: standard deviation of their cosines",
    "nc2_equiangular_head": "the same of the head's rows",
    "nc2_angle": "mean distance of the class means' cosines from -1/(C - 1), the widest that C vectors can have",
    "nc2_angle_head": "the same of the head's rows",
    "nc3": "distance between head and class means, both of norm 1; 0 to 2",
    "nc4": "percent of images that head and nearest class mean decide differently",
}
MEASURES: dict[str, str] = {
    **_COLLAPSE,
    **{f"aux_{name}": f"{meaning}, of the auxiliary head" for name, meaning in _COLLAPSE.items()},
    "conflict_backbone": "cosine of the gradients of probability-level and logit-level loss, by the backbone",
    "conflict_head": "the same by the main head",
    "conflict_aux_head": "the same by the auxiliary head",
    "fidelity_agreement": "percent of test images that student and teacher put into the same class",
    "fidelity_kl": "KL(teacher || student) in nats, mean over the test images",
    "fidelity_correlation": "mean absolute difference of the class-correlation matrices of student and teacher; 0 to 2",
}
"""Every name that :func:`diagnose` may give, and what it means."""


@dataclass(frozen=True)
class Sample:
    """What a trial is measured on, the same in every epoch and for every trial of a cell."""

    train: Images
    """Some training images of each class."""
    test: Images
    views: Views
    autocast: torch.autocast
    batch_size: int
    """Images per pass with gradients: what training has memory for."""
    teacher_train: Tensor | None  # float32 [N, C], of the plain view
    teacher_test: Tensor | None
    reading: LabelReading = AS_THEY_ARE
    """How the recipe reads labels."""

    @classmethod
    def draw(
        cls,
        recipe: Recipe,
        train: Images,
        test: Images,
        views: Views,
        autocast: torch.autocast,
        teacher: Network | None,
        *,
        per_class: int = SAMPLE_PER_CLASS,
    ) -> Sample:
        """Draw up to `per_class` images of each class by address from a training subset, and ask the teacher once.

        Args:
            recipe: its `split_seed` is the draw's address.
            train, test: on the training device, as the recipe cuts them.
            views, autocast: how the trial sees images, and in which precision.
            teacher: in evaluation mode, on the training device; None: no conflict and no fidelity.
            per_class: images; a class that has fewer gives all.
        """
        chosen = some_of_each(train, recipe.split_seed, per_class)
        taught = [None if teacher is None else logits_of(teacher, images, views, autocast) for images in (chosen, test)]
        reading = reading_of(recipe)
        return cls(chosen, test, views, autocast, recipe.batch_size, taught[0], taught[1], reading)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The training images in their plain view, with the teacher's logits and no other of its stations."""
        if self.teacher_train is None:
            return
        parts = _parts(self.train, self.batch_size)
        for part, place in zip(self.train.batches(parts), parts, strict=True):
            logits = self.teacher_train[place]
            teacher = Features.of_logits(logits)
            images = self.views.plain(part.images)
            yield Batch(images, part.labels, part.index, epoch, teacher, None, self.reading)


def diagnose(distiller: Distiller, sample: Sample, epoch: int) -> dict[str, float]:
    """Neural collapse, gradient conflict and fidelity after `epoch` (counted from 1), by the names of :data:`MEASURES`.

    A measure that is not defined, of this method or at this point, is left out: there is no NaN among the values.
    """
    with untouched(distiller):
        measures = _collapses(distiller, sample)
        if sample.teacher_train is not None:
            measures |= gradient_conflict(distiller, sample.batches(epoch), epoch)
        if sample.teacher_test is not None:
            logits = logits_of(distiller.predictor, sample.test, sample.views, sample.autocast)
            measures |= fidelity(logits, sample.teacher_test)
    return {name: value for name, value in measures.items() if math.isfinite(value)}


@contextmanager
def untouched(distiller: Distiller) -> Iterator[None]:
    """Evaluation mode inside; afterwards each module's mode and torch's generators are as they were before."""
    modes = [(module, module.training) for module in distiller.modules()]
    place = next(distiller.parameters()).device
    try:
        with torch.random.fork_rng([] if place.type == "cpu" else [place], device_type=place.type):
            distiller.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training


def some_of_each(images: Images, seed: int, per_class: int) -> Images:
    """Up to `per_class` images of each class, drawn by address and left in their order."""
    chosen = bits(seed, "diagnostics", 0, images.index)
    kept = []
    for label in range(int(images.labels.max()) + 1):
        members = torch.nonzero(images.labels == label).flatten()
        kept.append(members[torch.argsort(chosen[members], stable=True)][:per_class])
    return images.take(torch.cat(kept).sort().values)


@torch.no_grad()
def logits_of(network: Network, images: Images, views: Views, autocast: torch.autocast) -> Tensor:
    """Logits float32 ``[N, C]`` of the plain view, on the images' device; `network` is to be in evaluation mode."""
    return torch.cat([passed.logits.float() for passed in _passes(network, images, views, autocast)])


def _passes(network: Network, images: Images, views: Views, autocast: torch.autocast) -> Iterator[Features]:
    for part in images.batches(_parts(images, images_of_a_pass(images))):
        with autocast:
            passed = network.features(views.plain(part.images))
        yield passed


def _parts(images: Images, size: int) -> Sequence[Tensor]:
    """All positions in order, `size` at a time."""
    return torch.arange(len(images), device=images.labels.device).tensor_split(list(range(size, len(images), size)))


class _Head(NamedTuple):
    """A head, cut in front of its last linear layer."""

    before: nn.Module
    """Pooled features ``[B, D]`` to what the last layer reads."""
    last: nn.Linear


def _heads(distiller: Distiller) -> dict[str, _Head]:
    """The heads by the prefix of their measures: the predictor's, and the auxiliary one where there is one."""
    heads = {"": _Head(nn.Identity(), distiller.predictor.classifier)}
    aux = auxiliary_head(distiller)
    if isinstance(aux, NonlinearHead):
        heads["aux_"] = _Head(aux.net[:-1], cast(nn.Linear, aux.net[-1]))
    elif isinstance(aux, nn.Linear):
        heads["aux_"] = _Head(nn.Identity(), aux)
    return heads


@torch.no_grad()
def _collapses(distiller: Distiller, sample: Sample) -> dict[str, float]:
    """Neural collapse of each head and of what its last linear layer reads, of the training images."""
    passes = _passes(distiller.predictor, sample.train, sample.views, sample.autocast)
    pooled = torch.cat([passed.pooled.float() for passed in passes])  # [N, D]
    collapses: dict[str, float] = {}
    for prefix, (before, last) in _heads(distiller).items():
        measures = neural_collapse(before(pooled), sample.train.labels, last.weight, last.bias)
        collapses |= {f"{prefix}{name}": value for name, value in measures.items()}
    return collapses
