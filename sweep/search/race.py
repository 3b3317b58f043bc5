"""The race of a search's best configurations: over seeds of their own, one after the other, until one is left.

The search has seen each configuration with one seed, and of many equals the luckiest is its best. So the best few race:
all that are still in it get the next seed, and once `FEWEST` seeds are there, one that is shown to be worse than the
highest mean gets no more (racing: Maron & Moore, NIPS 1993; over blocks, by paired differences: Birattari et al., "A
racing algorithm for configuring metaheuristics", GECCO 2002). The test is the table's (:mod:`sweep.statistics.noise`):
paired by seed, by the noise that those in the race have in common, Holm's correction over all pairs of them, since the
same seeds have picked the highest mean. It is made after each seed, so p is multiplied by how often it may be made
(Bonferroni): of all races among equals, at most one in 20 gives any of them up.

The highest mean of those that are left has won. It is high because it was chosen, so its seeds enter no row of the
table: they are not the sweep's, but :func:`~search_spaces.schema.race_seeds`, the same for every race. What a race
decides is a function of the seeds' numbers alone, not of the order in which they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

from search_spaces.schema import race_seeds
from sweep.plan.slots import SearchedCell
from sweep.search.history import Chosen
from sweep.statistics.paired import FEWEST, mean, shows

Place = tuple[int, int]
"""A suggestion's number, and a seed."""
Numbers = Mapping[Place, float | None]
"""What trials of a race ended with; None of one that has no number. One that has not ended is left out."""


@dataclass(frozen=True)
class Fallen:
    """One that a race gave up."""

    chosen: Chosen
    seeds: int
    """That it had."""
    p: float | None
    """That it is no worse than the highest mean, corrected; None where it broke off with a seed."""
    difference: float | None = None
    """Of its mean to the highest."""

    @property
    def broke_off(self) -> bool:
        """Whether it has no number with its last seed, and was not compared."""
        return self.p is None


@dataclass(frozen=True)
class Race:
    """How a race stands."""

    contestants: tuple[Chosen, ...]
    of_seeds: int
    """That one may have."""
    left: tuple[Chosen, ...]
    """Those that are still in it; when it is over, those that are not told apart, the winner first."""
    fallen: tuple[Fallen, ...]
    means: Mapping[int, float]
    """Over the seeds that all who are left have, by the suggestion's number."""
    asked: tuple[Place, ...]
    """All that was asked for."""
    waits: tuple[Place, ...]
    """What has not ended; nothing when the race is over."""

    @property
    def seeds(self) -> int:
        """That those who are left were asked for."""
        return len({seed for _, seed in self.asked})

    @property
    def saved(self) -> int:
        """Trials that were not needed, of all contestants with all seeds."""
        return len(self.contestants) * self.of_seeds - len(self.asked)

    @property
    def broke_off(self) -> int:
        """How many failed or diverged with a seed."""
        return sum(one.broke_off for one in self.fallen)

    @property
    def winner(self) -> Chosen:
        """Who leads; where all have broken off, the search's best."""
        return self.left[0] if self.left else self.contestants[0]


def races(cell: SearchedCell, contestants: Sequence[Chosen]) -> bool:
    """Whether there is anything to race about."""
    return cell.racing > 0 and len(contestants) > 1


def race(cell: SearchedCell, contestants: Sequence[Chosen], numbers: Numbers) -> Race:
    """The race as far as its numbers go.

    Args:
        cell: whose search it is.
        contestants: its best, best first.
        numbers: of the trials that have ended.
    """
    course = _Course(contestants, numbers, cell.racing)
    course.run()
    left = sorted(course.left, key=lambda one: -course.mean(one))  # of equals the search's better one stays first
    means = {one.number: course.mean(one) for one in left}
    places = (tuple(course.asked), tuple(course.waits))
    return Race(tuple(contestants), cell.racing, tuple(left), tuple(course.fallen), means, *places)


class _Course:
    """A race from its first seed on."""

    def __init__(self, contestants: Sequence[Chosen], numbers: Numbers, most: int) -> None:
        self.left = list(contestants)
        self.fallen: list[Fallen] = []
        self.asked: list[Place] = []
        self.waits: list[Place] = []
        self._numbers = numbers
        self._most = most
        self._held: dict[int, dict[int, float]] = {one.number: {} for one in contestants}

    def run(self) -> None:
        """Seed by seed, to the end or to the first that is not whole."""
        for seeds, seed in enumerate(race_seeds(self._most), start=1):
            self._ask(seed)
            if self.waits:
                return
            self._hear(seeds, seed)
            self._give_up(seeds)
            if len(self.left) < 2:
                return

    def mean(self, one: Chosen) -> float:
        """Over the seeds that it has; 0 before the first."""
        return mean(self._held[one.number].values()) or 0.0

    def _ask(self, seed: int) -> None:
        places = [(one.number, seed) for one in self.left]
        self.asked += places
        self.waits = [place for place in places if place not in self._numbers]

    def _hear(self, seeds: int, seed: int) -> None:
        found = {one.number: self._numbers[one.number, seed] for one in self.left}
        self.fallen += [Fallen(one, seeds, None) for one in self.left if found[one.number] is None]
        self.left = [one for one in self.left if found[one.number] is not None]
        for number, value in found.items():
            self._held[number] |= {} if value is None else {seed: value}

    def _give_up(self, seeds: int) -> None:
        if seeds < FEWEST or len(self.left) < 2:
            return
        worse = _worse(tuple(tuple(self._held[one.number].values()) for one in self.left), self._most)
        self.fallen += [Fallen(self.left[place], seeds, *shown) for place, shown in worse.items()]
        self.left = [one for place, one in enumerate(self.left) if place not in worse]


@lru_cache(maxsize=256)  # a race is told from its beginning each time that one of its trials ends
def _worse(values: tuple[tuple[float, ...], ...], most: int) -> dict[int, tuple[float, float]]:
    """Those that are shown to be worse than the highest mean, by place: the corrected p, and the difference.

    Args:
        values: of all that are left, seed by seed.
        most: seeds that a race may have.
    """
    from sweep.statistics.noise import Column, against  # needs NumPy, which commands that only list have no use for

    means = [fmean(some) for some in values]
    top = max(range(len(means)), key=means.__getitem__)
    column = Column({str(place): dict(enumerate(some)) for place, some in enumerate(values)})
    ps = against(column, str(top), map(str, range(len(values))), picked=True)
    times = most - FEWEST + 1
    found = {int(name): p * times for name, p in ps.items() if p is not None and shows(p * times)}
    return {place: (p, means[place] - means[top]) for place, p in found.items()}
