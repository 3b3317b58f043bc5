"""Hears what happened to a run's trials, and tells the ledger first, then the queue, then the display.

Nothing here knows who trains: Ray's workers, of which :mod:`sweep.engine.ray_callback` tells, or this process
(:mod:`sweep.engine.local`).
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sweep.cost.budget import BudgetWatch
from sweep.engine.display import Display
from sweep.engine.dividing import Dividing
from sweep.engine.job import Job, devices
from sweep.engine.queue import TrialQueue
from sweep.engine.until import Until
from sweep.engine.vigil import Vigil
from sweep.layout import SweepPaths
from sweep.ledger.bodies import final_body, start_body, taught_elsewhere
from sweep.ledger.failures import BROKEN, Broken
from sweep.ledger.store import Ledger
from sweep.plan.slots import Slot
from trainers.config import TeacherConfig
from trainers.errors import BusyError

NOTHING: Mapping[str, Any] = {}
LAST_SECONDS = 60.0
"""What runs when the budget is used up gets the time of its longest epoch to end the one that it is in; at least
this."""
LONGEST_FIRST = "to run the longest before it"
BETTER_FIRST = "as its search expects more of others"
"""Why a trial pauses."""
NEARLY_UP = "the time that this run was given is nearly up: stopping after the epochs in flight"


class Recorder:
    """Notes what becomes of a run's trials.

    An exception meanwhile is kept in :attr:`fatal`, which stops the sweep in good order: in Ray's hands it would end
    the whole experiment, or redo a finished trial.

    Args:
        paths: where the sweep lies.
        ledger: where everything is noted first.
        queue: which hears of it next.
        display: and the user.
        watch: asks whether the budget is used up; None without a budget.
        drop: takes a folder that the storage may forget when it knows the ledger.
        vigil: how long epochs take, and who is hung.
        until: when the run has to be over; None where it has all the time it needs.
        lost: why the sweep is another driver's by now; empty while it is ours.
        dividing: with whom, where several drivers divide the plan.
    """

    def __init__(
        self,
        paths: SweepPaths,
        ledger: Ledger,
        queue: TrialQueue,
        display: Display,
        watch: BudgetWatch | None = None,
        drop: Callable[[Path], None] = lambda folder: None,
        vigil: Vigil | None = None,
        until: Until | None = None,
        lost: Callable[[], str] = lambda: "",
        dividing: Dividing | None = None,
    ) -> None:
        self._paths = paths
        self._ledger = ledger
        self._queue = queue
        self._display = display
        self._watch = watch
        self._drop = drop
        self.vigil = vigil or Vigil()
        self._until = until
        self._lost = lost
        self._dividing = dividing
        queue.searches.pauses.let_go = self._let_go
        self._begun: set[str] = set()
        self._places: dict[str, dict[str, str]] = {}
        """Where the attempts that run do so, by key, as far as they have said."""
        self._ends_at: float | None = None
        self._says: deque[str] = deque()
        self.stop_requested = False
        self.time_up = False
        """Whether it is that for which the run stops."""
        self.got_further = False
        """Whether an epoch was noted that was not known before."""
        self.cluster_lost = False
        self.fatal: Exception | None = None

    def stopped(self) -> bool:
        """Whether trials should end after the epoch they are in."""
        return self.stop_requested or self.fatal is not None

    def out_of_time(self) -> bool:
        """Whether what runs should end where it is: the run's time is up; or the budget is used up, and an epoch has
        had its time since."""
        return self._ends_at is not None and self.vigil.look() >= self._ends_at

    def stop(self, says: str) -> None:
        """End the sweep after the epochs in flight, and say so soon. A signal's handler may call this: it must not
        write, since the signal may have come in the middle of another write."""
        self.stop_requested = True
        self._says.append(says)

    def run_out(self) -> None:
        """The run's time is nearly up. A signal's handler may call this, like :meth:`stop`."""
        if not self.stop_requested:
            self.time_up = True
            self.stop(NEARLY_UP)

    def lose_cluster(self) -> None:
        """The cluster is gone: nothing more will be heard of the trials that run."""
        self.cluster_lost = self.stop_requested = True

    def speak(self) -> None:
        """Say what :meth:`stop` left to be said; any thread may."""
        with suppress(IndexError):  # another thread was faster
            while self._says:
                self._display.note(self._says.popleft())

    def tick(self) -> float:
        """Let the display refresh, and ask for the sweep's end where its budget is used up; seconds that the run has
        taken. To be called often."""
        self.speak()
        self._display.tick()
        now = self.vigil.look()
        if self.fatal is None and (why := self._lost()):
            self.fatal = BusyError(why)
        if self._ends_at is None and self._watch is not None and self._watch.over(datetime.now()):
            self.stop_requested = True
            self._ends_at = now + max(LAST_SECONDS, self.vigil.longest(self._queue.live))
        if self._until is not None:
            self._mind(self.vigil.longest(self._queue.live))
            self._ends_at = now if self._until.left() <= 0 else self._ends_at
        return now

    def foresee(self, reports: Iterable[dict[str, Any]]) -> None:
        """Ask for the sweep's end where the next epoch of the trials that share a worker, as long as the one that they
        report, would end too late."""
        self._mind(sum(max(_trained(report), default=0.0) for report in reports))

    def _mind(self, epoch: float) -> None:
        """Begin no epoch when fewer seconds are left than one takes."""
        if self._until is not None and self._until.left() <= epoch:
            self.run_out()

    def started(self, key: str) -> None:
        """Note that a trial was taken up."""
        self.guarded(key, self._started)

    def result(self, key: str, report: dict[str, Any]) -> None:
        """Note what :meth:`sweep.engine.attempt.Attempt.step` reports: epochs, and the trial's state where that is its
        end."""
        self.guarded(key, lambda job: self._result(job, report))

    def stopped_early(self, key: str) -> None:
        """Note that a trial goes no further; one whose last report told its end is not live any more."""
        self.guarded(key, self._stopped_early)

    def broke(self, key: str, state: Broken, reason: str) -> None:
        """Note that a trial's process ended, or was ended, in the middle of it."""
        self.guarded(key, lambda job: self._failed(job, state, reason))

    def guarded(self, key: str, do: Callable[[Job], None]) -> None:
        """Do something with a live job, and nothing where the trial is not live; an error of it ends the sweep."""
        try:
            if self._queue.is_live(key) and not self.cluster_lost:
                do(self._queue.job(key))
        except Exception as error:  # see the class's docstring: raised again by the run, when all has ended
            self.fatal = self.fatal or error

    def _started(self, job: Job) -> None:
        self._begun.add(job.key)
        self._places.pop(job.key, None)
        self.vigil.begun(job, self._queue.company.size(job.key))
        if not self._ledger.is_final(job.key):  # a teacher that is only stored anew has its result already
            self._ledger.append("start", job.key, body=start_body(job.slot, job.trial, self._devices(job)))
        self._display.started(job)

    def _devices(self, job: Job) -> float:
        return devices(job, self._queue.plan)

    def _result(self, job: Job, result: dict[str, Any]) -> None:
        self._places.update({job.key: result["ran_on"]} if "ran_on" in result else {})
        self.vigil.heard(job, max(_trained(result), default=None))
        self._queue.report(job.key, result["epochs"])  # of its last epoch the scheduler does not hear
        epochs, ends = self._counting(job, result)
        for epoch in epochs:
            new = self._ledger.append("epoch", job.key, epoch["epoch"], epoch)
            self.got_further |= new
            if new and self._watch is not None:
                self._watch.spend(epoch["seconds"], self._devices(job))
        self._queue.searches.pauses.note()
        state = result.get("state")
        if state is None:
            self._display.epoch(job, result["epochs"][-1])
        elif ends and state in BROKEN:
            self._failed(job, state, result["reason"], result)
        elif ends:
            self._ended(job, state, result)

    def _counting(self, job: Job, result: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """The epochs of a report that count, and whether its state does, which is how the trial ended.

        All of it does, unless the trial's search gave it up, or paused it, after one of these epochs. A resumed trial,
        which tells of several at once, would not have had the later ones before, nor the bad end that came after them.
        One that has finished nonetheless has its result; one that is paused tells of it when it is taken up again.
        """
        finished = result.get("state") == "finished" and not self._has_paused(job)
        if finished or not self._queue.given_up(job.key):
            return result["epochs"], True
        last = self._queue.searches.heard(job.key)
        return [epoch for epoch in result["epochs"] if epoch["epoch"] <= last], False

    def _ended(self, job: Job, state: str, result: dict[str, Any]) -> None:
        epochs = [event.body for event in self._ledger.events("epoch", trial=job.key)]
        body = final_body(state, epochs, self._queue.plan.protocol) | {
            key: result[key] for key in ("reason", "teacher", "made_with", "ran_on") if key in result
        }
        noted = self._ledger.append("final", job.key, body=body)
        teacher = TeacherConfig.model_validate(result["teacher"]) if "teacher" in result else None
        if teacher is not None and not noted:
            self._note_retrained(job, result)
        if self._dividing is not None:
            self._dividing.ended(job.key)
        self._queue.finished(job.key, teacher, body)
        self.vigil.left(job.key)
        self._drop_checkpoints(job)
        self._display.ended(job, state, body)

    def _note_retrained(self, job: Job, result: dict[str, Any]) -> None:
        """Note a teacher that had ended before, was no longer stored, and came out with other weights this time."""
        if self._ledger.finals()[job.key].get("teacher") != result["teacher"]:
            body = taught_elsewhere(result["epochs"][-1], result["teacher"])
            self._ledger.append("retrained", job.key, body=body)

    def _drop_checkpoints(self, job: Job) -> None:
        """Of a trial whose end is in the ledger, here; the storage forgets them when it knows the ledger."""
        checkpoints = self._paths.trial(job.key) / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        self._drop(checkpoints)

    def _failed(self, job: Job, state: Broken, reason: str, told: Mapping[str, Any] = NOTHING) -> None:
        """`told`: by the attempt, where its process could tell of its end."""
        if job.key not in self._begun:  # its worker died before it could start
            self._started(job)
        how = {"crowded": state == "out-of-memory", "vain": told.get("vain", False), "worker": state != "failed"}
        again = self._queue.will_retry(job.key, **how)
        body: dict[str, Any] = {"state": state, "reason": reason, "log": told.get("log", ""), "again": again}
        body |= self._place(job)
        self._ledger.append("failed", job.key, body=body)
        if not self._queue.failed(job.key, **how) and self._dividing is not None:
            self._dividing.failed(job.key)
        self.vigil.left(job.key)
        self._display.ended(job, state, body)

    def _stopped_early(self, job: Job) -> None:
        """Complete for Ray, but live in the queue: the trial was stopped after an epoch, by its search, by the user, or
        to make room for another."""
        paused = self._has_paused(job)
        if self._queue.given_up(job.key) and not paused:
            body = self._queue.pruned(job.key, self._place(job))
            if self._dividing is not None:
                self._dividing.pruned(job.key)
            self.vigil.left(job.key)
            self._drop_checkpoints(job)
            self._display.ended(job, "pruned", body)
            return
        self._ledger.append("interrupted", job.key, body=self._place(job) | ({"state": "paused"} if paused else {}))
        self.vigil.left(job.key)
        if self._queue.interrupted(job.key) or paused:
            self._display.paused(job, BETTER_FIRST if paused else LONGEST_FIRST)

    def _has_paused(self, job: Job) -> bool:
        """Whether a live trial need not go on now, but its search may take it up again."""
        return self._queue.given_up(job.key) and self._queue.searches.pauses.holds(job.key)

    def _let_go(self, slot: Slot, body: dict[str, Any]) -> None:
        """A search gives up a trial that it had paused, whose checkpoints others may want yet."""
        job = self._queue.left_for_good(slot)
        if job is not None:
            self._drop_checkpoints(job)
            self._display.ended(job, "pruned", body)

    def interrupt_live(self, ledger: Ledger | None = None) -> None:
        """Note the trials that were stopped in the middle of an epoch; another thread gives a ledger of its own."""
        for job in self._queue.live:
            if job.key in self._begun:
                (ledger or self._ledger).append("interrupted", job.key, body=self._place(job))

    def _place(self, job: Job) -> dict[str, Any]:
        """Where the trial's attempt runs, or ran; nothing where it has not come to an epoch's end."""
        return {"ran_on": self._places[job.key]} if job.key in self._places else {}


def _trained(report: dict[str, Any]) -> list[float]:
    """Seconds of the epochs that a report tells of, of those that were trained for it."""
    return [epoch["seconds"] for epoch in report["epochs"] if not epoch.get("replayed")]
