"""What a method may do with what it is given."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainers.contract.case import IMAGES, Case, losses, total
from trainers.contract.requirement import Remark
from trainers.distillers import Batch


def left_alone(case: Case) -> str | None:
    """Images, labels and what the teacher makes of them are as they were, after the loss and its gradient."""
    method, batch = case.method(), case.batch
    before = [(name, tensor, tensor.clone()) for name, tensor in _tensors(batch)]
    total(method, losses(method, batch)).backward()  # type: ignore[no-untyped-call]
    changed = [name for name, tensor, copy in before if not torch.equal(tensor, copy)]
    return f"it changes the batch's {changed[0]} in place; work on a copy" if changed else None


def _tensors(batch: Batch) -> Iterator[tuple[str, Tensor]]:
    yield from (("images", batch.images), ("labels", batch.targets), ("index", batch.index))
    strong = batch.need_strong()
    yield "strong images", strong.images
    for view, passed in (("", batch.need_teacher()), ("strong ", strong.need_teacher())):
        yield from ((f"{view}teacher's {part}", getattr(passed, part)) for part in ("logits", "pooled", "unpooled"))
        for part in ("stages", "preactivations"):
            yield from ((f"{view}teacher's {part}", tensor) for tensor in getattr(passed, part))


def in_any_order(case: Case) -> str | None:
    """The same images in another order have the same loss; a remark where not: what a trial learns then depends on how
    its batches are put together."""
    method = case.method().eval()
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        given, other = losses(method, case.batch).terms, losses(method, case.reordered(order)).terms
    for name, term in given.items():
        if not torch.allclose(other[name], term, rtol=1e-4, atol=1e-6):
            values = f"{term.item():.4g} and {other[name].item():.4g}"
            return Remark(f"the term '{name}' depends on the order of the batch: {values} for the same images")
    return None


def repeated(case: Case) -> str | None:
    """In evaluation mode the same batch has the same loss, whatever has been drawn before."""
    method = case.method().eval()
    one, other = ({name: term.item() for name, term in method.losses(case.batch).terms.items()} for _ in range(2))
    differing = [name for name in one if one[name] != other.get(name)]
    if differing:
        return (
            f"the term '{differing[0]}' differs from call to call in evaluation mode; draw, and remember, in training"
        )
    return None


def teacher_apart(case: Case) -> str | None:
    """The teacher is neither trained with the student nor written into its checkpoints."""
    method = case.method()
    method.losses(case.batch)
    mine = {id(tensor) for tensor in [*method.parameters(), *method.buffers()]}
    if mine & {id(tensor) for tensor in [*case.teacher.parameters(), *case.teacher.buffers()]}:
        return "the teacher is a part of it, and would be trained; copy from it what is needed, without gradient"
    return "it puts the teacher in training mode" if case.teacher.training else None


def student_as_built(case: Case) -> str | None:
    """The student is held as it was built: neither a copy, nor under other names, nor with other weights."""
    method, bare = case.method(), case.student
    if list(method.student.state_dict()) != list(bare.state_dict()):
        return "its `student` has other layers than the network that it was given"
    held = method.state_dict()
    for key, value in bare.state_dict().items():
        if f"student.{key}" not in held or not torch.equal(held[f"student.{key}"], value):
            return f"its student's {key} is not that of the network that it was given"
    return None
