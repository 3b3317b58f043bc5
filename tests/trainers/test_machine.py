"""What the system tells of the machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from trainers import machine


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with an empty /proc."""
    for name, path in (("GPUS", "gpus"), ("DRIVER", "version"), ("PROCESSORS", "cpuinfo")):
        monkeypatch.setattr(machine, name, tmp_path / path)
    return tmp_path


def test_models_and_driver_are_named(proc: Path) -> None:
    (proc / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Xeon: big\nmodel name\t: other\n")
    (proc / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024\nGCC 12.2 \n"
    )
    for number, model in enumerate(("H100", "A100", "H100")):
        (proc / "gpus" / str(number)).mkdir(parents=True)
        (proc / "gpus" / str(number) / "information").write_text(f"Model: \t\t {model}\nIRQ: 12\n")
    assert machine.machine() == {
        "host": socket.gethostname(),
        "cpu": "Xeon: big",
        "gpu": "2 × H100, A100",
        "driver": "550.54.15",
    }
    assert machine.gpus() == ["H100", "A100", "H100"]


def test_what_is_not_told_is_left_out(proc: Path) -> None:
    assert set(machine.machine()) <= {"host", "cpu"}
    assert (machine.processor(), machine.gpus(), machine.driver()) == ("", [], "")
