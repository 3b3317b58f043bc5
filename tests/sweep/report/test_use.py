"""What epochs took of the machines, in the report's section on the cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweep.engine.meter import GPU, GPU_MEMORY, GPU_POWER, PROCESS_CPU, PROCESS_MEMORY
from sweep.ledger.bodies import start_body
from sweep.ledger.shapes import flattened
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.report import effort, history
from sweep.report.blocks import Block, is_read
from sweep.report.use import Use
from tests.support.examples import begin, epoch_body, job_of, record, slot_of


def measured(seconds: float = 2.0, **readings: tuple[float, float]) -> dict[str, Any]:
    system = {name: {"mean": mean, "peak": peak} for name, (mean, peak) in readings.items()}
    return epoch_body(1, 70.0) | {"seconds": seconds, "system": system}


def block(body: dict[str, Any], devices: float = 1.0) -> Block:
    """Of one epoch."""
    names, values = flattened(body)
    numbers = {name: np.array([value], dtype=float) for name, value in zip(names, values, strict=True) if is_read(name)}
    one = np.array([devices])
    return Block(["a"], np.array([1]), one, one, np.array([True]), numbers)


def test_means_are_weighed_by_device_seconds_and_energy_is_power_times_them() -> None:
    use = Use()
    use.note(block(measured(60.0, **{GPU_POWER: (300.0, 400.0), GPU: (90.0, 100.0)}), devices=2.0))
    use.note(block(measured(120.0, **{GPU_POWER: (100.0, 350.0), GPU: (30.0, 50.0)}), devices=0.5))
    assert use.watt_hours == pytest.approx((300 * 120 + 100 * 60) / 3600)
    assert use.mean(GPU) == pytest.approx((90 * 120 + 30 * 60) / 180)
    assert (use.peak(GPU_POWER), use.epochs) == (400.0, 2)


def test_epochs_that_were_not_measured_count_for_nothing() -> None:
    use = Use()
    for body in ({"seconds": 2.0}, measured(), measured(**{PROCESS_CPU: (150.0, 190.0)})):
        use.note(block(body))
    assert (use.epochs, use.mean(PROCESS_CPU), use.watt_hours, use.peak(GPU)) == (1, 150.0, None, None)


def test_the_report_says_what_was_used(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    ledger.append("start", job.key, body=start_body(job.slot, job.trial, devices=1.0))
    readings = {
        PROCESS_CPU: (150.0, 199.0),
        PROCESS_MEMORY: (900.0, 1234.0),
        GPU: (87.4, 100.0),
        GPU_MEMORY: (2000.0, 3050.0),
    }
    ledger.append("epoch", job.key, 1, measured(3600.0, **readings, **{GPU_POWER: (400.0, 500.0)}))
    section = effort.section(history.read(ledger))
    assert section is not None
    for words in (
        "1.5 cores a process",
        "busy in 87 % of the time",
        "400.0 Wh",
        "3.0 GB of a GPU, 1.2 GB of a process",
    ):
        assert words in section.markup, words


def test_the_report_of_an_older_ledger_says_nothing_of_it(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "kd"), [70.0])
    section = effort.section(history.read(ledger))
    assert section is not None
    assert "memory" not in section.markup
    assert "processor" not in section.markup
