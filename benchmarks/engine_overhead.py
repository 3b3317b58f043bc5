"""What a trial costs beside its training: a sweep against a bare Ray Tune loop over the same trials.

    uv run python -m benchmarks.engine_overhead [--trials 10 100] [--rounds 5]       about 6 minutes on 2 cores
    uv run python -m benchmarks.engine_overhead --trials 1000 --rounds 1             about 6 minutes

Both train the same trials with the same trainable (one epoch of ResNet-8 on 20 digits of 8 × 8 pixels, with checkpoint
and weights on the disk), both in one Ray on this machine, with reused actors and without Ray's own log files. The bare
loop hands Ray a list; the sweep does all that a sweep does: queue, ledger, display, and delivery to MLflow, whose end
is waited for. Starting workers is part of both. MLflow's database is there, as it is from a root's second sweep on;
what it takes to make one is told beside the figures. Printed is the ratio of wall times, by round; and how long each
further trial takes.
"""

from __future__ import annotations

import io
import itertools
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common import (
    Row,
    at_most,
    load_beside,
    parser,
    print_machine,
    print_notes,
    print_rows,
    ratios,
    rounds,
    seconds,
)
from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from sweep.cost.budget import BudgetWatch
from sweep.engine import room, session
from sweep.engine.display import PlainDisplay
from sweep.engine.job import Job, describe_together
from sweep.engine.queue import TrialQueue
from sweep.engine.running import Run
from sweep.engine.tuning import tune
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.report.make import make_reports
from sweep.search.searches import Searches
from sweep.tracking.address import quiet_mlflow, tracking_uri
from sweep.tracking.projector import Projector

SPEC = """\
name: overhead
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 1, warmup_epochs: 0, samples_per_class: 2, test_per_class: 2, val_fraction: 0.1}
pairs: [resnet14 -> resnet8]
methods: [scratch]
baseline: scratch
seeds: SEEDS
"""
GOAL = 1.2
"""Times a bare loop."""


class Roots:
    """New roots below a folder, each with an empty database of MLflow's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self.first = Root(folder / "first")
        self.making_database = seconds(self._make_database)

    def _make_database(self) -> None:
        quiet_mlflow()
        from mlflow import MlflowClient

        self.first.path.mkdir(parents=True)
        MlflowClient(tracking_uri(self.first, None))

    def __call__(self) -> Root:
        root = Root(self._folder / str(next(self._numbers)))
        root.path.mkdir()
        shutil.copy(self.first.mlflow_database, root.mlflow_database)
        return root


def main() -> None:
    options = parser(__doc__, count=5)
    options.add_argument("--trials", type=int, nargs="+", default=[10, 100])
    chosen = options.parse_args()
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    print_machine()
    with tempfile.TemporaryDirectory() as folder, ray_session(Path(folder)) as fresh:
        load = load_beside()
        specs = {count: parse_spec(SPEC.replace("SEEDS", str(count)), "overhead.yaml") for count in chosen.trials}
        ways: dict[str, Callable[[Spec, Root], object]] = {"sweep": by_sweep, "bare": by_ray}
        contestants = {
            (count, way): partial(lambda run, spec: seconds(lambda: run(spec, fresh())), run, spec)
            for count, spec in specs.items()
            for way, run in ways.items()
        }
        found = rounds(contestants, chosen.rounds)
    rows = [Row(f"{n} trials, bare: seconds", found[n, "bare"]) for n in specs]
    rows += [Row(f"{n} trials, sweep: seconds", found[n, "sweep"]) for n in specs]
    rows += [
        Row(f"{n} trials: sweep / bare", ratios(found[n, "sweep"], found[n, "bare"]), at_most(GOAL)) for n in specs
    ]
    for few, many in itertools.pairwise(sorted(specs)):
        rows.append(Row(f"ms of each trial from {few} to {many}, sweep", each(found, few, many, "sweep")))
        rows.append(Row(f"ms of each trial from {few} to {many}, bare", each(found, few, many, "bare")))
    print_rows("Overhead of the engine", rows)
    print_notes({"database": f"{fresh.making_database:.1f} s to make MLflow's, once for each root"})
    print(f"\nbefore it began, {load}")


def each(found: dict[tuple[int, str], list[float]], few: int, many: int, way: str) -> list[float]:
    """Milliseconds of each further trial, round by round."""
    return [1000 * (b - a) / (many - few) for a, b in zip(found[few, way], found[many, way], strict=True)]


@contextmanager
def ray_session(folder: Path) -> Iterator[Roots]:
    """One Ray for all runs, and a new root for each of them."""
    session.environment(Root(folder / "first"), verbose=False, address=None)  # before Ray is imported
    roots = Roots(folder)
    with session.session(None, verbose=False):
        yield roots


def jobs(plan: Plan) -> list[Job]:
    return [Job(slot, slot.trial()) for slot in plan.slots]


def by_sweep(spec: Spec, root: Root) -> None:
    """What :func:`sweep.run.run_sweep` does between Ray's start and the reports."""
    root.check_writable()
    plan, paths = build_plan(spec), root.sweep(spec.name)
    with Ledger(paths.ledger) as ledger, tempfile.TemporaryDirectory() as temporary:
        ledger.append("sweep", body={"spec": spec.text, "source": spec.source, "host": "", "pid": 0})
        ledger.append("plan", body=plan.to_json())
        projector = Projector(root, paths, tracking_uri(root, None), print)
        projector.start()
        queue = TrialQueue(plan, {}, set(), Searches(plan, ledger))
        display = PlainDisplay(Console(file=io.StringIO()))
        report, drop = partial(make_reports, paths, with_page=False), partial(shutil.rmtree, ignore_errors=True)
        run = Run(plan, root, queue, ledger, display, BudgetWatch(plan, ledger), report, drop)
        tune(run, Path(temporary))
        assert len(ledger.finals()) == len(plan.slots)
        assert projector.close() == 0


def by_ray(spec: Spec, root: Root) -> None:
    """A Tuner over the list of jobs."""
    from ray import tune

    from sweep.engine.trainable import TrialTrainable

    class Listed(TrialTrainable):
        """The same trainable, whose job stands in a list."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config["job"])

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return super().reset_config(new_config["job"])

    plan = build_plan(spec)
    with tempfile.TemporaryDirectory() as temporary:
        found = tune.Tuner(
            tune.with_resources(Listed, {"cpu": plan.compute["cpus"]}),
            param_space={"job": tune.grid_search([describe_together([job], plan, root) for job in jobs(plan)])},
            tune_config=tune.TuneConfig(max_concurrent_trials=room.room(plan), reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=temporary,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
        told = [report for result in found if result.metrics for _, report in result.metrics["reports"]]
        assert [report["state"] for report in told] == ["finished"] * len(plan.slots)


if __name__ == "__main__":
    main()
