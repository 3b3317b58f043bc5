"""How it is told that memory was short, or that a worker died."""

from __future__ import annotations

import errno
from collections.abc import Callable

import numpy as np
import pytest
import torch
from ray.exceptions import OutOfMemoryError, RayActorError

from sweep.ledger.failures import is_out_of_memory, with_advice, worker_death

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
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        RuntimeError("std::bad_alloc"),
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
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
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
