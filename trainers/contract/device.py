"""Whether a method would stay on a GPU, as far as a CPU shows: its loss is asked for on torch's meta device.

What moves between devices by name (``.cpu()``, ``.tolist()``, ``print``), asks for a number (``.item()``,
``if loss > 0``) or for a shape that depends on numbers (``x[x > 0]``, ``nonzero``) makes the processor wait for the GPU
at every step. What is made on the CPU and meets the batch stops the trial. Gathering by an index on the CPU, and what
torch can do on no meta device, is seen on a GPU alone.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from trainers.code import told
from trainers.contract.case import IMAGES, Case, losses, reads_logits
from trainers.contract.requirement import Remark
from trainers.distillers import Batch, Distiller, LogitDistiller, View
from trainers.models import Features

ELSEWHERE = ("is not on the expected device", "on the same device", "two devices")
WAITS = (
    "item() cannot be called on meta",
    "copy out of meta",
    "convert meta device",
    "data-independent",
    "data-dependent",
)
"""What torch says of either."""


def stays(case: Case) -> str | None:
    """No tensor on another device than the batch's (wrong), and nothing that waits for the device (a remark)."""
    method = case.method()
    try:
        terms = _terms(case, method)
    except (RuntimeError, TypeError) as error:  # NotImplementedError among the former
        return _judged(error)
    away = [name for name, term in terms.items() if term.device.type != "meta"]
    return f"the term '{away[0]}' is on another device than the batch" if away else None


def _terms(case: Case, method: Distiller) -> dict[str, torch.Tensor]:
    if reads_logits(method):
        assert isinstance(method, LogitDistiller)
        student, teacher = torch.zeros(2, IMAGES, case.classes, device="meta")
        return method.to("meta").terms(student.requires_grad_(), teacher, case.labels[:IMAGES].to("meta"))
    return losses(method.to("meta"), _without_numbers(case.batch)).terms


def _without_numbers(batch: Batch) -> Batch:
    strong = batch.strong
    return replace(
        batch,
        images=batch.images.to("meta"),
        targets=batch.targets.to("meta"),
        index=batch.index.to("meta"),
        teacher=_pass(batch.teacher),
        strong=None if strong is None else View(strong.images.to("meta"), _pass(strong.teacher)),
    )


def _pass(passed: Features | None) -> Features | None:
    if passed is None:
        return None
    stages, before = (tuple(tensor.to("meta") for tensor in part) for part in (passed.stages, passed.preactivations))
    return Features(passed.logits.to("meta"), passed.pooled.to("meta"), stages, before, passed.unpooled.to("meta"))


def _judged(error: Exception) -> str:
    text = str(error)
    if any(said in text for said in ELSEWHERE):
        return (
            f"a tensor is on another device than the batch; make it on theirs, `device=student.device`: {told(error)}"
        )
    if any(said in text for said in WAITS):
        return Remark(f"makes the processor wait for a GPU in every step: {told(error)}")
    return Remark(f"cannot be tried without a GPU: {told(error)}")
