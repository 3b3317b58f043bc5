"""The GPU script whose stages are forked off its own process, which has imported what they need.

    python -m tests.support.forked_stages …     as ``python -m benchmarks.gpu …``

A stage's process imports torch, and torch's compiler by way of torchvision, which is most of a quick one's time. What
it runs is the same: its module's arguments, in a session and an environment of its own.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import IO, Any

PROBE_SECONDS = 0.05
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
"""Environment of the script's own process, as it would be of a quick stage's: torch reads it where it is imported."""


class Stage:
    """What :mod:`benchmarks.gpu.running` asks of a process that it has started."""

    def __init__(self, command: Sequence[str], stdout: IO[bytes], env: Mapping[str, str], **_: Any) -> None:
        python, flag, module, *arguments = command
        assert (python, flag) == (sys.executable, "-m")
        sys.stdout.flush()
        self.pid = os.fork()
        self._code: int | None = None
        if self.pid == 0:
            os._exit(_run(module, arguments, stdout.fileno(), env))

    def wait(self, timeout: float | None = None) -> int:
        """How the stage has ended. Raises TimeoutExpired where it has not, after so many seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            pid, status = os.waitpid(self.pid, 0 if until is None else os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired("a stage", timeout or 0)
            else:
                time.sleep(PROBE_SECONDS)
        return self._code


def _run(module: str, arguments: Sequence[str], log: int, env: Mapping[str, str]) -> int:
    """Be the stage's process; its exit code."""
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(env)
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def main() -> int:
    import torchvision  # noqa: F401  # and with it the compiler

    from benchmarks.gpu import __main__, running

    running.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": Stage})  # type: ignore[assignment]
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
