"""How fast a trial would train: a few batches of it, or on a GPU some seconds, without keeping anything.

A rehearsal trains the trial's student with the trial's method and recipe for a few short epochs, twice over: first with
an empty logit bank, then with the bank that this filled, as the later trials of a sweep find it. No accuracy comes of
it, so that a teacher which is not trained yet can be stood in for.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from trainers.accelerator import CONTEXT_BYTES
from trainers.config import Recipe, TrialConfig
from trainers.data.base import ImageData, TrainingData
from trainers.distillers.registry import has_teacher
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.result import EpochResult
from trainers.teaching.logit_bank import LogitBank
from trainers.views.views import Views

STEPS = 6
"""Batches of a short epoch, at least: every class must occur."""
EPOCHS = 3
"""Short epochs of each of the two passes; the median of the second's is what an epoch takes."""
SECONDS = 2.0
"""That a pass trains on a GPU, where it could: six of its batches are over before what surrounds an epoch is."""
TRIES = 4
"""To find how many batches that is."""
GROWTH = 30.0
"""How many times as many batches the next of these has, at most."""
STATISTICS_BATCHES = 4
"""Of 64 images, whose statistics an untrained teacher's batch norms get."""
STATISTICS_SIZE = 64


@dataclass(frozen=True)
class Rehearsal:
    """What a trial's rehearsal came to."""

    epoch_seconds: float
    """An epoch of the real trial with a filled bank, evaluation included."""
    teacher_seconds: float
    """What the teacher's passes over an epoch's images add to the first trial that asks for them."""
    images_per_second: float
    """Training images, evaluation not counted."""
    peak_bytes: int
    """Of the GPU's memory: what torch held at most, and what the process holds beside that; 0 on a CPU."""
    first_seconds: float
    """Of the first short epoch, which waits for the compiler where the student is compiled."""


def rehearse(
    config: TrialConfig,
    *,
    data: ImageData,
    teacher: Network | None,
    device: str = "cpu",
    ready: Callable[[], object] = lambda: None,
) -> Rehearsal:
    """Train a few batches of the trial that `config` describes.

    Args:
        config: the trial.
        data: the data set that it names.
        teacher: any network of the architecture that it names; None without one.
        device: torch's name of the device.
        ready: called between the first pass and the second, to wait there for other rehearsals.

    Raises:
        DivergedError, InputError: as :func:`trainers.fit.fit`.
    """
    first: list[EpochResult] = []
    steps = STEPS if device == "cpu" else _steps(config, data, teacher, device, first)
    short = config.model_copy(update={"recipe": _shortened(config.recipe, data, steps)})
    cold, warm = _passes(short, data, teacher, device, ready)
    first += cold
    whole = len(TrainingData.cut(data, config.recipe).trained(unlabelled=has_teacher(config.method)))
    part = len(TrainingData.cut(data, short.recipe).train)
    each = _median_seconds(warm)
    return Rehearsal(
        epoch_seconds=each * whole / part,
        teacher_seconds=max(_median_seconds(cold) - each, 0.0) * whole / part,
        images_per_second=statistics.median(epoch.images_per_second for epoch in warm),
        peak_bytes=torch.cuda.max_memory_reserved() + CONTEXT_BYTES if device != "cpu" else 0,
        first_seconds=first[0].seconds,
    )


def _passes(
    short: TrialConfig, data: ImageData, teacher: Network | None, device: str, between: Callable[[], object]
) -> tuple[list[EpochResult], list[EpochResult]]:
    """The epochs of a trial with an empty bank, and once more with the bank that these have filled."""
    with tempfile.TemporaryDirectory() as folder:
        bank = LogitBank(Path(folder))
        cold = list(fit(short, data=data, teacher=teacher, bank=bank, device=device))
        between()
        return cold, list(fit(short, data=data, teacher=teacher, bank=bank, device=device))


def _steps(config: TrialConfig, data: ImageData, teacher: Network | None, device: str, first: list[EpochResult]) -> int:
    """Batches of an epoch of which :data:`EPOCHS` train for about :data:`SECONDS`, or all that there are: tried out
    with few of them, then with more. The epochs that were tried are added to `first`."""
    steps, wanted = STEPS, SECONDS / EPOCHS
    for _ in range(TRIES):
        short = config.model_copy(update={"recipe": _shortened(config.recipe, data, steps)})
        cold, warm = _passes(short, data, teacher, device, lambda: None)
        first += cold
        images = len(TrainingData.cut(data, short.recipe).train)
        took = images / statistics.median(epoch.images_per_second for epoch in warm)
        if took >= wanted / 2 or images < steps * config.recipe.batch_size:  # there are no more
            break
        steps = math.ceil(steps * min(wanted / took, GROWTH))
    return steps


def _median_seconds(epochs: list[EpochResult]) -> float:
    return statistics.median(epoch.seconds for epoch in epochs)


def _shortened(recipe: Recipe, data: ImageData, steps: int) -> Recipe:
    """The recipe on so few images of each class that an epoch has about `steps` steps, with as many more to test on as
    the whole recipe has; a recipe that is shorter stays as it is."""
    whole = TrainingData.cut(data, recipe)
    wanted = math.ceil(steps * recipe.batch_size / data.num_classes)
    smallest = int(torch.bincount(whole.train.labels, minlength=data.num_classes).min())
    per_class = min(wanted, smallest)
    tested = len(whole.test) + (len(whole.val) if whole.val is not None else 0)
    test_per_class = max(1, round(per_class * tested / len(whole.train)))
    return recipe.model_copy(
        update={
            "epochs": EPOCHS,
            "warmup_epochs": 0,
            "schedule": "constant",
            "val_fraction": 0.0,
            "samples_per_class": per_class,
            "test_per_class": test_per_class,
            "labelled_fraction": 1.0,  # an image takes as long with a label as without
        }
    )


def stand_in(architecture: str, data: ImageData) -> Network:
    """An untrained network in evaluation mode, whose batch norms have the statistics of some of `data`, so that its
    logits are of an ordinary size."""
    network = seeded_model(architecture, data.num_classes, seed=0).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over batches
    views = Views(Recipe(views="none"), data, torch.device("cpu"))
    some = torch.arange(min(STATISTICS_BATCHES * STATISTICS_SIZE, len(data.train)))
    with torch.no_grad():
        for part in data.train.batches(some.chunk(STATISTICS_BATCHES)):
            network(views.plain(part.images))
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    return network.eval()
