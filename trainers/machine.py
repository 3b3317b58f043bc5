"""What machine this is, asked of the system alone: no GPU is woken, and nothing is imported that takes time."""

from __future__ import annotations

import platform
import re
import socket
from collections import Counter
from pathlib import Path

GPUS = Path("/proc/driver/nvidia/gpus")
"""Where Linux tells a GPU's model."""
DRIVER = Path("/proc/driver/nvidia/version")
PROCESSORS = Path("/proc/cpuinfo")
RELEASE = re.compile(r"\s(\d+(?:\.\d+)+)\s")


def machine() -> dict[str, str]:
    """Name of the host, models of its processor and its GPUs (``2 × NVIDIA H100``), and the release of their driver;
    what is not there, or not told, is left out."""
    counts = Counter(filter(None, gpus()))
    shown = ", ".join(model if count == 1 else f"{count} × {model}" for model, count in counts.items())
    told = {"host": socket.gethostname(), "cpu": processor() or platform.machine(), "gpu": shown, "driver": driver()}
    return {name: value for name, value in told.items() if value}


def processor() -> str:
    """The processor's model; empty where the system does not tell."""
    return line(PROCESSORS, "model name")


def gpus() -> list[str]:
    """The model of each GPU of NVIDIA's, as far as it is told."""
    return [line(file, "Model") for file in sorted(GPUS.glob("*/information"))]


def driver() -> str:
    """The release of the GPUs' driver; empty where there is none."""
    found = RELEASE.search(_text(DRIVER))
    return found[1] if found else ""


def line(file: Path, name: str) -> str:
    """The value of the first line ``name: value`` of a file that the kernel writes; empty where there is none."""
    found = (line.partition(":")[2].strip() for line in _text(file).splitlines() if line.startswith(name))
    return next(found, "")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError:  # another system, or a container that hides it
        return ""
