"""Whole trials on a pretended GPU, beside the same on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.contract.pretended_gpu import Wait, pretended
from trainers.data.base import ImageData, Split
from trainers.fit import fit, seeded_model
from trainers.result import EpochResult
from trainers.teaching.logit_bank import LogitBank

CLASSES = 7
STEPS = 2
"""Of an epoch."""
BATCH = 10


def images(size: int = 8) -> ImageData:
    """Noise: 20 images to train on, 10 to test on, of `size` × `size` pixels."""
    draws, count = torch.Generator().manual_seed(0), STEPS * BATCH
    pixels = torch.randint(0, 256, (count + 10, 3, size, size), generator=draws, dtype=torch.uint8)
    whole = Split(pixels, torch.arange(len(pixels)) % CLASSES, torch.arange(len(pixels)))
    splits = whole.take(torch.arange(count)), whole.take(torch.arange(count, len(pixels)))
    return ImageData("noise", *splits, tuple("0123456"), (0.5,) * 3, (0.25,) * 3)


def trial(
    method: str, params: dict[str, Any] | None = None, pair: tuple[str, str] = ("resnet8", "resnet8"), **recipe: Any
) -> TrialConfig:
    """Two epochs of two steps."""
    teacher, student = pair
    fields = {"epochs": 2, "batch_size": BATCH, "schedule": "constant", "lr": 0.01, "val_fraction": 0}
    return TrialConfig(
        dataset=DatasetConfig(name="noise", content="00112233aabbccdd"),
        model=student,
        teacher=None if method == "scratch" else TeacherConfig(architecture=teacher, hash="0123456789abcdef"),
        method=MethodConfig(name=method, params=params or {}),
        recipe=Recipe(**(fields | recipe)),
    )


@dataclass(frozen=True)
class OnBoth:
    """What a trial came to on the CPU and on the pretended GPU."""

    expected: list[EpochResult]
    """On the CPU, in one go."""
    cold: list[EpochResult]
    """Broken off after an epoch, and gone on with from the checkpoint; from an empty bank."""
    warm: list[EpochResult]
    """In one go, with the bank that the former filled."""
    moved: bool
    """Whether the teacher that was given, which other trials are given too, lies on the GPU afterwards."""
    waits: tuple[Wait, ...]
    """Of the host, on the way to the end of `warm`, in the middle of an epoch's steps."""


def on_both(config: TrialConfig, folder: Path, *, size: int = 8, number: int = 0) -> OnBoth:
    """Train a trial on the CPU and on the GPU of that number, which is the thread's current one; images have `size` ×
    `size` pixels."""
    data = images(size)
    taught = seeded_model(config.teacher.architecture, CLASSES, seed=9).eval() if config.teacher else None
    bank = LogitBank(folder / "bank")
    expected = list(fit(config, data=data, teacher=taught))
    with pretended(number) as gpu:

        def begun(where: Path | None) -> Any:
            return fit(config, data=data, teacher=taught, bank=bank, folder=where, device="cuda")

        first = begun(folder)
        next(first)
        first.close()
        cold = list(begun(folder))
        warm = list(begun(None))
        moved = taught is not None and any(weight.is_cuda for weight in taught.state_dict().values())
    return OnBoth(expected, cold, warm, moved, tuple(wait for wait in gpu.waits if wait.steps % STEPS))


def numbers(results: list[EpochResult]) -> list[EpochResult]:
    """The results without what differs from run to run: times, who ran the teacher, whether it was read again."""
    return [replace(result, seconds=0.0, images_per_second=0.0, teacher_images=0, replayed=False) for result in results]
