"""The one training loop.

:func:`fit` trains a trial and yields one :class:`EpochResult` per epoch. It can be stopped between any two epochs, by
any means, and called again with the same folder: on the CPU the numbers are then bit for bit those of an
uninterrupted run, because every random draw derives from (seed, epoch, sample) and nothing else.

What each line of the loop does is in :mod:`trainers.training`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from trainers.code import settings_kept
from trainers.config import TrialConfig
from trainers.data.base import ImageData
from trainers.distillers.registry import has_teacher
from trainers.loop.clock import Clock
from trainers.loop.data_parallel import ALONE, Group
from trainers.material import Material
from trainers.models import Network
from trainers.result import EpochResult
from trainers.teaching.chunks import Preparation, Pupil
from trainers.teaching.lesson import teaching
from trainers.teaching.logit_bank import LogitBank
from trainers.training import WEIGHTS, Training, lesson_of, seeded_model

__all__ = ["WEIGHTS", "fit", "seeded_model"]


def fit(
    config: TrialConfig,
    *,
    data: ImageData,
    teacher: Network | Callable[[], Network] | None = None,
    bank: LogitBank | None = None,
    folder: Path | None = None,
    device: str = "cpu",
    group: Group = ALONE,
) -> Generator[EpochResult, None, Network]:
    """Train the trial that `config` describes.

    Args:
        config: decides every number.
        data: the data set that `config.dataset` names.
        teacher: the trained teacher that `config.teacher` names, or what loads it, which is called when the teacher is
            first run; it is put in evaluation mode.
        bank: where the teacher's logits are kept for other trials, if the method reads logits alone. It changes no
            number; None computes them anew.
        folder: where checkpoints and the finished weights go; with one, an earlier call is continued, and its epochs
            are yielded first (`replayed`). None keeps nothing.
        device: torch's name of the device to train on; "cuda" is the thread's current GPU.
        group: the processes that train this trial together, each with this very call; the leading one writes.

    Yields:
        One result per epoch, after the epoch's checkpoint is written; on a GPU it is written while the next one trains.

    Returns:
        The method's predictor, on the CPU: the trained student, without anything that the method learnt beside it; for
        SimKD with its projector and the teacher's classifier, DHO with both heads.

    Raises:
        DivergedError: when a loss term becomes NaN or infinite.
        InputError: for names or hyperparameters that do not exist, where every loss weight of an epoch is 0, and for
            what several processes cannot train.
        StorageError: when a checkpoint cannot be written.
    """
    material = Material.of(config.recipe, data, device, unlabelled=has_teacher(config.method))
    with settings_kept():  # who trains in a process of his own finds torch as he left it, between epochs too
        material.computing()
        lesson = lesson_of(config, material, teacher)
        training = Training(config, material, lesson, folder=folder, group=group)
        strong = training.distiller.strong_view
        taught = teaching(lesson, bank, material.autocast, strong=strong)
    pupils = (Pupil(taught, strong),)
    preparation = Preparation(config.recipe, config.seed, material.train, material.views, pupils)

    yield from training.replayed()
    for epoch in training.remaining():
        with Clock() as clock, settings_kept():
            material.computing()  # others may have run here meanwhile
            taught.begin(epoch)  # may load the teacher, which draws
            training.begin(epoch)
            for (batch,) in preparation.batches(training.parts, epoch, training.partners):
                training.step(batch)
            result = training.end(clock, taught.images)
        yield result
    return training.finished()
