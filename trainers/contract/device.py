"""Whether a method would stay on a GPU, as far as a CPU shows: its loss is asked for on a pretended one.

What moves between devices by name (``.cpu()``, ``.tolist()``, ``print``), asks for a number (``.item()``,
``if loss > 0``) or for a shape that depends on numbers (``x[x > 0]``, ``nonzero``) makes the processor wait for the GPU
at every step. What is made on the CPU and meets the batch stops the trial.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from trainers.code import told
from trainers.contract.case import IMAGES, Case, losses, reads_logits
from trainers.contract.pretended_gpu import DeviceMixedError, pretended
from trainers.contract.requirement import Remark
from trainers.distillers import Batch, Distiller, LogitDistiller, View
from trainers.models import Features


def stays(case: Case) -> str | None:
    """No tensor on another device than the batch's (wrong), and nothing that waits for the device (a remark)."""
    method, batch = case.method(), case.batch  # made on the CPU, where the teacher stays
    with pretended() as gpu:
        method = method.to("cuda")
        on_gpu, labels = _moved(batch), case.labels[:IMAGES].to("cuda")
        gpu.waits.clear()
        try:
            terms = _terms(method, on_gpu, labels)
        except DeviceMixedError as error:
            away = "a tensor is on another device than the batch; make it on theirs, `device=student.device`"
            return f"{away}: {told(error)}"
        except (RuntimeError, TypeError) as error:  # NotImplementedError among the former
            return Remark(f"cannot be tried without a GPU: {told(error)}")
        left = [name for name, term in terms.items() if not term.is_cuda]
    if left:
        return f"the term '{left[0]}' is on another device than the batch"
    waits = dict.fromkeys(f"{wait.line}: {wait.call}" for wait in gpu.waits)
    return Remark(f"makes the processor wait for a GPU in every step: {', '.join(waits)}") if waits else None


def _terms(method: Distiller, batch: Batch, labels: Tensor) -> dict[str, Tensor]:
    if reads_logits(method):
        assert isinstance(method, LogitDistiller)
        classes = method.num_classes
        student, teacher = torch.zeros(2, IMAGES, classes, device="cuda").unbind()
        return method.terms(student.requires_grad_(), teacher, labels)
    return losses(method, batch).terms


def _moved(batch: Batch) -> Batch:
    """The batch on the GPU."""
    strong = batch.strong
    return replace(
        batch,
        images=batch.images.to("cuda"),
        targets=batch.targets.to("cuda"),
        index=batch.index.to("cuda"),
        teacher=_pass(batch.teacher),
        strong=None if strong is None else View(strong.images.to("cuda"), _pass(strong.teacher)),
    )


def _pass(passed: Features | None) -> Features | None:
    if passed is None:
        return None
    stages, before = (tuple(tensor.to("cuda") for tensor in part) for part in (passed.stages, passed.preactivations))
    return Features(passed.logits.to("cuda"), passed.pooled.to("cuda"), stages, before, passed.unpooled.to("cuda"))
