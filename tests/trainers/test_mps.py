"""The daemon of MPS, for the time of a run. A stand-in with its name takes its place: no GPU was at hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from trainers import mps
from trainers.errors import MachineError

STAND_IN = """\
#!/bin/sh
# nvidia-cuda-mps-control: with -f the daemon itself, which is up when its pipe is there; without, one to talk to it.
if [ "$1" = -f ]; then
    echo $$ >"$CUDA_MPS_LOG_DIRECTORY/../../pid"
    touch "$CUDA_MPS_PIPE_DIRECTORY/control"
    exec sleep 1000
fi
read said
echo "$said" >"$CUDA_MPS_LOG_DIRECTORY/../../said"
kill "$(cat "$CUDA_MPS_LOG_DIRECTORY/../../pid")"
"""
FAILS = "#!/bin/sh\necho starting; echo An instance of this daemon is already running >&2; exit 1\n"
SHARED = {"mps": "auto", "gpus": 0.25}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a GPU, and a temporary folder of its own."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(mps.PIPES, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    return tmp_path


def has(machine: Path, script: str) -> None:
    program = machine / "bin" / mps.CONTROL
    program.write_text(script)
    program.chmod(0o755)


def test_processes_that_are_started_meanwhile_find_the_daemon(machine: Path) -> None:
    has(machine, STAND_IN)
    said: list[str] = []
    with mps.served(SHARED, said.append):
        assert mps.is_on()
        here = Path(os.environ[mps.PIPES])
        assert (here / "control").exists()
        daemon = psutil.Process(int((machine / "pid").read_text()))
        assert daemon.is_running()
        assert os.getsid(daemon.pid) != os.getsid(0), "a Ctrl-C is not for it"
        told = subprocess.run(["printenv", mps.PIPES], capture_output=True, text=True, check=True).stdout
        assert told.strip() == str(here)
    assert not mps.is_on()
    assert (machine / "said").read_text() == "quit -t 2\n"
    assert not daemon.is_running() and not here.exists()
    assert said == []


def test_it_ends_with_whoever_has_started_it(machine: Path) -> None:
    has(machine, STAND_IN)
    script = (
        "import sys, time, torch, tempfile; torch.cuda.device_count = lambda: 1; tempfile.tempdir = sys.argv[1]\n"
        "from trainers import mps\n"
        f"with mps.served({SHARED}, print): print(flush=True); time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(machine)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        daemon = psutil.Process(int((machine / "pid").read_text()))
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while daemon.is_running() and daemon.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the daemon lives on"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("", "there is no nvidia-cuda-mps-control here, which comes with NVIDIA's driver"),
        (FAILS, "nvidia-cuda-mps-control has ended (An instance of this daemon is already running)"),
    ],
)
def test_without_the_daemon_trials_take_turns_or_the_run_is_refused(script: str, why: str, machine: Path) -> None:
    if script:
        has(machine, script)
    said: list[str] = []
    with mps.served(SHARED, said.append):
        assert not mps.is_on()
    assert said == [f"compute.mps: auto: {why}; trials that share a GPU take turns on it"]
    with pytest.raises(MachineError) as refused, mps.served(SHARED | {"mps": True}, said.append):
        pass
    assert str(refused.value) == f"compute.mps: true: {why}"
    assert len(said) == 1


def test_an_error_within_ends_it_too(machine: Path) -> None:
    has(machine, STAND_IN)
    with pytest.raises(KeyError, match="theirs"), mps.served(SHARED, print):
        raise KeyError("theirs")
    assert not mps.is_on()
    assert (machine / "said").exists()


@pytest.mark.parametrize(
    "compute", [{"mps": False, "gpus": 0.25}, {"mps": "auto", "gpus": 1}, {"mps": True, "gpus": 0}]
)
def test_where_nothing_is_shared_it_is_not_started(compute: dict[str, object], machine: Path) -> None:
    has(machine, STAND_IN)
    with mps.served(compute, pytest.fail):
        assert not mps.is_on()
    assert not (machine / "pid").exists()


def test_somebodys_own_daemon_is_left_as_it_is(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has(machine, STAND_IN)
    monkeypatch.setenv(mps.PIPES, "/run/theirs")
    with mps.served(SHARED, pytest.fail):
        assert os.environ[mps.PIPES] == "/run/theirs"
    assert mps.is_on()


def test_without_a_gpu_it_is_not_started(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has(machine, STAND_IN)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with mps.served(SHARED, pytest.fail):
        assert not mps.is_on()
