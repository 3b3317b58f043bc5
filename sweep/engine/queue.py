"""What to run next: teachers first, a pair's students as soon as their teacher is ready, no barrier in between.

Plain Python, so that the order can be tested without Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sweep.engine.attempts import Attempts
from sweep.engine.company import Company
from sweep.engine.job import Job
from sweep.engine.pauses import Left
from sweep.engine.waiting import Waiting
from sweep.ledger.neighbours import Whole
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.search.searches import Searches
from trainers.config import TeacherConfig


class TrialQueue:
    """The slots of a plan on their way from waiting to done: those it began with, and those that searches add.

    Args:
        plan: what is to run.
        teachers: teachers that are stored already, by slot id.
        finals: keys of trials that ended for good in earlier runs.
        searches: of the plan's cells, as far as earlier runs have brought them.
    """

    def __init__(
        self, plan: Plan, teachers: dict[str, TeacherConfig], finals: set[str], searches: Searches | None = None
    ) -> None:
        self.plan = plan
        self.retries = int(plan.compute["retries"])
        self.teachers = dict(teachers)
        self.searches = searches or Searches(plan)
        self._finals = set(finals)
        self._attempts = Attempts(self.retries, plan.compute["gpus"])
        self._waiting = Waiting(slot for slot in plan.slots if slot.id not in teachers)
        self.searches.renew(self._is_ready, self._key)
        self._wait_for(self.searches.unfinished.values())
        self._live: dict[str, Job] = {}
        self.company = Company(plan.compute.get("cohort", 1))
        self._left = Left()
        self._pausing: set[str] = set()
        self.lost: list[Slot | SearchedCell] = []
        """What cannot run, because its teacher failed."""
        self.take: Callable[[Job], Whole | None] = lambda job: None
        """Takes a trial over from another sweep that has finished it (:mod:`sweep.engine.sharing`), where there is one:
        asked of every student before it is handed out."""
        self.takes_teachers = False
        """Whether it is asked of teachers as well: those who divide a plan have one store of them."""
        self.claim: Callable[[Job], bool] = lambda job: True
        """Whether a job may be handed out here (:mod:`sweep.engine.dividing`); asked last, of each before it is."""
        self.held_elsewhere = False
        """Whether what waits does so because others train it, as far as :meth:`next` found just now."""
        self._drop_done()
        self._confirm()

    def next(self) -> Job | None:
        """The next job that can start now: teachers, then searches, then the rest in the plan's order.

        None while what waits needs a teacher or another trial's end, or when nothing waits.
        """
        self.held_elsewhere = False
        job = self._first(confirming=False)
        if job is not None:
            return job
        while (asked := self.searches.ask(self._is_ready, self._key, self._is_elsewhere)) is not None:
            key, slot = asked
            job = None if key in self._live else self._asked(slot)
            if job is not None:
                return job
        self._confirm()
        job = self._first()
        while job is None and self._confirm():  # what was taken over just now may have let a race go on
            job = self._first()
        return job

    def next_together(self, room: int) -> list[Job]:
        """The next job, and those that are to share its worker (:mod:`sweep.engine.company`); none where :meth:`next`
        has none.

        Args:
            room: workers side by side.
        """
        first = self.next()
        if first is None:
            return []
        fair = self._left.part(len(self._waiting), (job.slot for job in self._live.values()), room)
        fair = min(fair, 1 + len(self._waiting) - (room - self.running))
        return self.company.gather(first, self._waiting.beside(first.slot), self._taken, fair)

    def _first(self, *, confirming: bool = True) -> Job | None:
        """The first job of those that wait which can start now."""
        job, before = None, -1
        while job is None and before != len(self._waiting):  # one that has gone without a job changes what is left
            before = len(self._waiting)
            for slot in self._waiting.able(self._is_ready, confirming=confirming):
                job = self._taken(slot)
                if len(self._waiting) != before:
                    break
        return job

    def _asked(self, slot: Slot) -> Job | None:
        """The job of a suggestion: as the waiting slot that is the same trial, where there is one, which then need not
        begin again after the search gave it up. None, and it waits, where others train it."""
        planned = self._waiting.of(slot.id)
        job = self._job(planned or slot)
        if not self.claim(job):
            self.held_elsewhere = True
            self._wait_for([slot])
            return None
        if planned is not None:
            self._waiting.remove(planned)
        self._live[job.key] = job
        return job

    def _taken(self, slot: Slot) -> Job | None:
        """The job of a waiting slot, if it can start now."""
        if not self._is_ready(slot.teacher):
            return None
        job = self._job(slot)
        if job.key in self._live:
            if self._live[job.key].slot.stage == slot.stage:
                self._waiting.remove(slot)
            return None  # a search's trial may yet be given up; a slot that must come to its end waits for that
        new = job.key not in self._finals and not self._is_elsewhere(slot)
        if new and not self.claim(job):
            self.held_elsewhere = True
            return None
        if slot in self._waiting:
            self._waiting.remove(slot)
        if new:
            self._live[job.key] = job
            return job
        if slot.stage == "teacher" and slot.id not in self.teachers:
            self._lose_students(slot)
        return None

    def take_over(self) -> None:
        """Take over what other sweeps have finished of all that waits, as far as its teachers are known."""
        for slot in list(self._waiting):
            if self._is_ready(slot.teacher) and slot in self._waiting and self._is_elsewhere(slot):
                self._waiting.remove(slot)
                if slot.stage == "teacher" and slot.id not in self.teachers:
                    self._lose_students(slot)
        self._drop_done()
        self._confirm()

    def _is_elsewhere(self, slot: Slot) -> bool:
        """Whether a slot's trial was taken over just now, which then has ended for good; a teacher's is only where it
        is stored as well."""
        job = self._job(slot)
        is_teacher = slot.stage == "teacher"
        known = (is_teacher and not self.takes_teachers) or job.key in self._live or job.key in self._finals
        whole = None if known else self.take(job)
        if whole is None:
            return False
        self._finals.add(job.key)
        if is_teacher and "teacher" in whole.final:
            self.teachers[slot.id] = TeacherConfig.model_validate(whole.final["teacher"])
        self.searches.taken_over(job.key, whole.epochs, whole.final)
        return True

    @property
    def exhausted(self) -> bool:
        """Nothing waits, and nothing that runs could bring more."""
        return not self._waiting and not self._live and self.searches.exhausted

    @property
    def running(self) -> int:
        """How many workers the live jobs have."""
        return self.company.workers(self._live)

    @property
    def waiting(self) -> int:
        """How many slots wait; what a search has not asked for yet is none."""
        return len(self._waiting)

    def job(self, key: str) -> Job:
        """A live job. Raises KeyError for a key that is not live."""
        return self._live[key]

    def is_live(self, key: str) -> bool:
        """Whether a trial was handed out and has not ended."""
        return key in self._live

    @property
    def live(self) -> list[Job]:
        """The jobs that were handed out and have not ended, in the order in which they were."""
        return list(self._live.values())

    def report(self, key: str, epochs: list[dict[str, Any]]) -> bool:
        """Note epochs of a live trial; True where it is to be given up, which only search trials are."""
        for epoch in epochs:
            self._left.note(self._live[key].slot, epoch)
            self.searches.report(key, epoch)
        return self.given_up(key)

    def should_pause(self, key: str, room: int) -> bool:
        """Whether a live trial is to stop after this epoch, so that the longest of those that wait runs before it
        (:mod:`sweep.engine.pauses`): near the end of the sweep, and one trial at a time; with `room` side by side."""
        if not self._is_ending(room):
            return False
        beside = [job.slot for job in self.live if job.key != key]
        return self._left.makes_room(self._live[key].slot, beside, list(self._waiting), room)

    def pause(self, key: str) -> None:
        """Note that a live trial is to stop after this epoch, and to wait for its turn again."""
        self._pausing.add(key)

    def put_longest_first(self, room: int) -> None:
        """Let those that wait begin with the longest, near the end of the sweep, with `room` side by side; before that
        the plan's order holds."""
        if not self._is_ending(room):
            return
        seconds = self._left.of_all([*self._waiting, *(job.slot for job in self.live)])
        if seconds is not None:
            self._waiting.sort(key=lambda slot: -seconds[slot.id])

    def _is_ending(self, room: int) -> bool:
        """Whether it is the end of the sweep: fewer wait than run, for nothing but room, and none pauses yet. Where
        trials share workers, or memory was short, they do not all take the same room, and there is no such end."""
        if self.company.most > 1 or not 0 < len(self._waiting) < room <= len(self._live):
            return False
        crowd = self._pausing or self._attempts.crowded
        return self.searches.exhausted and not crowd and all(self._is_ready(slot.teacher) for slot in self._waiting)

    def given_up(self, key: str) -> bool:
        """Whether a live trial need not go on."""
        return self._live[key].slot.stage == "search" and self.searches.given_up(key)

    def left_for_good(self, slot: Slot) -> Job | None:
        """The job of a slot whose teacher is there; None where its trial runs, waits, or may be taken up again."""
        job = self._job(slot)
        is_wanted = job.key in self._live or self._waiting.of(slot.id) or self.searches.pauses.holds(job.key)
        return None if is_wanted or self.searches.runs(job.key) else job

    def finished(self, key: str, teacher: TeacherConfig | None = None, body: dict[str, Any] | None = None) -> None:
        """A trial ended for good.

        Args:
            key: its key.
            teacher: what it produced, where it was a teacher's.
            body: of its final event, for the searches that it is part of.
        """
        job = self._leave(key)
        self._finals.add(key)
        self.searches.ended(key, body["state"] if body else "failed", body)
        if teacher is not None:
            self.teachers[job.slot.id] = teacher
            self._renew_searches()
        elif job.slot.stage == "teacher":
            self._lose_students(job.slot)
        self._confirm()

    def pruned(self, key: str, noted: dict[str, Any] | None = None) -> dict[str, Any]:
        """A search gave a trial up (a slot that must come to its end may still run it); what the ledger says of it,
        with what else is to be `noted`."""
        self._leave(key)
        body = self.searches.prune(key, noted)
        self._confirm()
        return body

    def will_retry(self, key: str, crowded: bool = False, vain: bool = False, worker: bool = False) -> bool:
        """Whether a live trial would be tried again if this attempt failed, as :meth:`failed` is told of it."""
        return (worker and self.company.has(key)) or self._attempts.left(key, crowded, vain)

    def failed(self, key: str, crowded: bool = False, vain: bool = False, worker: bool = False) -> bool:
        """An attempt failed. True where the trial is tried again; otherwise it is given up for this run.

        Args:
            key: of the trial.
            crowded: memory was short. The trial waits behind all others, so that it does not meet the same neighbours
                again, and gets a larger share of a GPU.
            vain: it is given up at once.
            worker: whoever was in the trial's worker may have caused it. Where it had company there, that is no
                failure of its own, and it is tried again alone.
        """
        again = self.will_retry(key, crowded, vain, worker)
        if not (worker and self.company.has(key)):
            self._attempts.note(key, crowded)
        slot = self._leave(key, broke=True).slot
        if again:
            (self._waiting.append if crowded else self._waiting.put_first)(slot)
            return True
        self._finals.add(key)
        self.searches.ended(key, "failed")
        if slot.stage == "teacher":
            self._lose_students(slot)
        self._confirm()
        return False

    def interrupted(self, key: str) -> bool:
        """A trial was stopped between two epochs. True where it pauses and waits for its turn again; otherwise it goes
        on in the next run."""
        pauses = key in self._pausing
        job = self._leave(key)
        if pauses:
            self._waiting.append(job.slot)
        return pauses

    def _leave(self, key: str, *, broke: bool = False) -> Job:
        """A trial is live no longer."""
        self._pausing.discard(key)
        self.company.left(self._live[key], broke=broke)
        return self._live.pop(key)

    def _confirm(self) -> bool:
        """Let what searches have won, or race about, wait for its turn; whether there is any."""
        slots = self.searches.confirming(self._is_ready, self._key, self._finals.__contains__)
        self._wait_for(slot for slot in slots if not (self._is_ready(slot.teacher) and self._key(slot) in self._finals))
        return bool(slots)

    def _wait_for(self, slots: Iterable[Slot]) -> None:
        """Let slots wait that do not yet."""
        for slot in slots:
            if self._waiting.of(slot.id) is None:
                self._waiting.append(slot)

    def _renew_searches(self) -> None:
        """A teacher that was trained again may be another one; what was asked for with the first then waits no more."""
        self.searches.renew(self._is_ready, self._key)
        still = self.searches.wanted(self._key)
        self._waiting.keep(lambda slot: slot.stage not in ("search", "race") or still(slot))

    def _drop_done(self) -> None:
        """What ended in earlier runs does not wait, so that nothing left is `exhausted` from the start."""
        for slot in list(self._waiting):
            if self._is_ready(slot.teacher) and self._key(slot) in self._finals:
                self._waiting.remove(slot)
                if slot.stage == "teacher":
                    self._lose_students(slot)

    def _is_ready(self, teacher: str | None) -> bool:
        return teacher is None or teacher in self.teachers

    def _key(self, slot: Slot) -> str:
        return self._job(slot).key

    def _job(self, slot: Slot) -> Job:
        trial = slot.trial(self.teachers[slot.teacher] if slot.teacher else None)
        return Job(slot, trial, self._attempts.crowded[trial.key])

    def _lose_students(self, teacher: Slot) -> None:
        self.lost += self._waiting.keep(lambda slot: slot.teacher != teacher.id)
        self.lost += self.searches.lose(teacher.id)
