"""What is trained in the stages: images, teachers and trials, whole ones and such as a quick run has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.gpu.asked import Asked
from benchmarks.trials import BATCH, DEEP, HEAD, LR, Pair
from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data.base import ImageData, Split
from trainers.fit import fit
from trainers.models import Network
from trainers.rehearsal import stand_in
from trainers.result import EpochResult
from trainers.teaching.logit_bank import LogitBank

STAND_IN = "0" * 16
"""Hash of a teacher that nobody has trained."""
BANK_BYTES = 20_000_000_000
DHKD = {"head": HEAD}
"""The hyperparameters of what is raced against the authors' loop."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    pair: Pair
    images: int
    """That a timed epoch trains."""
    tested: int
    """Images that it is evaluated on."""
    some: int
    """Images of an epoch where many are timed."""
    few: int
    """Images where that is enough."""
    side: int
    """Of an image, in pixels."""
    classes: int
    batch: int
    rounds: int
    """That are counted, after one that is not."""


WHOLE = Size(DEEP, images=45_000, tested=10_000, some=12_800, few=6_400, side=32, classes=100, batch=BATCH, rounds=3)
"""CIFAR-100's shape, a tenth held out."""
QUICK = Size(
    Pair("resnet14", "resnet8"), images=72, tested=20, some=72, few=72, side=16, classes=10, batch=32, rounds=1
)


def size(asked: Asked) -> Size:
    """How much a stage has of everything."""
    return QUICK if asked.quick else WHOLE


def pixels(count: int, *, side: int, classes: int, tested: int | None = None) -> ImageData:
    """Random smooth images, whose first are those that are tested: nothing is learnt of them, and steps take as long.

    Args:
        count: images that are trained.
        side: of an image, in pixels.
        classes: that follow each other.
        tested: images of the test split, at most `count`; None: a fifth.
    """
    draws = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (count, 3, side // 4, side // 4), generator=draws, dtype=torch.uint8)
    images = F.interpolate(coarse.float(), size=side, mode="bilinear").to(torch.uint8)
    train = Split(images, torch.arange(count) % classes, torch.arange(count))
    test = train.take(torch.arange(tested or max(count // 5, classes)))
    return ImageData("random", train, test, tuple(map(str, range(classes))), (0.5,) * 3, (0.25,) * 3, f"random-{count}")


def timed_data(asked: Asked) -> ImageData:
    """What a timed epoch trains and tests."""
    how = size(asked)
    return pixels(how.images, side=how.side, classes=how.classes, tested=how.tested)


def some_data(asked: Asked) -> ImageData:
    """What is trained where many epochs are timed."""
    how = size(asked)
    return pixels(how.some, side=how.side, classes=how.classes)


def few_data(asked: Asked) -> ImageData:
    """What is trained where that is enough."""
    how = size(asked)
    return pixels(how.few, side=how.side, classes=how.classes)


def teacher_of(architecture: str, asked: Asked) -> Network:
    """An untrained teacher on the CPU, whose logits are of an ordinary size."""
    how = size(asked)
    return stand_in(architecture, pixels(min(256, how.few), side=how.side, classes=how.classes))


def trial(pair: Pair, method: str, params: Mapping[str, Any] = {}, *, batch: int = BATCH, **recipe: Any) -> TrialConfig:
    """A trial on all training images, in the field's recipe but for the fields in `recipe`."""
    fields = {"batch_size": batch, "lr": LR, "schedule": "constant", "val_fraction": 0.0} | recipe
    return TrialConfig(
        dataset=DatasetConfig(name="random", content="random"),
        model=pair.student,
        teacher=None if method == "scratch" else TeacherConfig(architecture=pair.teacher, hash=STAND_IN),
        method=MethodConfig(name=method, params=dict(params)),
        recipe=Recipe.model_validate(fields),
    )


def epochs(
    config: TrialConfig, data: ImageData, teacher: Network | None, device: str, bank: LogitBank | None = None
) -> Iterator[EpochResult]:
    """The trial's epochs, one at a time. The only place where the stages call the trainer."""
    taught = teacher if config.teacher is not None else None
    return fit(config, data=data, teacher=taught, bank=bank, device=device)


@contextmanager
def empty_bank() -> Iterator[LogitBank]:
    """A logit bank that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        yield LogitBank(Path(folder), budget=BANK_BYTES)


FILLING = ("precision", "tf32", "views", "deterministic")


def filling(config: TrialConfig) -> dict[str, Any]:
    """What of a trial's recipe decides what the bank holds."""
    return {name: getattr(config.recipe, name) for name in FILLING}


def fill(bank: LogitBank, config: TrialConfig, data: ImageData, teacher: Network, device: str) -> None:
    """Have the bank hold all that a trial asks for: a smaller student in larger batches asks for the same."""
    kept = filling(config)
    pair = Pair(config.teacher.architecture if config.teacher else "", "resnet8")
    other = trial(pair, config.method.name, config.method.params, batch=1024, epochs=config.recipe.epochs, **kept)
    for _ in epochs(other, data, teacher, device, bank):
        pass
