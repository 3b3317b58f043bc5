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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.common import Row, at_most, print_machine, print_rows
from benchmarks.search_problems import SPECS, Curve, Curves, confirmed, curves_file, name, read
from sweep.plan.slots import PAUSING, SearchedCell
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
    pauses: bool = False
    """Whether trials pause and are taken up again."""

    @property
    def label(self) -> str:
        what = self.sampler if self.sampler == self.pruner else f"{self.sampler} + {self.pruner}"
        what += (", late" if self.late else "") + (", pauses" if self.pauses else "")
        return what + (f", {self.at_once} at once" if self.at_once > 1 else "")

    def asked(self, cell: SearchedCell, seed: int) -> dict[str, Any]:
        """The `search` section of a cell's plan, with the sampler's seed."""
        section = {"sampler": self.sampler, "pruner": self.pruner, "seed": seed}
        section["grace"] = round(LATE * cell.epochs) if self.late else None
        return cell.search | section | ({"rules": PAUSING, "pauses": True} if self.pauses else {})


SEARCHES = (
    *(Setting("curves", "curves"), Setting("curves", "curves", at_once=4), Setting("tpe", "asha", at_once=4)),
    Setting("curves", "curves", at_once=4, pauses=True),
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

    def leader(self, epochs: float = math.inf) -> str | None:
        """The configuration that would be confirmed after so many epochs; None where none had finished by then."""
        return next((name for trained, name in reversed(self.leaders) if trained <= epochs), None)

    def loss(self, known: Curves, curves: dict[int, Curves], epochs: float = math.inf) -> float:
        """Points of test accuracy by which what is confirmed after so many epochs is below what the whole grid
        confirms; where nothing had finished by then, that is the worst.

        Args:
            known: the curves that it searched.
            curves: of all seeds.
            epochs: after which it ends.
        """
        chosen = self.leader(epochs) or min(known, key=lambda name: confirmed(curves, name))
        return confirmed(curves, best(known)) - confirmed(curves, chosen)


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
        losses = [one.loss(known, curves, QUARTER.bound * whole) for known, one in found]
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
        losses = [one.loss(known, curves) for known, one in found]
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
    """Run a search to its end on recorded curves, so many trials at a time as the setting says.

    Trials that run side by side end their epochs in turn, as on workers of one speed, and the place of one that has
    come to its end, or pauses, is another's at once.

    Args:
        cell: what is searched.
        curves: of one student's seed.
        setting: sampler, pruner and trials at once.
        seed: the sampler's.
        learned: what it begins with that another search has found (:mod:`sweep.search.learned`).
    """
    search = CellSearch(replace(cell, search=setting.asked(cell, seed) | {"learned": list(learned)}))
    enough = curves[best(curves)].val[-1] - WITHIN
    outcome, running = Outcome(search=search), deque(begun(search, setting.at_once))
    while running:
        key = running.popleft()
        outcome.epochs += 1
        train(search, key, curves[key])
        if search.runs(key):
            running.append(key)
        elif search.asked[search.keys.index(key)].state == "finished":
            outcome.leaders.append((outcome.epochs, name(search.chosen()[0].params)))
            if outcome.reached is None and curves[key].val[-1] >= enough:
                outcome.reached = outcome.epochs
        running.extend(begun(search, setting.at_once - len(running)))
    return outcome


def begun(search: CellSearch, most: int) -> Iterator[str]:
    """The next trials, so many at most, each new or one that was paused; none that the search knows already."""
    while most and search.wants_more:
        paused = search.resumes()
        if paused is not None:
            search.resume(paused)
            key, known = search.keys[paused], False
        else:
            params = search.suggest()
            key = name(params)
            search.ask(params, key)
            known = search.repeat(key)
        if not known:
            most -= 1
            yield key


def train(search: CellSearch, key: str, curve: Curve) -> None:
    """Report a trial's next epoch, and its end where it ends with it: it finishes, or diverges."""
    epoch = search.heard(key) + 1
    diverges = epoch > len(curve.val)
    if not diverges:
        search.report(key, {"epoch": epoch, "val_acc": curve.val[epoch - 1]})
    if diverges or epoch == search.cell.epochs:
        last = {"last": {"val_acc": curve.val[-1]}, "seconds": 0.0}
        search.tell(key, "failed" if diverges else "finished", last)


if __name__ == "__main__":
    main()
