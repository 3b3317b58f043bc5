"""What a step of a method costs beside KD's."""

from __future__ import annotations

import time

from trainers.contract.case import Case, total
from trainers.contract.requirement import Remark
from trainers.distillers import Distiller

STEPS, LONG = 5, 1.0
"""Of each the fastest of so many counts, or of those that begin within so many seconds."""
SLOWEST = 20.0
"""Times KD's step: no method of ours comes near."""


def beside_kd(case: Case) -> str | None:
    """Time of a step, as a multiple of KD's, and what it adds to the student: always told, and wrong from
    :data:`SLOWEST` on."""
    method = case.method()
    ratio = _step_seconds(case, method) / _step_seconds(Case("kd", classes=case.classes))
    said = f"{ratio:.1f} × the time of kd's step, {_added(method)}"
    return f"{said}; at most {SLOWEST:g} ×" if ratio > SLOWEST else Remark(said)


def _step_seconds(case: Case, method: Distiller | None = None) -> float:
    """Of passes of student and loss, forward and back; the teacher's is not in it."""
    method, batch = method or case.method(), case.batch
    began = time.perf_counter()
    seconds: list[float] = []
    while not seconds or (len(seconds) <= STEPS and time.perf_counter() - began < LONG):
        started = time.perf_counter()
        total(method, method.losses(batch)).backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _added(method: Distiller) -> str:
    own = {id(tensor) for tensor in [*method.student.parameters(), *method.student.buffers()]}
    parameters = sum(p.numel() for p in method.parameters() if id(p) not in own and p.requires_grad)
    kept = sum(t.numel() * t.element_size() for t in method.buffers() if id(t) not in own)
    added = f"{parameters:,} parameter{'s' if parameters != 1 else ''} beside the student"
    return f"{added} and {kept:,} bytes of memory" if kept else added
