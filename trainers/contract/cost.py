"""What a step of a method costs beside KD's."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainers.contract.case import Case, total
from trainers.contract.requirement import Remark
from trainers.distillers import Distiller

ROUNDS, LONG, DOUBTED = 5, 1.0, 10.0
"""Of each the fastest of so many rounds counts, or of those that begin within so many seconds; of so many more while it
looks wrong: another process may have held the machine."""
SLOWEST = 20.0
"""Times KD's step: no method of ours comes near."""


def beside_kd(case: Case) -> str | None:
    """Time of a step, as a multiple of KD's, and what it adds to the student: always told, and wrong from
    :data:`SLOWEST` on."""
    method, kd = case.method(), Case("kd", classes=case.classes)
    ratio = _ratio(_step(case, method), _step(kd, kd.method()))
    said = f"{ratio:.1f} × the time of kd's step, {_added(method)}"
    return f"{said}; at most {SLOWEST:g} ×" if ratio > SLOWEST else Remark(said)


def _step(case: Case, method: Distiller) -> Callable[[], None]:
    """A pass of student and loss, forward and back; the teacher's is not in it."""
    batch = case.batch
    return lambda: total(method, method.losses(batch)).backward()  # type: ignore[no-untyped-call]


def _ratio(step: Callable[[], None], other: Callable[[], None]) -> float:
    """Of the fastest of one to the fastest of another, which take turns, so that both meet the same machine."""
    began, taken = time.perf_counter(), [(_seconds(step), _seconds(other))]
    while True:
        ratio = min(first for first, _ in taken) / min(second for _, second in taken)
        spent = time.perf_counter() - began
        if spent > (DOUBTED if ratio > SLOWEST else LONG) or (len(taken) > ROUNDS and ratio <= SLOWEST):
            return ratio
        taken.append((_seconds(step), _seconds(other)))


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _added(method: Distiller) -> str:
    own = {id(tensor) for tensor in [*method.student.parameters(), *method.student.buffers()]}
    parameters = sum(p.numel() for p in method.parameters() if id(p) not in own and p.requires_grad)
    kept = sum(t.numel() * t.element_size() for t in method.buffers() if id(t) not in own)
    added = f"{parameters:,} parameter{'s' if parameters != 1 else ''} beside the student"
    return f"{added} and {kept:,} bytes of memory" if kept else added
