"""One trial of a cohort: what it trains, how far it is, and how it ends."""

from __future__ import annotations

import traceback
from bdb import BdbQuit
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from trainers.code import settings_kept
from trainers.config import TrialConfig
from trainers.distillers import Batch
from trainers.loop.clock import Clock
from trainers.loop.lane import Lane, changed
from trainers.material import Material
from trainers.models import Network
from trainers.result import EpochResult
from trainers.training import Training, lesson_of

LEAVING = (KeyboardInterrupt, GeneratorExit, BdbQuit)
"""The user's, from the whole process."""


class Member:
    """A trial of a cohort, and how far it is."""

    def __init__(self, config: TrialConfig, folder: Path | None) -> None:
        self.config, self._folder = config, folder
        self.results: deque[EpochResult] = deque()
        """Those that nobody has asked for yet."""
        self.training: Training | None = None
        """None before it is set up, and after its end."""
        self.error: BaseException | None = None
        """Its bad end, which nobody has asked for yet."""
        self.clock = Clock()
        """Of the epoch that it is in."""

    def set_up(self, material: Material, teacher: Callable[[], Network] | None) -> None:
        """Make what the trial trains, with the epochs that an earlier call has trained as its first results."""
        lesson = lesson_of(self.config, material, teacher)
        self.training = Training(self.config, material, lesson, folder=self._folder)
        self._lane = Lane(material.place)
        self.results.extend(self.training.replayed())
        self._epochs = iter(self.training.remaining())

    @property
    def live(self) -> bool:
        """Whether it has epochs to train."""
        return self.training is not None and self.training.done < self.config.recipe.epochs

    @property
    def done(self) -> int:
        """Epochs that are behind it."""
        return self.training.done if self.training is not None else 0

    def begin(self) -> None:
        """Get ready for the next epoch, which the shared parts are ready for."""
        self.clock = Clock()
        with self._own() as training:
            training.begin(next(self._epochs))

    def step(self, batch: Batch) -> None:
        """Train on the next batch."""
        with self._own(batch) as training:
            training.step(changed(batch, torch.clone) if self.config.code else batch)

    def end(self, shared: float, taught: int) -> None:
        """Note what the epoch came to.

        Args:
            shared: seconds of what was done for several, as far as this trial is charged with them.
            taught: images that the teacher was run on, as far as this trial is charged with them.
        """
        self.clock.charge(shared)
        with self._own() as training:
            self.results.append(training.end(self.clock, taught))
        self._lane.joined()

    def finished(self) -> Network:
        """The student after the last epoch."""
        assert self.training is not None
        try:
            return self.training.finished()
        finally:
            self.leave()

    def leave(self) -> None:
        """Let go of all that it trains; its checkpoint is written, or, of a training on a GPU, about to be."""
        self.training, self.error = None, None
        self.results.clear()

    def fail(self, error: BaseException) -> None:
        """End badly; what its steps held on their way is freed."""
        traceback.clear_frames(error.__traceback__)
        self.training, self.error = None, error

    @contextmanager
    def _own(self, batch: Batch | None = None) -> Iterator[Training]:
        """A context in which its training computes, on its own account; what goes wrong is its end, and no one
        else's."""
        assert self.training is not None
        with failing([self]), self.clock, self._lane.own(batch), self._settings():
            yield self.training

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """A user's code may change torch for the whole process, in which the others are."""
        with settings_kept() if self.config.code else nullcontext():
            yield


@contextmanager
def failing(members: Iterable[Member]) -> Iterator[None]:
    """A context whose error is the end of these trials; it is raised as well where it is the user who leaves."""
    try:
        yield
    except BaseException as error:
        for member in members:
            if member.training is not None or member.error is None:
                member.fail(error)
        if isinstance(error, LEAVING):
            raise


def training_of(member: Member) -> Training:
    """What a trial that goes on trains."""
    assert member.training is not None
    return member.training
