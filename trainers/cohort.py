"""Several trials in one process, over the same batches.

Trials of one data set, one recipe and one seed see the same images in the same order and in the same views, whatever
their method and their weights. A **cohort** of them has the data, the views and what the teacher says of them once, and
takes a step of each student for every batch. Each trial's numbers are those it has alone (:func:`trainers.fit.fit`): on
the CPU bit for bit. One that diverges, fails or is closed leaves the others as they are.

What they share fails for all who read it: an image that cannot be read, or the teacher's pass. A GPU has a stream for
each student, whose kernels may overlap; that has not been run on a GPU.
"""

from __future__ import annotations

import traceback
from bdb import BdbQuit
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import torch

from trainers.code import settings_kept
from trainers.config import TrialConfig
from trainers.data.base import ImageData
from trainers.distillers import METHODS, Batch
from trainers.distillers.registry import has_teacher
from trainers.errors import InputError
from trainers.loop.clock import Clock
from trainers.loop.lane import Lane, changed
from trainers.material import Material
from trainers.models import Network
from trainers.result import EpochResult
from trainers.storage.content import canonical_json
from trainers.teaching.chunks import Preparation, Pupil
from trainers.teaching.lesson import Lesson, Teaching, teaching
from trainers.teaching.logit_bank import LogitBank
from trainers.training import Training, lesson_of

T = TypeVar("T")
LEAVING = (KeyboardInterrupt, GeneratorExit, BdbQuit)
"""The user's, from the whole process."""
SHARED = ("dataset", "recipe", "seed")
"""What of a trial's config all of a cohort have."""


def fit_cohort(
    configs: Sequence[TrialConfig],
    *,
    data: ImageData,
    teacher: Network | Callable[[], Network] | None = None,
    bank: LogitBank | None = None,
    folders: Sequence[Path | None] | None = None,
    device: str = "cpu",
) -> list[CohortTrial]:
    """Train several trials together.

    Args:
        configs: the trials, each another one: of one data set, one recipe and one seed, and of one teacher where they
            have one.
        data, teacher, bank, device: as :func:`trainers.fit.fit` takes them.
        folders: of each trial, as :func:`trainers.fit.fit` takes one; None keeps nothing.

    Returns:
        For each trial a generator like that of :func:`trainers.fit.fit`, with the same results, the same return value
        and the same errors. Asked for an epoch that is not trained yet, it trains an epoch of all trials that have not
        ended, those that are behind first until all are at one epoch; the others' results wait until they are asked
        for. Closing one, or letting go of it, takes its trial out. An epoch's `seconds` are the trial's part of what
        the cohort took, and `teacher_images` count with the first of the trials that read them.

    Raises:
        InputError: where the trials do not go together.
    """
    refuse_strangers(configs)
    cohort = _Cohort(configs, data, teacher, bank, folders or [None] * len(configs), device)
    return [CohortTrial(cohort, member) for member in cohort.members]


def refuse_strangers(configs: Sequence[TrialConfig]) -> None:
    """Whether trials can be one cohort.

    Raises:
        InputError: where they share less than they must, where one is there twice, and where they are compiled.
    """
    for part in SHARED:
        if len({_content(config, part) for config in configs}) > 1:
            raise InputError(f"the trials of a cohort have one {part}, and these differ in it")
    if len({config.teacher for config in configs if config.teacher is not None}) > 1:
        raise InputError("the trials of a cohort have one teacher, and these have several")
    if len({config.key for config in configs}) < len(configs):
        raise InputError("a trial is in a cohort once, and two of these are the same")
    if configs[0].recipe.labelled_fraction < 1 and len({has_teacher(config.method) for config in configs}) > 1:
        raise InputError(
            "with a labelled_fraction below 1 methods without a teacher train on the images with a label alone, and the"
            " others on all: no cohort has both"
        )
    if any(config.recipe.compile for config in configs):
        raise InputError("a cohort's students are not compiled: train trials with `compile: true` one by one")


class CohortTrial(Generator[EpochResult, None, Network]):
    """One trial of a cohort, as :func:`trainers.fit.fit` gives one that is alone."""

    def __init__(self, cohort: _Cohort, member: _Member) -> None:
        self._cohort, self._member = cohort, member

    def send(self, value: None) -> EpochResult:
        """The next epoch's result; StopIteration, with the student, after the last one.

        Raises:
            DivergedError, InputError, StorageError: as :func:`trainers.fit.fit`.
        """
        result = self._cohort.next(self._member)
        if result is not None:
            return result
        raise StopIteration(self._member.finished()) if self._member.training is not None else StopIteration

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> EpochResult:
        """Take the trial out of the cohort, and raise the error."""
        self._member.leave()
        raise kind if isinstance(kind, BaseException) else kind()

    def __del__(self) -> None:
        self._member.leave()


class _Member:
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
            taught: images that the teacher was run on, as far as they count with this trial.
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
        with _failing([self]), self.clock, self._lane.own(batch), self._settings():
            yield self.training

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """A user's code may change torch for the whole process, in which the others are."""
        with settings_kept() if self.config.code else nullcontext():
            yield


@contextmanager
def _failing(members: Iterable[_Member]) -> Iterator[None]:
    """A context whose error is the end of these trials; it is raised as well where it is the user who leaves."""
    try:
        yield
    except BaseException as error:
        for member in members:
            if member.training is not None or member.error is None:
                member.fail(error)
        if isinstance(error, LEAVING):
            raise


class _Cohort:
    """What its trials share."""

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        data: ImageData,
        teacher: Network | Callable[[], Network] | None,
        bank: LogitBank | None,
        folders: Sequence[Path | None],
        device: str,
    ) -> None:
        self.members = [_Member(config, folder) for config, folder in zip(configs, folders, strict=True)]
        self._data, self._device, self._bank = data, device, bank
        self._teacher = teacher if teacher is None or not isinstance(teacher, Network) else (lambda: teacher)
        self._is_set_up = False
        self._lessons: dict[str, Lesson | None] = {}
        self._taught: dict[tuple[str, bool], Teaching] = {}

    def next(self, member: _Member) -> EpochResult | None:
        """A trial's next result, None after the last; raises the trial's error in its turn."""
        if not self._is_set_up:
            self._set_up()
        while not member.results and member.live:
            self._advance()
        if member.results:
            return member.results.popleft()
        error = member.error
        if error is not None:
            member.leave()
            raise error
        return None

    def _set_up(self) -> None:
        """Everything that is needed before the first epoch."""
        self._is_set_up = True
        with _failing(self.members), settings_kept():
            first = self.members[0].config
            self._material = Material.of(first.recipe, self._data, self._device, unlabelled=has_teacher(first.method))
            self._material.computing()
            teacher = cache(self._teacher) if self._teacher is not None else None
            for member in self.members:
                with _failing([member]):
                    member.set_up(self._material, teacher)

    def _advance(self) -> None:
        """Train an epoch of the trials that are furthest behind."""
        live = [member for member in self.members if member.live]
        least = min(member.done for member in live)
        furthest_behind = [member for member in live if member.done == least]
        with _failing(furthest_behind), settings_kept():
            self._train(furthest_behind, least + 1)

    def _train(self, members: Sequence[_Member], epoch: int) -> None:
        """One epoch, counted from 1, of trials that are all as far."""
        shared = Clock()
        with shared:
            self._material.computing()  # others may have run here meanwhile
            pupils = self._pupils(members, epoch)
        for member in pupils:
            member.begin()
        kinds = list(dict.fromkeys(pupils.values()))
        for batches in self._batches(kinds, [member for member in pupils if member.live], epoch, shared):
            for member, pupil in pupils.items():
                if member.live:
                    member.step(batches[kinds.index(pupil)])
        told: set[Teaching] = set()
        for member, (taught, _) in pupils.items():
            if member.live:
                member.end(shared.seconds / len(pupils), 0 if taught in told else taught.images)
                told.add(taught)

    def _pupils(self, members: Sequence[_Member], epoch: int) -> dict[_Member, Pupil]:
        """How each trial is taught; the teachers are ready for the epoch. A teacher that fails ends its trials."""
        pupils: dict[_Member, Pupil] = {}
        for needs, some in _by(_needs, members).items():
            with _failing(some):
                taught = self._teaching(needs, some)
                taught.begin(epoch)  # may load the teacher, which draws
                pupils |= {member: Pupil(taught, _strong(member)) for member in some}
        return {member: pupils[member] for member in members if member in pupils}

    def _teaching(self, needs: str, members: Sequence[_Member]) -> Teaching:
        """What trials of one need are taught by: the same one every epoch, as long as they need as much."""
        strong = any(map(_strong, members))
        if needs not in self._lessons:
            self._lessons[needs] = _training(members[0]).lesson
        if (needs, strong) not in self._taught:
            self._taught[needs, strong] = teaching(
                self._lessons[needs], self._bank, self._material.autocast, strong=strong
            )
        return self._taught[needs, strong]

    def _batches(
        self, pupils: Sequence[Pupil], members: Sequence[_Member], epoch: int, clock: Clock
    ) -> Iterator[tuple[Batch, ...]]:
        """The epoch's batches for each of the pupils, made on the clock, while any of the trials goes on."""
        if not members:
            return
        config, material = members[0].config, self._material
        preparation = Preparation(config.recipe, config.seed, material.train, material.views, tuple(pupils))
        batches = preparation.batches(_training(members[0]).parts, epoch)
        while any(member.live for member in members):
            with clock:
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _training(member: _Member) -> Training:
    assert member.training is not None
    return member.training


def _needs(member: _Member) -> str:
    """What a trial reads of the teacher's pass."""
    return METHODS[member.config.method.name].teacher_needs if _training(member).lesson is not None else "nothing"


def _strong(member: _Member) -> bool:
    return _training(member).distiller.strong_view


def _by(kind: Callable[[T], str], some: Iterable[T]) -> dict[str, list[T]]:
    """Some things by their kind."""
    found: dict[str, list[T]] = {}
    for one in some:
        found.setdefault(kind(one), []).append(one)
    return found


def _content(config: TrialConfig, part: str) -> str:
    """A part of a trial's key, as text."""
    return canonical_json(config.key_content()[part])
