"""What a search costs beside an exhaustive grid, and what giving trials up early saves and loses.

    uv run python -m benchmarks.search_cost [--rounds 50] [--quick]       replays the recorded curves: seconds
    uv run python -m benchmarks.search_cost --record benchmarks/digits_curves.jsonl       trains them: tens of minutes

The grid is DHKD on few-shot digits, five alphas by five learning rates. Each of the 25 configurations was trained to
its end once for every student's seed by the real trainer; the curves lie in ``digits_curves.jsonl``. The search that
is measured is the engine's own (:mod:`sweep.cells`, with its samplers and pruners), which is fed these curves, epoch by
epoch, as its trials ask for them. A point of the grid has one curve for a seed, so a replay is exactly what `sweep run`
would have done with that sampler's seed, one trial at a time, at the cost of milliseconds: many seeds can be tried.

First table, the strict reading: epochs that are trained until the best finished trial is within 0.2 points of the
grid's best validation accuracy with the same seed, as a share of what the whole grid takes; a search that ends its
budget without has the share 1. That best is the largest of 25 numbers that each hold a seed's luck, so it is mostly
luck that is looked for. Second table, what a sweep's table shows in the end: stopped after a quarter of the grid's
epochs, the configuration that the search would confirm is compared with the one that the grid would, in test
accuracy, mean over the student's seeds. Third and fourth: all 25 configurations in shuffled order under each pruner,
against training all to the end, likewise.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.common import Row, at_most, print_machine, print_rows
from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from sweep.cells import CellSearch
from sweep.plan import Cell, Plan, build_plan
from trainers.config import TeacherConfig, TrialConfig
from trainers.content import canonical_json, tensors_key
from trainers.data import DATASETS, ImageData
from trainers.errors import DivergedError
from trainers.fit import EpochResult, fit
from trainers.models import Network

CURVES = Path(__file__).with_name("digits_curves.jsonl")
SPEC = """
name: search-cost
dataset: {digits: {image_size: 8}}
recipe:
  base: digits
  epochs: 36
  val_fraction: 0.8                         # 640 images, so that 0.2 points are more than one of them
  lr: {choice: [0.01, 0.02, 0.05, 0.1, 0.2]}
teachers: {recipe: {samples_per_class: null, val_fraction: 0.25, epochs: 20, batch_size: 64}}
pairs: [resnet20 -> resnet8]
methods:
  - dhkd: {alpha: {choice: [0.05, 0.2, 0.5, 1, 2]}}
seeds: 3
search: {trials: 25}
"""
WITHIN = 0.2
"""Points of validation accuracy below the grid's best that count as there."""
GRID_POINTS = 25
QUARTER = at_most(0.25)
"""Of the grid's epochs."""


class Curve(NamedTuple):
    """Accuracies in percent after each epoch; shorter than the trial where it diverged."""

    val: list[float]
    test: list[float]


Curves = dict[str, Curve]
"""Of one student's seed, by configuration, see :func:`name`."""


@dataclass(frozen=True)
class Setting:
    """How a search is asked for in a spec."""

    sampler: str
    pruner: str
    grace: int | None = None
    """None: the engine's default, a ninth of the epochs."""

    @property
    def label(self) -> str:
        return f"{self.sampler} + {self.pruner}" + (f", grace {self.grace}" if self.grace else "")


SEARCHES = (
    *(Setting("tpe", "asha"), Setting("tpe", "asha", 15), Setting("tpe", "median"), Setting("tpe", "none")),
    *(Setting("random", "asha"), Setting("random", "none")),
)
PRUNERS = (
    *(Setting("brute_force", "asha"), Setting("brute_force", "asha", 15)),
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

    def leader(self, epochs: float = math.inf) -> str:
        """The configuration that would be confirmed after so many epochs."""
        return [name for trained, name in self.leaders if trained <= epochs][-1]


def main() -> None:
    """Print both tables, or record the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="sampler seeds for each student's seed (50)")
    parser.add_argument("--quick", action="store_true", help="3 of them")
    parser.add_argument("--curves", type=Path, default=CURVES, help="recorded curves to replay")
    parser.add_argument("--record", type=Path, help="train what this file lacks, on one thread, and end")
    options = parser.parse_args()
    if options.record is not None:
        record(options.record)
        return
    print_machine()
    cell, curves = the_cell(the_plan()), read(options.curves)
    replayed = range(3 if options.quick else options.rounds)
    size = len(next(iter(curves.values())))
    print(f"\n{size} configurations, {len(curves)} seeds of the student, {len(replayed)} of the sampler")
    print_searches(cell, curves, replayed)
    print_pruners(cell, curves, replayed)


def print_searches(cell: Cell, curves: dict[int, Curves], seeds: Iterable[int]) -> None:
    """What each kind of search trains until it is as good as the grid, and how good it is after a quarter."""
    whole, shares, lost = GRID_POINTS * cell.epochs, [], []
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


def print_pruners(cell: Cell, curves: dict[int, Curves], seeds: Iterable[int]) -> None:
    """What each pruner saves on the same 25 configurations, and what it loses."""
    whole, trained, lost = GRID_POINTS * cell.epochs, [], []
    for setting in PRUNERS:
        found = [(known, replay(cell, known, setting, seed)) for known in curves.values() for seed in seeds]
        trained.append(Row(setting.label, [one.epochs / whole for _, one in found]))
        losses = [confirmed(curves, best(known)) - confirmed(curves, one.leader()) for known, one in found]
        lost.append(Row(setting.label, losses))
    print_rows("epochs trained, as a share of training all 25 to the end", trained)
    print_rows("points of test accuracy that are lost beside training all 25 to the end", lost)
    print_means("mean loss", lost)


def print_means(what: str, rows: Sequence[Row], of: Callable[[float], float] = float) -> None:
    """One line with the mean of each row."""
    means = (f"{row.what}: {statistics.fmean(map(of, row.values)):.2f}" for row in rows)
    print(f"\n{what}: {'; '.join(means)}")


def the_plan() -> Plan:
    """The sweep whose cell is searched."""
    spec: Spec = parse_spec(SPEC, "search_cost.py")
    return build_plan(spec)


def the_cell(plan: Plan) -> Cell:
    """Its only searched cell."""
    (cell,) = plan.cells
    return cell


def name(params: dict[str, Any]) -> str:
    """A configuration's name."""
    return canonical_json(params)


# -- recording --------------------------------------------------------------------------------------------------------


def record(path: Path) -> None:
    """Train every configuration with every seed, and write one line for each; those that are there are left out."""
    torch.set_num_threads(1)
    plan = the_plan()
    cell = the_cell(plan)
    data = DATASETS[plan.dataset].model_validate(plan.source).load()
    known = {(line["name"], line["seed"]) for line in lines(path)}
    teacher = trained_teacher(plan, data)
    reference = TeacherConfig(architecture="resnet20", hash=tensors_key(teacher.state_dict()))
    for seed in cell.seeds:
        for params in grid(cell):
            if (name(params), seed) in known:
                continue
            trial = cell.slot(params, "search", seed).trial(reference)
            curve = trained(trial, data, teacher)
            line = {"name": name(params), "seed": seed, "val": curve.val, "test": curve.test}
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def grid(cell: Cell) -> Iterator[dict[str, Any]]:
    """All configurations of the cell, in the engine's order."""
    search = CellSearch(replace(cell, search=cell.search | {"sampler": "grid"}))
    while search.wants_more:
        params = search.suggest()
        search.ask(params, name(params))
        yield params


def trained_teacher(plan: Plan, data: ImageData) -> Network:
    """The plan's teacher."""
    (slot,) = plan.teachers
    running = fit(slot.trial(None), data=data)
    while True:
        try:
            next(running)
        except StopIteration as end:
            network: Network = end.value
            return network


def trained(trial: TrialConfig, data: ImageData, teacher: Network) -> Curve:
    """A trial's curve, up to where it diverges."""
    epochs: list[EpochResult] = []
    try:
        epochs.extend(fit(trial, data=data, teacher=teacher))
    except DivergedError as error:
        print(f"{trial.key}: {error}")
    return Curve([round(e.val_acc or 0.0, 3) for e in epochs], [round(e.test_acc, 3) for e in epochs])


# -- replaying --------------------------------------------------------------------------------------------------------


def lines(path: Path) -> list[dict[str, Any]]:
    """What was recorded so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read(path: Path) -> dict[int, Curves]:
    """The recorded curves by the student's seed."""
    found: dict[int, Curves] = {}
    for line in lines(path):
        found.setdefault(line["seed"], {})[line["name"]] = Curve(line["val"], line["test"])
    return found


def best(curves: Curves) -> str:
    """What the whole grid would confirm: the configuration with the best validation accuracy."""
    whole = max(len(curve.val) for curve in curves.values())
    return max((name for name, curve in curves.items() if len(curve.val) == whole), key=lambda n: curves[n].val[-1])


def confirmed(curves: dict[int, Curves], chosen: str) -> float:
    """Test accuracy of a configuration after its last epoch, mean over the student's seeds, in percent."""
    return statistics.fmean(known[chosen].test[-1] for known in curves.values())


def replay(cell: Cell, curves: Curves, setting: Setting, seed: int) -> Outcome:
    """Run a search to the end of its budget on recorded curves, one trial at a time.

    Args:
        cell: what is searched.
        curves: of one student's seed.
        setting: sampler and pruner.
        seed: the sampler's.
    """
    asked = {"sampler": setting.sampler, "pruner": setting.pruner, "grace": setting.grace, "seed": seed}
    search = CellSearch(replace(cell, search=cell.search | asked))
    enough = curves[best(curves)].val[-1] - WITHIN
    outcome = Outcome()
    while not search.complete:
        params = search.suggest()
        key = name(params)
        search.ask(params, key)
        if search.repeat(key):
            continue
        if train(search, key, curves[key], outcome):
            outcome.leaders.append((outcome.epochs, name(search.chosen()[0].params)))
            if outcome.reached is None and curves[key].val[-1] >= enough:
                outcome.reached = outcome.epochs
    return outcome


def train(search: CellSearch, key: str, curve: Curve, outcome: Outcome) -> bool:
    """Report a trial's epochs until it is given up, diverges or ends; whether it has come to its end."""
    for epoch, value in enumerate(curve.val, start=1):
        outcome.epochs += 1
        search.report(key, {"epoch": epoch, "val_acc": value})
        if not search.runs(key):
            return False
    finished = len(curve.val) == search.cell.epochs
    outcome.epochs += not finished  # the epoch in which it diverged
    search.tell(key, "finished" if finished else "failed", {"last": {"val_acc": curve.val[-1]}, "seconds": 0.0})
    return finished


if __name__ == "__main__":
    main()
