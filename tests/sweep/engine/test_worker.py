"""What a worker makes of a job's devices: threads, the device, and the bytes that the logit bank may take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sweep.engine.job import describe
from sweep.engine.worker import begin
from sweep.layout import Root
from sweep.plan.expand import build_plan
from tests.support.examples import job_of, slot_of, small_spec


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """This process's, as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def trained_with(root: Root, monkeypatch: pytest.MonkeyPatch, **compute: Any) -> dict[str, Any]:
    """What the training of a job is given that the spec's `compute` says so of."""
    given: dict[str, Any] = {}

    def fit(trial: Any, **more: Any) -> Iterator[None]:
        given.update(more)
        return iter(())

    monkeypatch.setattr("trainers.fit.fit", fit)
    plan = build_plan(small_spec(compute=compute))
    begin(describe(job_of(plan, slot_of(plan, "kd")), plan, root))
    return given


@pytest.mark.parametrize("cpus", [1, 3])
def test_a_trial_trains_on_as_many_threads_as_it_has_cores(
    root: Root, monkeypatch: pytest.MonkeyPatch, cpus: int
) -> None:
    torch.set_num_threads(2)
    trained_with(root, monkeypatch, cpus=cpus)
    assert torch.get_num_threads() == cpus


@pytest.mark.parametrize(
    ("compute", "budget"), [({"bank_gb": 0.5}, 500_000_000), ({"bank_gb": 20}, 20 * 10**9), ({}, None)]
)
def test_the_bank_takes_as_many_gigabytes_as_the_spec_says(
    root: Root, monkeypatch: pytest.MonkeyPatch, compute: dict[str, Any], budget: int | None
) -> None:
    bank = trained_with(root, monkeypatch, **compute)["bank"]
    assert bank.budget == budget
    assert Path(bank.folder) == root.bank.absolute()


def test_the_trials_of_a_worker_share_what_they_have_open_of_the_bank(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (trained_with(root, monkeypatch)["bank"] for _ in range(2))
    assert first is second
    assert trained_with(root, monkeypatch, bank_gb=1)["bank"] is not first


@pytest.mark.parametrize(
    ("gpus", "device", "limit"), [(0, "cpu", []), (0.25, "cuda", [0.25]), (1, "cuda", [1.0]), (2, "cuda", [1.0])]
)
def test_a_trial_with_a_part_of_a_gpu_trains_there_and_takes_no_more_of_its_memory(
    root: Root, monkeypatch: pytest.MonkeyPatch, gpus: float, device: str, limit: list[float]
) -> None:
    limits: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    assert trained_with(root, monkeypatch, gpus=gpus)["device"] == device
    assert limits == limit
