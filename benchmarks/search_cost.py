"""What a search costs beside an exhaustive grid, and what giving trials up early saves and loses.

    uv run python -m benchmarks.search_cost [--rounds 50] [--quick] [PROBLEM ...]

The search that is measured is the engine's own (:mod:`sweep.search.cell_search`, with its samplers and pruners), which
is fed the curves of :mod:`benchmarks.search_problems`, epoch by epoch, as its trials ask for them. A point of a grid
has one curve for a seed, so a replay is exactly what `sweep run` would have done with that sampler's seed, one trial at
a time, at the cost of milliseconds: many seeds can be tried.

First table, the strict reading: epochs that are trained until the best finished trial is within 0.2 points of the
grid's best validation accuracy with the same seed, as a share of what the whole grid takes; a search that ends its
budget without has the share 1. That best is the largest of some 25 numbers that each hold a seed's luck: in part it is
luck that is looked for. Second table, what a sweep's table shows in the end: stopped after a quarter of the grid's
epochs, the configuration that the search would confirm is compared with the one that the grid would, in test
accuracy, mean over the student's seeds. Third and fourth: all configurations in shuffled order under each pruner,
against training all to the end, likewise.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.common import Row, at_most, print_machine, print_rows
from benchmarks.search_problems import SPECS, Curve, Curves, confirmed, curves_file, name, read
from sweep.plan.slots import SearchedCell
from sweep.search.cell_search import CellSearch

WITHIN = 0.2
"""Points of validation accuracy below the grid's best that count as there."""
LATE = 5 / 12
"""15 of 36 epochs, 4 of 9."""
QUARTER = at_most(0.25)
"""Of the grid's epochs."""


@dataclass(frozen=True)
class Setting:
    """How a search is asked for in a spec."""

    sampler: str
    pruner: str
    late: bool = False
    """Whether nothing is given up before :data:`LATE` of the epochs; otherwise before the engine's default, a ninth."""
    at_once: int = 1
    """Trials that run side by side."""

    @property
    def label(self) -> str:
        what = self.sampler if self.sampler == self.pruner else f"{self.sampler} + {self.pruner}"
        return what + (", late" if self.late else "") + (f", {self.at_once} at once" if self.at_once > 1 else "")


SEARCHES = (
    *(Setting("curves", "curves"), Setting("curves", "curves", at_once=4), Setting("tpe", "asha", at_once=4)),
    *(
        Setting("tpe", "asha"),
        Setting("gp", "asha"),
        Setting("tpe", "asha", late=True),
        Setting("tpe", "median"),
        Setting("tpe", "none"),
    ),
    *(Setting("random", "asha"), Setting("random", "none")),
)
PRUNERS = (
    *(Setting("brute_force", "asha"), Setting("brute_force", "asha", late=True)),
    *(Setting("brute_force", "median"), Setting("brute_force", "none")),
)


@dataclass
class Outcome:
    """What a replayed search came to."""

    epochs: int = 0
    """Trained in all."""
    reached: int | None = None
    """Epochs trained when a finished trial was within :data:`WITHIN` of the grid's best; None: never."""
    leaders: list[tuple[int, str]] = field(default_factory=list)
    """After each trial that came to its end: epochs trained, and the configuration that would be confirmed."""
    search: CellSearch | None = None
    """As it ended."""

    def leader(self, epochs: float = math.inf) -> str:
        """The configuration that would be confirmed after so many epochs."""
        return [name for trained, name in self.leaders if trained <= epochs][-1]


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="sampler seeds for each student's seed (50)")
    parser.add_argument("--quick", action="store_true", help="3 of them")
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=f"of {', '.join(SPECS)} (all)")
    options = parser.parse_args()
    print_machine()
    replayed = range(3 if options.quick else options.rounds)
    for problem in options.problems or SPECS:
        cell, curves = read(curves_file(problem))
        size = len(next(iter(curves.values())))
        print(f"\n{problem}: {size} configurations, {len(curves)} seeds of the student, {len(replayed)} of the sampler")
        print_searches(cell, curves, replayed)
        print_pruners(cell, curves, replayed)


def print_searches(cell: SearchedCell, curves: dict[int, Curves], seeds: Iterable[int]) -> None:
    """What each kind of search trains until it is as good as the grid, and how good it is after a quarter."""
    whole, shares, lost = _whole(cell, curves), [], []
    for setting in SEARCHES:
        found = [(known, replay(cell, known, setting, seed)) for known in curves.values() for seed in seeds]
        shares.append(Row(setting.label, [(one.reached or whole) / whole for _, one in found], QUARTER))
        quarter = [one.leader(QUARTER.bound * whole) for _, one in found]
        losses = [
            confirmed(curves, best(known)) - confirmed(curves, it)
            for (known, _), it in zip(found, quarter, strict=True)
        ]
        lost.append(Row(setting.label, losses, at_most(WITHIN)))
    print_rows(
        "epochs until within 0.2 points of the grid's best validation accuracy, as a share of the grid's", shares
    )
    print_means("share of searches that get there at all", shares, lambda share: float(share < 1))
    print_rows("points of test accuracy that are lost after a quarter of the grid's epochs", lost)
    print_means("mean loss", lost)


def print_pruners(cell: SearchedCell, curves: dict[int, Curves], seeds: Iterable[int]) -> None:
    """What each pruner saves on the same configurations, and what it loses."""
    whole, trained, lost = _whole(cell, curves), [], []
    for setting in PRUNERS:
        found = [(known, replay(cell, known, setting, seed)) for known in curves.values() for seed in seeds]
        trained.append(Row(setting.label, [one.epochs / whole for _, one in found]))
        losses = [confirmed(curves, best(known)) - confirmed(curves, one.leader()) for known, one in found]
        lost.append(Row(setting.label, losses))
    print_rows("epochs trained, as a share of training all to the end", trained)
    print_rows("points of test accuracy that are lost beside training all to the end", lost)
    print_means("mean loss", lost)


def _whole(cell: SearchedCell, curves: dict[int, Curves]) -> int:
    """Epochs of the whole grid, with one seed."""
    return len(next(iter(curves.values()))) * cell.epochs


def print_means(what: str, rows: Sequence[Row], of: Callable[[float], float] = float) -> None:
    """One line with the mean of each row."""
    means = (f"{row.what}: {statistics.fmean(map(of, row.values)):.2f}" for row in rows)
    print(f"\n{what}: {'; '.join(means)}")


# -- replaying --------------------------------------------------------------------------------------------------------


def best(curves: Curves) -> str:
    """What the whole grid would confirm: the configuration with the best validation accuracy."""
    whole = max(len(curve.val) for curve in curves.values())
    return max((name for name, curve in curves.items() if len(curve.val) == whole), key=lambda n: curves[n].val[-1])


def replay(
    cell: SearchedCell, curves: Curves, setting: Setting, seed: int, learned: Sequence[dict[str, Any]] = ()
) -> Outcome:
    """Run a search to the end of its budget on recorded curves, so many trials at a time as the setting says.

    Trials that run side by side end their epochs in turn, as on workers of one speed.

    Args:
        cell: what is searched.
        curves: of one student's seed.
        setting: sampler, pruner and trials at once.
        seed: the sampler's.
        learned: what it begins with that another search has found (:mod:`sweep.search.learned`).
    """
    grace = round(LATE * cell.epochs) if setting.late else None
    asked = {"sampler": setting.sampler, "pruner": setting.pruner, "grace": grace, "seed": seed}
    search = CellSearch(replace(cell, search=cell.search | asked | {"learned": list(learned)}))
    enough = curves[best(curves)].val[-1] - WITHIN
    outcome, running = Outcome(search=search), dict[str, Iterator[int]]()
    while running or not search.complete:
        while len(running) < setting.at_once and search.wants_more:
            key = begun(search)
            if key is not None:
                running[key] = train(search, key, curves[key], outcome)
        for key, epochs in list(running.items()):
            if next(epochs, None) is None:
                del running[key]
                if search.asked[search.keys.index(key)].state == "finished":
                    outcome.leaders.append((outcome.epochs, name(search.chosen()[0].params)))
                    if outcome.reached is None and curves[key].val[-1] >= enough:
                        outcome.reached = outcome.epochs
    return outcome


def begun(search: CellSearch) -> str | None:
    """The next trial; None where the search knows it already."""
    params = search.suggest()
    search.ask(params, name(params))
    return None if search.repeat(name(params)) else name(params)


def train(search: CellSearch, key: str, curve: Curve, outcome: Outcome) -> Iterator[int]:
    """Report a trial's epochs until it is given up, diverges or ends; one after the other."""
    for epoch, value in enumerate(curve.val, start=1):
        outcome.epochs += 1
        search.report(key, {"epoch": epoch, "val_acc": value})
        if not search.runs(key):
            return
        yield epoch
    finished = len(curve.val) == search.cell.epochs
    outcome.epochs += not finished  # the epoch in which it diverged
    search.tell(key, "finished" if finished else "failed", {"last": {"val_acc": curve.val[-1]}, "seconds": 0.0})


if __name__ == "__main__":
    main()
