"""NVIDIA's MPS: processes that share a GPU take turns on it, and with its daemon their kernels run side by side.

The daemon is started for what this process starts meanwhile, in a folder of its own; it changes no setting of the GPU,
and ends with this process. (NVIDIA's documentation, "Multi-Process Service". None of this has run on a GPU yet.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from trainers.errors import MachineError
from trainers.process import environment_put_back

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
"""Where a process finds the daemon, and where that writes its log."""
PATIENCE = 20.0
"""Seconds that the daemon has to come up, and to end."""
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Of util-linux: what follows ends with the process that has started it, killed or not."""


@contextmanager
def served(compute: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[None]:
    """A time in which the GPUs of this machine are shared as a spec's `compute` says: with MPS where its `mps` is true,
    or `auto` and the daemon starts, and its trials may share a GPU. Somebody's own daemon, which the environment names,
    is left as it is.

    Args:
        compute: `mps` and `gpus`, as :class:`search_spaces.schema.Compute` has them.
        say: is told why there is none, where that is left to the machine.

    Raises:
        MachineError: where there is to be one, and it does not start.
    """
    shared = compute["gpus"] == "auto" or 0 < compute["gpus"] < 1
    if not (compute["mps"] and shared and torch.cuda.device_count()) or is_on():
        yield
        return
    with ExitStack() as stack:
        try:
            environment = stack.enter_context(daemon())
        except MachineError as error:
            if compute["mps"] is True:
                raise MachineError(f"compute.mps: true: {error}") from error
            say(f"compute.mps: auto: {error}; trials that share a GPU take turns on it")
        else:
            stack.enter_context(environment_put_back(environment))
            os.environ.update(environment)
        yield


def is_on() -> bool:
    """Whether processes that this one starts look for a daemon of MPS."""
    return PIPES in os.environ


@contextmanager
def daemon() -> Iterator[dict[str, str]]:
    """The daemon, for processes with the environment that is given.

    Raises:
        MachineError: where it is not there, or does not come up.
    """
    program = shutil.which(CONTROL)
    if program is None:
        raise MachineError(f"there is no {CONTROL} here, which comes with NVIDIA's driver")
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        environment = {PIPES: f"{folder}/pipe", LOGS: f"{folder}/log"}
        for path in environment.values():
            Path(path).mkdir()
        told = os.environ | environment
        log = Path(environment[LOGS]) / "control.txt"
        control = _started(program, told, log)
        try:
            _wait_for(Path(environment[PIPES]) / "control", control, log)
            yield environment
        finally:
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run([program], input="quit -t 2\n", text=True, env=told, timeout=PATIENCE, check=False)
            control.kill()
            control.wait()


def _started(program: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Begin the daemon, which does not hear a Ctrl-C that is meant for this process."""
    dies = DIES_WITH_US if shutil.which(DIES_WITH_US[0]) else ()
    with log.open("wb") as said:
        return subprocess.Popen(
            [*dies, program, "-f"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def _wait_for(pipe: Path, control: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not pipe.exists():
        if control.poll() is not None:
            said = log.read_text("utf-8", "replace").strip()
            raise MachineError(f"{CONTROL} has ended ({said.splitlines()[-1] if said else control.returncode})")
        if time.monotonic() > until:
            raise MachineError(f"{CONTROL} has not come up in {PATIENCE:g} s")
        time.sleep(0.05)
