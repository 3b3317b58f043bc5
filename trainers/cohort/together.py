"""The shared parts of a cohort, and an epoch of all its trials."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from trainers.code import settings_kept
from trainers.cohort.member import Member, failing, training_of
from trainers.cohort.strangers import refuse_strangers
from trainers.config import TrialConfig
from trainers.data.base import ImageData
from trainers.distillers import METHODS, Batch
from trainers.distillers.registry import has_teacher
from trainers.loop.clock import Clock
from trainers.material import Material
from trainers.models import Network
from trainers.result import EpochResult
from trainers.teaching.chunks import Preparation, Pupil
from trainers.teaching.lesson import Lesson, Teaching, teaching
from trainers.teaching.logit_bank import LogitBank

K = TypeVar("K")
T = TypeVar("T")


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
        the cohort took, and so are its `teacher_images`.

    Raises:
        InputError: where the trials do not go together.
    """
    refuse_strangers(configs)
    cohort = _Cohort(configs, data, teacher, bank, folders or [None] * len(configs), device)
    return [CohortTrial(cohort, member) for member in cohort.members]


class CohortTrial(Generator[EpochResult, None, Network]):
    """One trial of a cohort, as :func:`trainers.fit.fit` gives one that is alone."""

    def __init__(self, cohort: _Cohort, member: Member) -> None:
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
        self.members = [Member(config, folder) for config, folder in zip(configs, folders, strict=True)]
        self._data, self._device, self._bank = data, device, bank
        self._teacher = teacher if teacher is None or not isinstance(teacher, Network) else (lambda: teacher)
        self._is_set_up = False
        self._lessons: dict[str, Lesson | None] = {}
        self._taught: dict[tuple[str, bool], Teaching] = {}

    def next(self, member: Member) -> EpochResult | None:
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
        with failing(self.members), settings_kept():
            first = self.members[0].config
            self._material = Material.of(first.recipe, self._data, self._device, unlabelled=has_teacher(first.method))
            self._material.computing()
            teacher = cache(self._teacher) if self._teacher is not None else None
            for member in self.members:
                with failing([member]):
                    member.set_up(self._material, teacher)

    def _advance(self) -> None:
        """Train an epoch of the trials that are furthest behind."""
        live = [member for member in self.members if member.live]
        least = min(member.done for member in live)
        furthest_behind = [member for member in live if member.done == least]
        with failing(furthest_behind), settings_kept():
            self._train(furthest_behind, least + 1)

    def _train(self, members: Sequence[Member], epoch: int) -> None:
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
        for taught, some in _by(lambda member: pupils[member].taught, filter(_live, pupils)).items():
            for place, member in enumerate(some):
                member.end(shared.seconds / len(pupils), (taught.images + place) // len(some))

    def _pupils(self, members: Sequence[Member], epoch: int) -> dict[Member, Pupil]:
        """How each trial is taught; the teachers are ready for the epoch. A teacher that fails ends its trials."""
        pupils: dict[Member, Pupil] = {}
        for needs, some in _by(_needs, members).items():
            with failing(some):
                taught = self._teaching(needs, some)
                taught.begin(epoch)  # may load the teacher, which draws
                pupils |= {member: Pupil(taught, _strong(member)) for member in some}
        return {member: pupils[member] for member in members if member in pupils}

    def _teaching(self, needs: str, members: Sequence[Member]) -> Teaching:
        """What trials of one need are taught by: the same one every epoch, as long as they need as much."""
        strong = any(map(_strong, members))
        if needs not in self._lessons:
            self._lessons[needs] = training_of(members[0]).lesson
        if (needs, strong) not in self._taught:
            self._taught[needs, strong] = teaching(
                self._lessons[needs], self._bank, self._material.autocast, strong=strong
            )
        return self._taught[needs, strong]

    def _batches(
        self, pupils: Sequence[Pupil], members: Sequence[Member], epoch: int, clock: Clock
    ) -> Iterator[tuple[Batch, ...]]:
        """The epoch's batches for each of the pupils, made on the clock, while any of the trials goes on."""
        if not members:
            return
        config, material = members[0].config, self._material
        preparation = Preparation(config.recipe, config.seed, material.train, material.views, tuple(pupils))
        batches = preparation.batches(training_of(members[0]).parts, epoch)
        while any(member.live for member in members):
            with clock:
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _needs(member: Member) -> str:
    """What a trial reads of the teacher's pass."""
    return METHODS[member.config.method.name].teacher_needs if training_of(member).lesson is not None else "nothing"


def _strong(member: Member) -> bool:
    return training_of(member).distiller.strong_view


def _live(member: Member) -> bool:
    return member.live


def _by(kind: Callable[[T], K], some: Iterable[T]) -> dict[K, list[T]]:
    """Some things by their kind."""
    found: dict[K, list[T]] = {}
    for one in some:
        found.setdefault(kind(one), []).append(one)
    return found
