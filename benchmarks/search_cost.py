"""What a search costs beside an exhaustive grid, and what giving trials up early saves and loses.

    uv run python -m benchmarks.search_cost [--rounds 50] [--quick]       replays the recorded curves: seconds
    uv run python -m benchmarks.search_cost --record digits --seed 0      trains them: tens of minutes
    uv run python -m benchmarks.search_cost --record cifar10 --seed 0 --data FOLDER

Two grids, both DHKD, five alphas by five learning rates: few-shot digits, and a subset of CIFAR-10 (Parquet files in
FOLDER, see docs/datasets.md). Each of the 25 configurations was trained to its end once for every student's seed by the
real trainer; the curves lie in ``digits_curves.jsonl`` and ``cifar10_curves.jsonl``, in the first line of each the cell
that they are of. The search that is measured is the engine's own (:mod:`sweep.search.cell_search`, with its samplers
and pruners), which is fed these curves, epoch by epoch, as its trials ask for them. A point of the grid has one curve
for a seed, so a replay is exactly what `sweep run` would have done with that sampler's seed, one trial at a time, at
the cost of milliseconds: many seeds can be tried.

First table, the strict reading: epochs that are trained until the best finished trial is within 0.2 points of the
grid's best validation accuracy with the same seed, as a share of what the whole grid takes; a search that ends its
budget without has the share 1. That best is the largest of 25 numbers that each hold a seed's luck, so it is partly
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
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from benchmarks.common import Row, at_most, print_machine, print_rows
from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, SearchedCell
from sweep.search.cell_search import CellSearch
from trainers.config import TeacherConfig, TrialConfig
from trainers.data import DATASETS, ImageData
from trainers.errors import DivergedError
from trainers.fit import fit
from trainers.models import Network
from trainers.result import EpochResult
from trainers.storage.content import canonical_json, tensors_key
from trainers.teaching.logit_bank import LogitBank

SPECS = {
    "digits": """
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
""",
    "cifar10": """
name: search-cost
dataset: {parquet: {path: FOLDER}}
recipe:
  base: cifar
  epochs: 9
  schedule: cosine
  samples_per_class: 400
  val_fraction: 0.05                        # 2,500 images: 0.2 points are five of them
  test_per_class: 250
  lr: {choice: [0.003, 0.01, 0.03, 0.1, 0.3]}
teachers: {recipe: {samples_per_class: 500, epochs: 12}}
pairs: [resnet20 -> resnet8]
methods:
  - dhkd: {alpha: {choice: [0.03, 0.1, 0.3, 1, 3]}}
seeds: 3
search: {trials: 25}
""",
}
"""What is searched, by the name of its curves."""
WITHIN = 0.2
"""Points of validation accuracy below the grid's best that count as there."""
LATE = 5 / 12
"""15 of 36 epochs, 4 of 9."""
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

    def leader(self, epochs: float = math.inf) -> str:
        """The configuration that would be confirmed after so many epochs."""
        return [name for trained, name in self.leaders if trained <= epochs][-1]


def main() -> None:
    """Print all tables, or record curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="sampler seeds for each student's seed (50)")
    parser.add_argument("--quick", action="store_true", help="3 of them")
    parser.add_argument("--record", choices=SPECS, help="train what its file lacks, on one thread, and end")
    parser.add_argument("--seed", type=int, default=0, help="the student's, to record (0)")
    parser.add_argument("--data", type=Path, default=Path("data/cifar10"), help="CIFAR-10 as Parquet (data/cifar10)")
    options = parser.parse_args()
    if options.record is not None:
        record(options.record, options.seed, options.data)
        return
    print_machine()
    replayed = range(3 if options.quick else options.rounds)
    for problem in SPECS:
        cell, curves = read(curves_file(problem))
        size = len(next(iter(curves.values())))
        print(f"\n{problem}: {size} configurations, {len(curves)} seeds of the student, {len(replayed)} of the sampler")
        print_searches(cell, curves, replayed)
        print_pruners(cell, curves, replayed)


def print_searches(cell: SearchedCell, curves: dict[int, Curves], seeds: Iterable[int]) -> None:
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


def print_pruners(cell: SearchedCell, curves: dict[int, Curves], seeds: Iterable[int]) -> None:
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


def curves_file(problem: str) -> Path:
    """Where its curves lie."""
    return Path(__file__).with_name(f"{problem}_curves.jsonl")


def the_plan(problem: str, folder: Path) -> Plan:
    """The sweep whose only cell is searched; `folder` is where CIFAR-10 lies."""
    spec: Spec = parse_spec(SPECS[problem].replace("FOLDER", str(folder)), "search_cost.py")
    return build_plan(spec)


def name(params: dict[str, Any]) -> str:
    """A configuration's name."""
    return canonical_json(params)


# -- recording --------------------------------------------------------------------------------------------------------


def record(problem: str, seed: int, folder: Path) -> None:
    """Train every configuration with a seed, and write one line for each; those that are there are left out."""
    torch.set_num_threads(1)
    plan, path = the_plan(problem, folder), curves_file(problem)
    (cell,) = plan.cells
    data = DATASETS[plan.dataset].model_validate(plan.source).load()
    if not path.exists():
        path.write_text(json.dumps({"cell": asdict(cell)}) + "\n")
    known = {(line["name"], line["seed"]) for line in lines(path)[1:]}
    teacher = trained_teacher(plan, data)
    reference = TeacherConfig(architecture="resnet20", hash=tensors_key(teacher.state_dict()))
    with TemporaryDirectory() as scratch:
        bank = LogitBank(Path(scratch))
        for params in grid(cell):
            if (name(params), seed) in known:
                continue
            trial = cell.slot(params, "search", seed).trial(reference)
            curve = trained(trial, data, teacher, bank)
            line = {"name": name(params), "seed": seed, "val": curve.val, "test": curve.test}
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def grid(cell: SearchedCell) -> Iterator[dict[str, Any]]:
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


def trained(trial: TrialConfig, data: ImageData, teacher: Network, bank: LogitBank) -> Curve:
    """A trial's curve, up to where it diverges."""
    epochs: list[EpochResult] = []
    try:
        epochs.extend(fit(trial, data=data, teacher=teacher, bank=bank))
    except DivergedError as error:
        print(f"{trial.key}: {error}")
    return Curve([round(e.val_acc or 0.0, 3) for e in epochs], [round(e.test_acc, 3) for e in epochs])


# -- replaying --------------------------------------------------------------------------------------------------------


def lines(path: Path) -> list[dict[str, Any]]:
    """What was recorded so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read(path: Path) -> tuple[SearchedCell, dict[int, Curves]]:
    """The cell, and its recorded curves by the student's seed."""
    (first, *rest), found = lines(path), dict[int, Curves]()
    for line in sorted(rest, key=itemgetter("seed")):
        found.setdefault(line["seed"], {})[line["name"]] = Curve(line["val"], line["test"])
    return SearchedCell(**first["cell"]), found


def best(curves: Curves) -> str:
    """What the whole grid would confirm: the configuration with the best validation accuracy."""
    whole = max(len(curve.val) for curve in curves.values())
    return max((name for name, curve in curves.items() if len(curve.val) == whole), key=lambda n: curves[n].val[-1])


def confirmed(curves: dict[int, Curves], chosen: str) -> float:
    """Test accuracy of a configuration after its last epoch, mean over the student's seeds, in percent."""
    return statistics.fmean(known[chosen].test[-1] for known in curves.values())


def replay(cell: SearchedCell, curves: Curves, setting: Setting, seed: int) -> Outcome:
    """Run a search to the end of its budget on recorded curves, so many trials at a time as the setting says.

    Trials that run side by side end their epochs in turn, as on workers of one speed.

    Args:
        cell: what is searched.
        curves: of one student's seed.
        setting: sampler, pruner and trials at once.
        seed: the sampler's.
    """
    grace = round(LATE * cell.epochs) if setting.late else None
    asked = {"sampler": setting.sampler, "pruner": setting.pruner, "grace": grace, "seed": seed}
    search = CellSearch(replace(cell, search=cell.search | asked))
    enough = curves[best(curves)].val[-1] - WITHIN
    outcome, running = Outcome(), dict[str, Iterator[int]]()
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
