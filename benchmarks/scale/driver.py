"""A driver whose Ray is made up: the real ledger, queue, searches, scheduler, recorder and callback, and workers that
answer at once."""

from __future__ import annotations

import io
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from benchmarks.scale.material import epoch_body, teachers
from sweep.engine.display import PlainDisplay
from sweep.engine.job import Job, describe_together
from sweep.engine.queue import TrialQueue
from sweep.engine.ray_callback import RayCallback
from sweep.engine.ray_search import CellScheduler, PlanSearcher, StopAfterEpoch
from sweep.engine.recorder import Recorder
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.standing import ended
from sweep.search.searches import Searches


@dataclass
class Told:
    """What the engine reads of one of Ray's trials."""

    trial_id: str
    config: dict[str, Any]


class Driver:
    """What a run has between Ray's start and its end.

    Args:
        paths: of the sweep.
        plan: what it runs; its teachers are there.
        ledger: where it notes that.
        workers: trials side by side.
    """

    def __init__(self, paths: SweepPaths, plan: Plan, ledger: Ledger, workers: int = 8) -> None:
        known = teachers(plan)
        self.plan = plan
        self.queue = TrialQueue(plan, known, ended(plan, known, ledger), Searches(plan, ledger))
        display = PlainDisplay(Console(file=io.StringIO()))
        self.recorder = Recorder(paths, ledger, self.queue, display)
        self.callback = RayCallback(self.recorder, self.queue)
        self.scheduler = CellScheduler(self.queue, lambda: workers)
        self.stopper = StopAfterEpoch(self.recorder.stopped, self.recorder.out_of_time, self.recorder.foresee)
        self.searcher = PlanSearcher(self.queue, self._described, self.recorder.stopped, lambda: workers)
        self.running: deque[Told] = deque()
        self._root = paths.root
        self._draw = random.Random(0)

    def _described(self, jobs: Sequence[Job]) -> dict[str, Any]:
        return describe_together(jobs, self.plan, self._root)

    def run(self) -> int:
        """To the end, each live trial one epoch in turn; how many trials were started."""
        count = 0
        while True:
            count += self.fill()
            if not self.running:
                return count
            trial = self.running.popleft()
            if not self._epoch(trial):
                self.running.append(trial)
            if self.recorder.fatal is not None:
                raise self.recorder.fatal

    def fill(self) -> int:
        """Start as many trials as there is room for; their number."""
        count = 0
        while (config := self.searcher.suggest("")) is not None and config != Searcher.FINISHED:
            trial = Told(config["key"], config | {"epochs": 0})
            self.running.append(trial)
            self.callback.on_trial_start(0, [], cast(Trial, trial))
            count += 1
        return count

    def _epoch(self, trial: Told) -> bool:
        """One more epoch of a trial, told of in Ray's order; whether it was the last."""
        of = trial.config["trial"]["recipe"]["epochs"]
        epoch = trial.config["epochs"] = trial.config["epochs"] + 1
        report: dict[str, Any] = {"epochs": [epoch_body(self._draw, epoch, of)], "done": epoch == of}
        report |= {"state": "finished"} if epoch == of else {}
        told, result = cast(Trial, trial), {"reports": [(trial.config["key"], report)], "done": report["done"]}
        stop = self.stopper(trial.trial_id, result) or report["done"]
        stop = self.scheduler.on_trial_result(None, told, result) == TrialScheduler.STOP or stop
        self.callback.on_trial_result(0, [], told, result)
        if stop:
            self.callback.on_trial_complete(0, [], told)
        self.recorder.tick()
        return stop
