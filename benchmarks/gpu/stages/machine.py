"""What the rest was measured on."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress

import torch

from benchmarks.gpu.asked import Asked
from trainers.allotment import cores
from trainers.machine import processor
from trainers.versions import releases

PACKAGES = ("torch", "torchvision", "triton", "numpy", "pyarrow", "pydantic")
TOLD = "name,driver_version,memory.total,clocks.max.sm,power.limit,compute_mode"
"""Of nvidia-smi; none of it changes anything."""
PROGRAMS = ("cc", "gcc", "nvidia-cuda-mps-control")
"""Triton needs one of the first two; the third lets processes share a card."""


def run(asked: Asked) -> None:
    """Say what machine, card and releases these are."""
    asked.say("machine", processor=processor(), cores=cores(), gpu=_card(asked), quick=asked.quick)
    asked.say("releases", **releases(PACKAGES), cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version())
    asked.say("torch begins with", conv_tf32=torch.backends.cudnn.allow_tf32, matmul_tf32=_products_tf32())
    asked.say("programs", **{name: shutil.which(name) or "none" for name in PROGRAMS})
    asked.say("environment", **{name: os.environ[name] for name in sorted(os.environ) if _ours(name)})
    if asked.on_a_card:
        asked.say("nvidia-smi", told=_told())


def _card(asked: Asked) -> str:
    if not asked.on_a_card:
        return "none asked for"
    about = torch.cuda.get_device_properties(torch.cuda.current_device())
    return f"{about.name}, {about.total_memory / 2**30:.0f} GiB, {about.multi_processor_count} multiprocessors"


def _products_tf32() -> bool:
    return bool(torch.backends.cuda.matmul.allow_tf32)


def _ours(name: str) -> bool:
    return name.startswith(("TORCH", "PYTORCH_", "CUDA_", "CUBLAS_", "NVIDIA_TF32")) and "PATH" not in name


def _told() -> str:
    """What nvidia-smi says of the card, in one line; empty where it is not there."""
    command = ["nvidia-smi", f"--query-gpu={TOLD}", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    return ""
