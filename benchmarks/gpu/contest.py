"""Our trials against the authors' loop, epoch by epoch in turns in one process."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.authors_loop import Options, opponent
from benchmarks.common import Goal, ratios
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.card import as_torch_begins
from benchmarks.gpu.material import empty_bank, epochs, few_data, fill, filling, size, teacher_of, trial
from benchmarks.trials import Pair
from trainers.data.base import ImageData
from trainers.result import EpochResult
from trainers.teaching.logit_bank import LogitBank

THEIRS = "authors' loop"
MORE_EPOCHS = 2
"""Of a trial, beside the rounds and the one that is not counted: whatever is looked at afterwards."""


@dataclass(frozen=True)
class Contestant:
    """One of our trials."""

    method: str
    params: Mapping[str, Any]
    recipe: Mapping[str, Any]
    goal: Goal | None = None
    """Of its images per second, in the authors' loop's."""
    banked: bool = True
    """Whether the teacher's logits are in the bank."""


@dataclass
class Turns:
    """A trial that trains one more epoch with each call."""

    epochs: Iterator[EpochResult]
    warm: bool
    """Whether no epoch may need the teacher."""
    seen: list[EpochResult] = field(default_factory=list)

    def __call__(self) -> float:
        """Training images per second of one more epoch."""
        epoch = next(self.epochs)
        if self.warm and epoch.teacher_images:
            raise RuntimeError(f"the bank is cold: the teacher ran on {epoch.teacher_images} images")
        self.seen.append(epoch)
        return epoch.images_per_second

    @property
    def epoch_seconds(self) -> float:
        """An epoch's, evaluation included: the median, without the first."""
        return statistics.median(epoch.seconds for epoch in self.seen[1:] or self.seen)


def their_turns(pair: Pair, asked: Asked, *, tested: bool = False) -> Callable[[], float]:
    """The authors' loop: training images per second of one more epoch, whose time is that of the training alone, or
    `tested` with the test set's, which is as large a part of the data as ours."""
    teacher = copy.deepcopy(teacher_of(pair.teacher, asked))
    loop = opponent(pair, few_data(asked), teacher, Options(), torch.device(asked.device))

    def turn() -> float:
        as_torch_begins(asked.device)
        seconds = loop.train().seconds + (loop.test().seconds if tested else 0)
        return len(loop.train_set) / seconds

    return turn


def contest(
    asked: Asked, pair: Pair, contestants: Mapping[str, Contestant], data: ImageData
) -> Iterator[tuple[str, Turns]]:
    """Race our trials on `data` against the authors' loop, and write down what every round came to.

    Yields:
        Our trials by name, those that came to the end of the rounds, each with an epoch or more left.
    """
    with empty_bank() as bank:
        theirs = their_turns(pair, asked)
        ours = dict(_begun(asked, pair, contestants, data, bank))
        rates: dict[str, list[float]] = {name: [] for name in [THEIRS, *ours]}
        theirs()
        for _ in range(size(asked).rounds):
            rates[THEIRS].append(theirs())
            asked.figure(f"{pair}: {THEIRS}", rates[THEIRS], unit="images/s")
            for name in list(ours):
                with asked.trying(f"{pair}: {name}"):
                    rates[name].append(ours[name]())
                    _say(asked, pair, name, contestants[name], rates, ours[name])
                    continue
                del ours[name]
        yield from ours.items()


def _say(asked: Asked, pair: Pair, name: str, one: Contestant, rates: Mapping[str, list[float]], turns: Turns) -> None:
    asked.figure(
        f"{pair}: {name}",
        ratios(rates[name], rates[THEIRS]),
        one.goal,
        unit="times the authors' images/s",
        images_per_second=statistics.median(rates[name]),
        epoch_seconds=turns.epoch_seconds,
        first_epoch_seconds=turns.seen[0].seconds,
    )


def _begun(
    asked: Asked, pair: Pair, contestants: Mapping[str, Contestant], data: ImageData, bank: LogitBank
) -> Iterator[tuple[str, Turns]]:
    """Our trials after their first epoch, which waits for a compiler; one that cannot begin is a finding."""
    how, teacher = size(asked), teacher_of(pair.teacher, asked)
    filled: list[object] = []
    for name, one in contestants.items():
        with asked.trying(f"{pair}: {name}"):
            count = 1 + how.rounds + MORE_EPOCHS
            config = trial(pair, one.method, one.params, batch=how.batch, epochs=count, **one.recipe)
            if one.banked and (one.method, filling(config)) not in filled:
                filled.append((one.method, filling(config)))
                fill(bank, config, data, teacher, asked.device)
            turns = Turns(epochs(config, data, teacher, asked.device, bank if one.banked else None), one.banked)
            turns()
            yield name, turns
