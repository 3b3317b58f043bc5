"""What a method's losses must be.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from trainers.check import check
from trainers.contract.case import IMAGES, Case, losses, reads_logits, total
from trainers.contract.training import one_epoch, small_set
from trainers.data.labelled import UNLABELLED
from trainers.distillers import Batch, Distiller, LogitDistiller, Losses
from trainers.distillers.labels import LabelReading
from trainers.models import Features
from trainers.storage.content import canonical_json

EPOCHS = (1, 2, 20, 151, 240)
"""At which weights are asked for."""
SMOOTHING = 0.3
"""A recipe's, that a method's cross-entropy must take notice of."""
FEW = 0.25
"""Share of the images that have a label, of a recipe that leaves others without one."""
FAR = 1e4
"""Logits as large as they come."""


def planned(case: Case) -> str | None:
    """The hyperparameters' defaults can be written into a spec and read again, and a trial can be built without memory:
    on the meta device, with a student that has one more stage than the teacher."""
    params = case.kind.Params()
    content = params.model_dump(mode="json")
    canonical_json(content)
    if case.kind.Params.model_validate(content) != params:
        return "its default hyperparameters are others once they are written to a spec and read again"
    if not case.kind.summary or "\n" in case.kind.summary:
        return "its `summary` must be one line"
    check(one_epoch(case, "vgg8"), small_set(case.classes), "resnet8" if case.listens else None)
    return None


def finite_scalars(case: Case) -> str | None:
    """Every term is a finite float32 scalar, at least one has a gradient, and the logits are float32 ``[B, C]``."""
    given = case.method().losses(case.batch)
    if given.logits.shape != (IMAGES, case.classes) or given.logits.dtype != torch.float32:
        return f"its logits are {_shown(given.logits)}, not float32 [{IMAGES}, {case.classes}]"
    for name, term in given.terms.items():
        if term.shape != ():
            return f"the term '{name}' is {_shown(term)}; a loss is a scalar: take its mean, say"
        if not term.isfinite():
            return f"the term '{name}' is {term.item()} for ordinary logits"
        if name != "ce" and not term.requires_grad:
            return f"the term '{name}' has no gradient: nothing in it depends on the student"
    return None if given.terms else "it gives no terms"


def weighed(case: Case) -> str | None:
    """Every term has a weight of 0 or more in every epoch, and one of them more."""
    method = case.method()
    terms = set(method.losses(case.batch).terms)
    for epoch in EPOCHS:
        weights = method.weights(epoch)
        if set(weights) != terms:
            odd = ", ".join(sorted(set(weights) ^ terms))
            return f"in epoch {epoch} not every term has its weight, and every weight its term: {odd}"
        if any(weight < 0 for weight in weights.values()) or not any(weights.values()):
            return f"in epoch {epoch} the weights are {weights}; each is 0 or more, and one is more"
    return None


def the_students(case: Case) -> str | None:
    """The logits are those of the network that is evaluated, in the view that all methods see, and `ce` is their
    cross-entropy with the labels, as far as these are known; where that network mixes several heads, of those of the
    head that learns them."""
    method, batch = case.method().eval(), case.batch
    given, logits = method.losses(batch), method.predictor(batch.images).float()
    if not _close(given.logits, logits):
        return "its logits are not those of its `predictor` for the batch's images"
    if "ce" not in given.terms:
        return "it gives no term 'ce', the cross-entropy with the labels"
    if not _close(given.terms["ce"], F.cross_entropy(method.labelled(batch.images).float(), batch.targets)):
        return "its term 'ce' is not the cross-entropy of its logits with the labels"
    smoothed = method.losses(replace(batch, reading=LabelReading(SMOOTHING))).terms["ce"]
    labelled = method.labelled(batch.images).float()
    if not _close(smoothed, F.cross_entropy(labelled, batch.targets, label_smoothing=SMOOTHING)):
        return "its term 'ce' takes no notice of the recipe's label_smoothing; let it be `batch.ce(logits)`"
    return None if method.reads_labels else _of_known_labels(method, batch, labelled)


def _of_known_labels(method: Distiller, batch: Batch, logits: Tensor) -> str | None:
    """Where images have no label, `ce` is of the others, divided by how many these are among all training images."""
    hidden = batch.targets.clone()
    hidden[::2] = UNLABELLED
    for targets, share in ((hidden, FEW), (torch.full_like(hidden, UNLABELLED), FEW)):
        found = method.losses(replace(batch, targets=targets, reading=LabelReading(labelled=share))).terms["ce"]
        each = F.cross_entropy(logits, targets, ignore_index=UNLABELLED, reduction="none")
        if not _close(found, each.mean() / share):
            return "its term 'ce' counts images that have no label; let it be `batch.ce(logits)`"
    return None


def in_bf16(case: Case) -> str | None:
    """Where the networks run in bf16, the logits and the terms are finite float32."""
    method = case.method()
    method.set_up(torch.bfloat16, None)
    with torch.autocast("cpu", torch.bfloat16):
        batch = case.batch_of(case.batch.images, case.batch.need_strong().images)
    given = method.losses(batch)
    for name, found in {"logits": given.logits, **given.terms}.items():
        if found.dtype != torch.float32:
            return f"'{name}' is {_shown(found)} where the networks run in bf16; compute it in float32"
        if not found.isfinite().all():
            return f"'{name}' is not finite where the networks run in bf16"
    return None


def extreme(case: Case) -> str | None:
    """Loss and gradient are finite at logits of ±1e4: of ten thousand, none is a probability that a computer holds."""
    method = case.method()
    if reads_logits(method):
        assert isinstance(method, LogitDistiller)
        for student, teacher in _far_logits(case.classes):
            given = method.terms(student.requires_grad_(), teacher, case.labels[:IMAGES])
            wrong = _not_finite(given, [student])
            if wrong:
                return wrong
        return None
    batch = _far_batch(case, method)
    given_losses = losses(method, batch)
    return _not_finite(given_losses.terms, [p for p in method.parameters() if p.requires_grad], method, given_losses)


def _far_logits(classes: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Student's and teacher's, each ``[B, C]``: of opposite opinions, of one, and of two that know of no other."""
    signs = torch.randn(2, IMAGES, classes, generator=torch.Generator().manual_seed(2)).sign() * FAR
    yield signs[0].clone(), -signs[0]
    yield signs[0].clone(), signs[0].clone()
    yield signs[0].clone(), signs[1]


@torch.no_grad()
def _far_batch(case: Case, method: Distiller) -> Batch:
    """The batch with a teacher, around a student, whose largest logit is that far out."""
    head = method.predictor.classifier
    scale = FAR / method.predictor(case.batch.images).abs().max()
    head.weight.mul_(scale)
    if head.bias is not None:
        head.bias.mul_(scale)
    weak, strong = (_louder(view.teacher) for view in (case.batch, case.batch.need_strong()))
    view = case.batch.strong
    return replace(case.batch, teacher=weak, strong=None if view is None else replace(view, teacher=strong))


def _louder(passed: Features | None) -> Features | None:
    return None if passed is None else passed._replace(logits=passed.logits * (FAR / passed.logits.abs().max()))


def _not_finite(
    terms: dict[str, Tensor], learned: list[Tensor], method: Distiller | None = None, given: Losses | None = None
) -> str | None:
    for name, term in terms.items():
        if not term.isfinite():
            return f"the term '{name}' is {term.item()} at logits of ±{FAR:g}"
    whole = total(method, given) if method and given else torch.stack(list(terms.values())).sum() if terms else None
    gradients = torch.autograd.grad(whole, learned, allow_unused=True) if whole is not None else ()
    if any(gradient is not None and not gradient.isfinite().all() for gradient in gradients):
        return f"the gradient is not finite at logits of ±{FAR:g}, though the loss is"
    return None


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-5, atol=1e-5)


def _shown(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
