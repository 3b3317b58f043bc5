"""A sweep without Ray and without training: the real ledger, searches, queue, scheduler and recorder, moved by hand.

What is made up is the worker: it "trains" by counting epochs in a trial's folder, and its accuracy is a formula of the
configuration, the epoch and the pair. A driver can be killed before any of its writes to the ledger.
"""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from sweep.engine.display import PlainDisplay
from sweep.engine.dividing import Dividing
from sweep.engine.job import Job, keys_of
from sweep.engine.queue import TrialQueue
from sweep.engine.ray_callback import RayCallback
from sweep.engine.ray_search import CellScheduler, StopAfterEpoch
from sweep.engine.recorder import Recorder
from sweep.engine.sharing import Sharing
from sweep.layout import SweepPaths
from sweep.ledger.bodies import final_body
from sweep.ledger.neighbours import WEIGHTS
from sweep.ledger.store import Entry, Kind, Ledger
from sweep.plan.slots import Plan
from sweep.results.standing import ended
from sweep.search.searches import Searches
from tests.support.examples import begin, epoch_body, teacher_of
from trainers.config import TeacherConfig
from trainers.storage.checkpoint import save_tensors

Curve = Callable[[Job, int], float]
"""A trial's accuracy after an epoch. It may raise ValueError (the attempt fails) or ZeroDivisionError (it diverges)."""


class Killed(BaseException):
    """The driver is gone."""


class MortalLedger(Ledger):
    """A ledger whose driver is killed before one of its writes."""

    left: int | None = None
    """Writes that will still succeed; None for all."""

    def append(
        self, kind: Kind, trial: str | None = None, epoch: int | None = None, body: dict[str, Any] | None = None
    ) -> bool:
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1
        return super().append(kind, trial, epoch, body)

    def append_all(self, entries: Iterable[Entry]) -> bool:
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1
        return super().append_all(entries)


class World:
    """What outlives a driver: the disk, the stored teachers, and a count of what was trained."""

    def __init__(self, folder: Path, curve: Curve) -> None:
        self.paths = SweepPaths(folder)
        self.curve = curve
        self.teachers: dict[str, TeacherConfig] = {}
        self.trained: Counter[tuple[str, int]] = Counter()
        self.shares = False
        """Whether what other sweeps below the root have finished is taken over; weights are then left for others."""
        self._done: dict[str, int] = {}

    def done(self, key: str) -> int:
        """Epochs in a trial's checkpoints, which are gone when their folder is."""
        return self._done[key] if (self.paths.trial(key) / "checkpoints").exists() else 0

    def train(self, job: Job) -> None:
        """One more epoch and its checkpoint."""
        epoch = self.done(job.key) + 1
        self.curve(job, epoch)
        self.trained[job.key, epoch] += 1
        (self.paths.trial(job.key) / "checkpoints").mkdir(parents=True, exist_ok=True)
        self._done[job.key] = epoch

    def step(self, job: Job, fresh: bool) -> dict[str, Any]:
        """What a worker reports of one step: one epoch, after a resumption the earlier ones too."""
        first = 1 if fresh else self.done(job.key) + 1
        try:
            if self.done(job.key) < job.slot.epochs:
                self.train(job)
        except ValueError as error:
            return {"state": "failed", "reason": str(error), "log": "", "done": True} | self._epochs(job, first)
        except ZeroDivisionError as error:
            return {"state": "diverged", "reason": str(error), "done": True} | self._epochs(job, first)
        report = {"done": self.done(job.key) == job.slot.epochs} | self._epochs(job, first)
        if report["done"]:
            report["state"] = "finished"
            if self.shares:
                save_tensors(self.paths.trial(job.key) / WEIGHTS, {})
            if job.slot.stage == "teacher":
                self.teachers[job.slot.id] = teacher_of(job.slot)
                report["teacher"] = self.teachers[job.slot.id].model_dump()
        return report

    def _epochs(self, job: Job, first: int) -> dict[str, Any]:
        accuracies = {epoch: self.curve(job, epoch) for epoch in range(first, self.done(job.key) + 1)}
        return {"epochs": [epoch_body(epoch, acc - 1, acc) for epoch, acc in accuracies.items()]}


class Driver:
    """What :func:`sweep.run.run_sweep` builds, and Ray's part in moving it.

    Args:
        world: on which it runs.
        plan: what it runs.
        ledger: where it notes that.
        workers: that it has; more than there is work for, where nobody says.
        queue: of the plan; None where the driver is the sweep's only one.
        dividing: with whom, where it is not.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        ledger: Ledger,
        workers: int = 1_000,
        queue: TrialQueue | None = None,
        dividing: Dividing | None = None,
    ) -> None:
        self.world = world
        self.plan = plan
        self.ledger = ledger
        self.queue = queue or TrialQueue(
            plan, world.teachers, ended(plan, world.teachers, ledger), Searches(plan, ledger)
        )
        self.searches = self.queue.searches
        self.out = io.StringIO()
        display = PlainDisplay(Console(file=self.out, width=200))
        self.recorder = Recorder(world.paths, ledger, self.queue, display, dividing=dividing)
        self.callback = RayCallback(self.recorder, self.queue)
        self.scheduler = CellScheduler(self.queue, lambda: workers)
        self.stopper = StopAfterEpoch(self.recorder.stopped)
        self.trials: dict[str, Trial] = {}
        """Ray's, by the keys of ours."""
        self._workers = workers
        self._fresh: set[str] = set()
        begin(ledger, plan)
        if world.shares:
            Sharing(world.paths, ledger, plan.protocol, self.recorder._display).begin(self.queue)
        for slot in plan.teachers:  # stored by a run that was killed before it could note that
            if slot.id in world.teachers and not ledger.is_final(slot.id):
                epochs = [epoch_body(slot.epochs, 50.0, 50.0)]
                ledger.append("final", slot.id, body=final_body("finished", epochs, plan.protocol))

    def start(self) -> Job | None:
        """Hand the next job to a worker, with those that are to share it; the first."""
        jobs = self.queue.next_together(self._workers)
        if not jobs:
            return None
        first, *others = ({"key": job.key} for job in jobs)
        trial = Trial("TrialTrainable", config=first | {"beside": others}, stub=True)
        self.trials |= dict.fromkeys(keys_of(trial.config), trial)
        self._fresh |= self.trials.keys() & keys_of(trial.config)
        self.callback.on_trial_start(0, [], trial)
        self._heard()
        return jobs[0]

    def step(self, key: str) -> None:
        """Let a live trial do one step, with those that share its worker, and tell of it in Ray's order."""
        trial = self.trials[key]
        live = [key for key in keys_of(trial.config) if self.trials[key] is trial and self.queue.is_live(key)]
        reports = {key: self.world.step(self.queue.job(key), key in self._fresh) for key in live}
        self._fresh -= reports.keys()
        self._tell(trial, reports)

    def tell(self, key: str, report: dict[str, Any]) -> None:
        """Tell what a worker reports of the one trial that it has."""
        self._tell(self.trials[key], {key: report})

    def _tell(self, trial: Trial, reports: dict[str, dict[str, Any]]) -> None:
        """As Ray's controller does it: the stopper, the scheduler, then the callbacks."""
        result = {"reports": list(reports.items()), "done": all(report["done"] for report in reports.values())}
        stop = self.stopper(trial.trial_id, result) or result["done"]
        stop = stop or self.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
        self.callback.on_trial_result(0, [], trial, result)
        if stop:
            self.callback.on_trial_complete(0, [], trial)
        self._heard()

    def _heard(self) -> None:
        if self.recorder.fatal is not None:
            raise self.recorder.fatal


@contextmanager
def driver(world: World, plan: Plan, lives: int | None = None, workers: int = 1_000) -> Iterator[Driver]:
    """A driver on the world's ledger, killed before its write number `lives`."""
    with MortalLedger(world.paths.ledger) as ledger:
        ledger.left = lives
        yield Driver(world, plan, ledger, workers)


def run(world: World, plan: Plan, chance: random.Random, *, workers: int, kills: int = 0) -> None:
    """Run a plan to its end in a random order, with so many kills of the driver in between."""
    for left in reversed(range(kills + 1)):
        live: list[Job] = []
        try:
            with driver(world, plan, chance.randint(1, 60) if left else None, workers) as one:
                _to_the_end(one, chance, workers, live)
                return
        except Killed:
            for job in live:  # workers that were in the middle of an epoch may have finished it
                if chance.random() < 0.5 and world.done(job.key) < job.slot.epochs:
                    _ignoring_errors(world.train, job)


def break_off(world: World, plan: Plan, chance: random.Random, *, workers: int) -> None:
    """Run a plan until its driver is killed, or to its end where that comes first."""
    with suppress(Killed), driver(world, plan, chance.randint(1, 60), workers) as one:
        _to_the_end(one, chance, workers, [])


def _to_the_end(one: Driver, chance: random.Random, workers: int, live: list[Job]) -> None:
    steps = 0
    while not one.queue.exhausted:
        steps += 1
        assert steps < 10_000, "the sweep does not end"
        while one.queue.running < workers and one.start() is not None:
            live[:] = one.queue.live
        if one.queue.live:
            one.step(chance.choice(one.queue.live).key)
            live[:] = one.queue.live
        else:
            assert one.queue.exhausted, "nothing runs, and nothing can start"
    assert one.queue.next() is None


def _ignoring_errors(do: Callable[[Job], None], job: Job) -> None:
    try:
        do(job)
    except (ValueError, ZeroDivisionError):
        return
