"""What a search has done, told from what it heard: the best that was known as epochs were spent, and what was given up
on what grounds.

All of it is a function of the cell's history. The grounds of a search that looks ahead are not noted in the ledger: its
rule is asked again, with the history as it was at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweep.plan.slots import filled
from sweep.search.cell_search import CellSearch
from sweep.search.history import Moment
from sweep.search.suggest import Asked
from sweep.text import counted

if TYPE_CHECKING:
    from sweep.search.curves import Outlook, Weighed


@dataclass(frozen=True)
class GivenUp:
    """A trial that its search gave up."""

    number: int
    """Of the suggestion, counted from 0."""
    params: dict[str, Any]
    epoch: int
    """After which, counted from 1."""
    epochs: int
    """That it would have had."""
    value: float
    """The first metric then."""
    bar: float | None = None
    """What it should have had, by a rule that compares values; None where the rule that the plan names now does not
    give it up."""
    weighed: Weighed | None = None
    """How it was weighed, by a search that looks ahead; None likewise."""


def best_so_far(search: CellSearch) -> list[tuple[int, float]]:
    """Epochs that all trials together had had, and the best value of a finished one, each time that it rose. The first
    metric, of which more is better; an epoch of a trial that was suggested twice counts once."""
    steps: list[tuple[int, float]] = []
    heard: set[tuple[str, int]] = set()
    for moment in search.past:
        if moment.epoch:
            heard.add((search.keys[moment.number], moment.epoch))
        values = search.asked[moment.number].values if moment.state == "finished" else None
        if values and (not steps or values[0] > steps[-1][1]):
            steps = [step for step in steps if step[0] < len(heard)]
            steps.append((len(heard), values[0]))
    return steps


@dataclass
class Pause:
    """A trial that its search has paused."""

    number: int
    """Of the suggestion, counted from 0."""
    epoch: int
    """After which, counted from 1."""
    resumed: bool = False
    """Whether it was taken up again."""


def pauses(search: CellSearch) -> list[Pause]:
    """What a search has paused, in that order."""
    found: list[Pause] = []
    latest: dict[int, Pause] = {}
    epochs: dict[int, int] = {}
    for moment in search.past:
        if moment.epoch:
            epochs[moment.number] = moment.epoch
        elif moment.state == "paused":
            found.append(Pause(moment.number, epochs.get(moment.number, 0)))
            latest[moment.number] = found[-1]
        elif moment.state == "running" and moment.number in latest:
            latest.pop(moment.number).resumed = True
    return found


def in_short(search: CellSearch) -> str:
    """How often a search has paused trials, and taken them up again, in words."""
    found = pauses(search)
    trials, again = len({one.number for one in found}), len({one.number for one in found if one.resumed})
    waiting = f"; {len(search.paused)} paused now" if search.paused else ""
    return f"{counted(trials, 'trial')} {counted(len(found), 'time')}, {again} of them taken up again{waiting}"


def epochs_spent(search: CellSearch) -> int:
    """Epochs of all its trials together."""
    return len({(search.keys[number], epoch) for number, asked in enumerate(search.asked) for epoch in asked.epochs})


def pruned(search: CellSearch) -> list[int]:
    """Numbers of the suggestions that were given up, in the order in which that happened."""
    last = {moment.number: place for place, moment in enumerate(search.past) if moment.epoch}
    some = [number for number, asked in enumerate(search.asked) if asked.state == "pruned" and asked.epochs]
    return sorted(some, key=lambda number: last.get(number, -1))


def given_up(search: CellSearch, most: int | None = None) -> list[GivenUp]:
    """What a search has given up and why, the latest last.

    Args:
        search: with its history.
        most: only so many, the latest; to ask a rule that looks ahead takes a few hundredths of a second each.
    """
    numbers = pruned(search)
    told = {number: _told(search, number) for number in numbers[-most if most else 0 :]}
    if search.cell.search["pruner"] == "curves" and told:
        for number, history in _moments(search, set(told)):
            told[number] = replace(told[number], weighed=_weighed(search, number, history))
    return list(told.values())


def _told(search: CellSearch, number: int) -> GivenUp:
    asked, key = search.asked[number], search.keys[number]
    epoch = max(asked.epochs)
    bar = search.pruner.bars.get(key) if search.pruner.stopped.get(key) == epoch else None
    epochs = int(filled(search.cell.config, asked.params)["recipe"]["epochs"])
    return GivenUp(number, asked.params, epoch, epochs, asked.epochs[epoch], bar)


def _weighed(search: CellSearch, number: int, history: list[Asked]) -> Weighed | None:
    from sweep.search.pausing import looking_ahead

    ahead = looking_ahead(search.cell, history, search.keys[: len(history)])
    weighed = ahead.weigh(number, max(history[number].epochs))
    return weighed if weighed and weighed.is_worse else None


def _moments(search: CellSearch, wanted: set[int]) -> Iterator[tuple[int, list[Asked]]]:
    """Of some suggestions that were given up the history as it was when that happened: when one paused for the last
    time, or after the last epoch of one that never did."""
    history: list[Asked] = []
    pauses_last = {moment.number: place for place, moment in enumerate(search.past) if moment.state == "paused"}
    for place, moment in enumerate(search.past):
        number, whole = moment.number, search.asked[moment.number]
        if pauses_last.get(number) == place and number in wanted:
            yield number, list(history)
        _go_on(history, moment, whole)
        ends = whole.state == "pruned" and moment.epoch == max(whole.epochs, default=0) > 0
        if ends and number not in pauses_last:
            if number in wanted:
                yield number, list(history)
            history[number] = whole


def _go_on(history: list[Asked], moment: Moment, whole: Asked) -> None:
    """Bring a history one moment further; `whole` is the suggestion as it is in the end."""
    if moment.number == len(history):
        history.append(Asked(whole.params))
    before = history[moment.number]
    if moment.state in ("finished", "pruned"):
        history[moment.number] = whole
    elif moment.epoch:
        epochs = before.epochs | {moment.epoch: whole.epochs[moment.epoch]}
        history[moment.number] = replace(before, epochs=epochs, state=moment.state)
    else:
        history[moment.number] = replace(before, state=moment.state)


def foretells(search: CellSearch) -> bool:
    """Whether a search looks ahead, in what it tries or in what it gives up."""
    return "curves" in (search.cell.search["sampler"], search.cell.search["pruner"])


def expected_ends(search: CellSearch) -> dict[int, tuple[float, float]]:
    """Mean and standard deviation of what each trial that was given up would have ended with, by all that is known now;
    nothing of a search that does not look ahead."""
    numbers = pruned(search)
    if not numbers or not foretells(search):
        return {}
    from sweep.search.curves import CurveSearch

    return dict(zip(numbers, CurveSearch(search.cell, search.asked, search.keys).ends(numbers), strict=True))


def outlook(search: CellSearch) -> Outlook | None:
    """What one more trial promises; None where nothing can be foretold, or nothing is left to try."""
    if not foretells(search):
        return None
    from sweep.search.pausing import looking_ahead
    from sweep.search.suggest import seed_of

    ahead = looking_ahead(search.cell, search.asked, search.keys)
    return ahead.outlook(seed_of(search.seed, len(search.asked)))
