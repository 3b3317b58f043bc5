"""What a method must do in the training loop, over a set of one image of noise a class."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.contract.case import Case
from trainers.contract.requirement import Remark
from trainers.data import ImageData, Split
from trainers.distillers import METHODS, LogitDistiller
from trainers.errors import InputError
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.result import EpochResult

STUDENTS = ("resnet8", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2")
"""One small student of every family."""


@lru_cache(maxsize=8)
def small_set(classes: int, size: int = 16) -> ImageData:
    """A random image of each class, of `size` × `size` pixels, and one to test on."""
    draws = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (classes + 1, 3, size, size), dtype=torch.uint8, generator=draws)
    split = Split(pixels, torch.arange(classes + 1) % classes, torch.arange(classes + 1))
    train, test = split.take(torch.arange(classes)), split.take(torch.tensor([classes]))
    return ImageData("noise", train, test, tuple(map(str, range(classes))), (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))


def one_epoch(case: Case, student: str, epochs: int = 1) -> TrialConfig:
    """A trial of one step an epoch, without weight decay: what moves is moved by the loss."""
    return TrialConfig(
        dataset=DatasetConfig(name="noise"),
        model=student,
        teacher=TeacherConfig(architecture="resnet8", hash="0123456789abcdef") if case.listens else None,
        method=MethodConfig(name=case.name, params=dict(case.params)),
        recipe=Recipe(
            epochs=epochs, batch_size=case.classes, schedule="constant", val_fraction=0, weight_decay=0, lr=1e-3
        ),
    )


def trained(
    case: Case, student: str, epochs: int = 1, folder: Path | None = None, size: int = 16
) -> Generator[EpochResult, None, Network]:
    """The training of such a trial: :func:`trainers.fit.fit`."""
    teacher = _teacher(case.classes) if case.listens else None
    return fit(one_epoch(case, student, epochs), data=small_set(case.classes, size), teacher=teacher, folder=folder)


@lru_cache(maxsize=2)
def _teacher(classes: int) -> Network:
    """Whom all of them have; a training leaves it as it is."""
    return seeded_model("resnet8", classes, seed=99).eval()


@lru_cache(maxsize=32)
def _first(student: str, classes: int) -> tuple[str, Tensor]:
    """The name and the start of a student's first layer."""
    name, start = next(seeded_model(student, classes, seed=0).named_parameters())
    return name, start.detach().clone()


def families(case: Case) -> tuple[str, ...]:
    """The students to try: one where ours see nothing of a student but its logits, for which KD stands."""
    sees_logits = issubclass(case.kind, LogitDistiller) and not METHODS.module(case.name) and case.name != "kd"
    return STUDENTS[:1] if sees_logits else STUDENTS


def every_family(case: Case) -> str | None:
    """A step of training moves the first layer of a student of every family; a remark where the method itself says that
    it does not go with one."""
    without = []
    for student in families(case):
        try:
            found = moves(case, student)
        except InputError as error:
            without.append(f"not with {student}: {error}")
            continue
        if found:
            return found
    if len(without) == len(families(case)):
        return without[0]
    return Remark("; ".join(without)) if without else None


def moves(case: Case, student: str, size: int = 16) -> str | None:
    """A step of training moves a student's first layer, and leaves it finite."""
    name, start = _first(student, case.classes)
    _, network = finished(trained(case, student, size=size))
    weights = dict(network.named_parameters())
    weight = weights[name] if name in weights else weights[f"student.{name}"]  # evaluated in a network around it
    if not weight.isfinite().all():
        return f"a step of training leaves {name} of {student} not finite"
    return f"a step of training does not move {name} of {student}" if torch.equal(weight, start) else None


def resumes(case: Case, student: str = STUDENTS[0], size: int = 16) -> str | None:
    """A trial that is broken off after two of three epochs and goes on from its checkpoint equals one that is not, bit
    for bit."""
    whole, expected = finished(trained(case, student, 3, size=size))
    with tempfile.TemporaryDirectory() as folder:
        begun = trained(case, student, 3, Path(folder), size)
        for _ in range(2):
            next(begun)
        begun.close()
        rest, found = finished(trained(case, student, 3, Path(folder), size))
    for one, other in zip(whole, rest, strict=True):
        if (one.loss, one.terms) != (other.loss, other.terms):
            return (
                f"a trial that goes on after epoch 2 has a loss of {other.loss:.6g} in epoch {other.epoch}, an"
                f" uninterrupted one {one.loss:.6g}; keep what is remembered in a buffer (register_buffer)"
            )
    differing = _differing(expected.state_dict(), found.state_dict())
    return (
        f"a trial that goes on after epoch 2 ends with another {differing} than an uninterrupted one"
        if differing
        else None
    )


def _differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> str:
    return next((key for key, value in one.items() if not torch.equal(value, other[key])), "")


def finished(training: Generator[EpochResult, None, Network]) -> tuple[list[EpochResult], Network]:
    """Run to the end: the results, and the student."""
    results = []
    while True:
        try:
            results.append(next(training))
        except StopIteration as stop:
            return results, stop.value
