"""The shape of what the ledger holds of a trial."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ray.exceptions import OutOfMemoryError, RayActorError

from sweep.ledger.bodies import final_body, start_body, stored_teacher_body
from sweep.ledger.failures import is_out_of_memory, with_advice, worker_death
from sweep.plan.slots import Plan
from sweep.text import LONGEST_REASON, first_line
from tests.support.examples import epoch_body, job_of, slot_of
from trainers.config import TrialConfig
from trainers.teacher.passport import Passport


def epochs(test: list[float], val: list[float] | None = None) -> list[dict[str, Any]]:
    vals: list[Any] = val or [None] * len(test)
    return [epoch_body(n, t, v) for n, (t, v) in enumerate(zip(test, vals, strict=True), start=1)]


def test_a_start_names_the_slot_and_holds_the_whole_config(small_plan: Plan) -> None:
    job = job_of(small_plan, slot_of(small_plan, "dhkd α=0.5", seed=1))
    body = json.loads(json.dumps(start_body(job.slot, job.trial)))
    config = body.pop("config")
    assert body == {
        "slot": job.slot.id,
        "name": "resnet20→resnet8 · dhkd α=0.5 · seed 1",
        "stage": "confirm",
        "pair": "resnet20→resnet8",
        "method": "dhkd",
        "label": "dhkd α=0.5",
        "row": "dhkd α=0.5",
        "recipe": "digits",
        "seed": 1,
    }
    assert TrialConfig.model_validate(config).key == job.key


def test_the_best_epoch_is_chosen_on_validation_where_there_is_one() -> None:
    body = final_body("finished", epochs(test=[90, 80, 70], val=[10, 30, 20]), "validation")
    assert body["best_by"] == "val_acc"
    assert (body["best"]["epoch"], body["best"]["test_acc"]) == (2, 80)
    assert (body["last"]["epoch"], body["last"]["test_acc"]) == (3, 70)
    assert (body["state"], body["epochs"], body["seconds"]) == ("finished", 3, 6.0)


def test_the_test_set_chooses_the_best_epoch_under_the_papers_protocol_only() -> None:
    body = final_body("finished", epochs(test=[70, 90, 80]), "paper")
    assert body["best_by"] == "test_acc"
    assert body["best"]["epoch"] == 2
    body = final_body("finished", epochs(test=[70, 90, 80]), "validation")
    assert body["best_by"] == "epoch"
    assert body["best"] == body["last"]


@pytest.mark.parametrize("val", [None, [50.0, 60.0, 60.0]])
def test_of_equal_epochs_the_first_is_the_best(val: list[float] | None) -> None:
    protocol = "paper" if val is None else "validation"
    assert final_body("finished", epochs(test=[70, 80, 80], val=val), protocol)["best"]["epoch"] == 2


def test_a_trial_that_diverged_in_its_first_epoch_has_no_numbers() -> None:
    assert final_body("diverged", [], "validation") == {"state": "diverged", "epochs": 0, "seconds": 0.0}


def test_a_stored_teacher_is_finished_at_no_cost(small_plan: Plan) -> None:
    config = small_plan.teachers[0].trial()
    passport = Passport(
        hash="0123456789abcdef",
        architecture="resnet20",
        num_classes=10,
        dataset=config.dataset,
        origin=config,
        origin_key=config.key,
        val_acc=97.0,
        test_acc=98.0,
        probe_acc=98.1,
        file_sha256="",
    )
    body = stored_teacher_body(passport)
    assert (body["state"], body["epochs"], body["seconds"]) == ("finished", 0, 0.0)
    assert body["last"] == body["best"] == {"epoch": 3, "val_acc": 97.0, "test_acc": 98.0}
    assert body["teacher"] == {"architecture": "resnet20", "hash": "0123456789abcdef"}
    assert set(final_body("finished", epochs(test=[1.0]), "validation")) | {"teacher"} == set(body)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("what it says"), "ValueError: what it says"),
        (RuntimeError("\n  first\nsecond\n"), "RuntimeError: first"),
        (KeyError(), "KeyError"),
        (OSError("  \n "), "OSError"),
    ],
)
def test_an_exception_becomes_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_a_long_reason_is_cut() -> None:
    line = first_line(ValueError("x" * 1000))
    assert len(line) == LONGEST_REASON
    assert line.startswith("ValueError: xxx")
    assert line.endswith("x…")
    exact = "x" * (LONGEST_REASON - len("ValueError: "))
    assert first_line(ValueError(exact)) == f"ValueError: {exact}"


TOO_MUCH = 2**60


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
        lambda: np.empty(TOO_MUCH, dtype=np.uint8),
        lambda: bytearray(TOO_MUCH),
    ],
    ids=["torch", "numpy", "python"],
)
def test_an_allocation_that_this_machine_refuses_is_out_of_memory(allocate: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as raised:
        allocate()
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OutOfMemoryError("1 worker(s) were killed due to the node running low on memory."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=lambda error: str(type(error).__name__),
)
def test_what_gpus_ray_and_the_system_say_is_out_of_memory_too(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RayActorError(error_msg="The actor died unexpectedly before finishing this task."),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("a memory of 3 is too small"),
    ],
    ids=lambda error: str(type(error).__name__),
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_only_where_memory_was_short_a_reason_says_what_would_help() -> None:
    assert "a smaller recipe.batch_size" in with_advice("out-of-memory", "why")
    assert (with_advice("failed", "why"), with_advice("worker-died", "why")) == ("why", "why")


ENDED_BY_RAY = "OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. Memory on the node was"
"""How :mod:`sweep.engine.ray_internals.workers` passes it on."""
KILLED = """\
The actor died unexpectedly before finishing this task.
\tclass_name: TrialTrainable
There are some potential root causes. (1) The process is killed by SIGKILL by OOM killer due to high memory usage.
"""
BROKEN_GPU = """\
ray::ResourceTrainable.train() (pid=17692, ip=192.0.2.2, actor_id=665ebe)
  File "fit.py", line 3, in fit
torch.AcceleratorError: CUDA error: an illegal memory access was encountered
"""


@pytest.mark.parametrize(
    ("text", "state", "why"),
    [
        (ENDED_BY_RAY, "out-of-memory", "1 worker(s) were killed due to the node running low on memory; a smaller"),
        (KILLED, "worker-died", "its worker died: The actor died unexpectedly before finishing this task."),
        (BROKEN_GPU, "worker-died", "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
        (BROKEN_GPU.replace("an illegal memory access was encountered", "out of memory"), "out-of-memory", "a smaller"),
    ],
    ids=["ended by Ray", "killed", "broken GPU", "GPU without memory"],
)
def test_why_a_worker_died_is_read_from_what_ray_wrote(text: str, state: str, why: str) -> None:
    written = f"Failure # 1 (occurred at noon)\nan earlier one\nFailure # 2 (occurred at one)\n{text}\n"
    found, reason = worker_death(written)
    assert (found, "\n" in reason) == (state, False)
    assert reason.startswith("its worker died: ")
    assert why in reason


def test_a_worker_of_whose_death_nothing_is_known_died_without_a_reason() -> None:
    assert worker_death("") == ("worker-died", "its worker died: no reason given")
