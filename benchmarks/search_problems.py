"""Problems of a search whose every answer is known: all curves of a grid, recorded once.

    uv run python -m benchmarks.search_problems digits --seeds 0 1 2       trains its curves: tens of minutes
    uv run python -m benchmarks.search_problems cifar10 --seeds 0 1 2 --data FOLDER

Four grids. ``digits`` and ``cifar10`` are what the search that looks ahead was built on. ``tinyimagenet`` (the field's
step schedule) and ``digits-gdkd`` (another method, three hyperparameters) were written down before a curve of theirs
was trained, and first replayed when the constants of that search stood: what they say was not chosen.

``cifar10`` and ``tinyimagenet`` read Parquet files in Hugging Face's layout (docs/datasets.md) in FOLDER. The latter is
Tiny ImageNet's first hundred classes at 32 × 32, of which the first twenty are taken, halved to 16 × 16.

Each configuration of a problem's grid is trained to its end once for every student's seed by the real trainer; the
curves lie in ``PROBLEM_curves.jsonl`` beside this module, in the first line of each the cell that they are of.
:mod:`benchmarks.search_cost` replays searches on them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import product
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

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
    "tinyimagenet": """
name: search-cost
dataset: {parquet: {path: FOLDER, image_size: 16}}
recipe:
  base: cifar
  epochs: 16
  milestones: [10, 12, 14]                  # the places of CRD's recipe: 150, 180 and 210 of 240
  samples_per_class: 200
  val_fraction: 0.2                         # 2,000 images: 0.2 points are four of them
  lr: {choice: [0.003, 0.01, 0.03, 0.1, 0.3]}
teachers: {recipe: {samples_per_class: 400, epochs: 24, milestones: [15, 18, 21]}}
pairs: [resnet20 -> resnet8]
methods:
  - dhkd: {alpha: {choice: [0.03, 0.1, 0.3, 1, 3]}}
seeds: 3
search: {trials: 25}
""",
    "digits-gdkd": """
name: search-cost
dataset: {digits: {image_size: 8}}
recipe:
  base: digits
  epochs: 36
  val_fraction: 0.8
  lr: {choice: [0.01, 0.05, 0.2]}
teachers: {recipe: {samples_per_class: null, val_fraction: 0.25, epochs: 20, batch_size: 64}}
pairs: [resnet20 -> resnet8]
methods:
  - gdkd: {w2: {choice: [0.5, 2, 8]}, k: {choice: [1, 3, 5]}}
seeds: 3
search: {trials: 27}
""",
}
"""What is searched, by the name of its curves."""
TINY_CLASSES = 20
"""Of the hundred, those with the lowest labels."""


class Curve(NamedTuple):
    """Accuracies in percent after each epoch; shorter than the trial where it diverged."""

    val: list[float]
    test: list[float]


Curves = dict[str, Curve]
"""Of one student's seed, by configuration, see :func:`name`."""


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


def record(problem: str, seeds: Sequence[int], folder: Path) -> None:
    """Train every configuration with each seed, and write one line for each; those that are there are left out."""
    torch.set_num_threads(1)
    plan, path = the_plan(problem, folder), curves_file(problem)
    (cell,) = plan.cells
    data = DATASETS[plan.dataset].model_validate(plan.source).load()
    if not path.exists():
        path.write_text(json.dumps({"cell": asdict(cell)}) + "\n", "utf-8")
    known = {(line["name"], line["seed"]) for line in lines(path)[1:]}
    teacher = trained_teacher(plan, data)
    reference = TeacherConfig(architecture="resnet20", hash=tensors_key(teacher.state_dict()))
    with TemporaryDirectory() as scratch:
        bank = LogitBank(Path(scratch))
        for seed, params in product(seeds, list(grid(cell))):
            if (name(params), seed) in known:
                continue
            trial = cell.slot(params, "search", seed).trial(reference)
            curve = trained(trial, data, teacher, bank)
            line = {"name": name(params), "seed": seed, "val": curve.val, "test": curve.test}
            with path.open("a", encoding="utf-8") as file:
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


def lines(path: Path) -> list[dict[str, Any]]:
    """What was recorded so far."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def read(path: Path) -> tuple[SearchedCell, dict[int, Curves]]:
    """The cell, and its recorded curves by the student's seed."""
    (first, *rest), found = lines(path), dict[int, Curves]()
    for line in sorted(rest, key=itemgetter("seed")):
        found.setdefault(line["seed"], {})[line["name"]] = Curve(line["val"], line["test"])
    return SearchedCell(**first["cell"]), found


def confirmed(curves: dict[int, Curves], chosen: str) -> float:
    """Test accuracy of a configuration after its last epoch, mean over the student's seeds, in percent."""
    return statistics.fmean(known[chosen].test[-1] for known in curves.values())


def main() -> None:
    """Train what a problem's file lacks, on one thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=SPECS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="the student's (0)")
    parser.add_argument("--data", type=Path, default=Path("data/cifar10"), help="Parquet files (data/cifar10)")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = options.data
        if options.problem == "tinyimagenet":
            folder = first_classes(options.data, TINY_CLASSES, Path(scratch))
        record(options.problem, options.seeds, folder)


def first_classes(source: Path, count: int, folder: Path) -> Path:
    """`folder`, with the Parquet files of `source` cut down to the images whose label is below `count`."""
    for file in sorted(source.glob("*.parquet")):
        table = pq.read_table(file).replace_schema_metadata(None)  # names of classes that would be missing
        pq.write_table(table.filter(pc.less(table["label"], count)), folder / file.name)
    return folder


if __name__ == "__main__":
    main()
