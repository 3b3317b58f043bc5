"""What to run next: teachers first, a pair's students as soon as their teacher is ready, no barrier in between.

Plain Python, so that the order can be tested without Ray.
"""

from __future__ import annotations

from dataclasses import dataclass

from sweep.plan import Plan, Slot
from trainers.config import TeacherConfig, TrialConfig


@dataclass(frozen=True)
class Job:
    """A slot whose teacher is known, so that its trial has a key."""

    slot: Slot
    trial: TrialConfig

    @property
    def key(self) -> str:
        return self.trial.key


class TrialQueue:
    """The slots of a plan on their way from waiting to done.

    Args:
        plan: what is to run.
        teachers: teachers that are stored already, by slot id.
        finals: keys of trials that ended for good in earlier runs.
    """

    def __init__(self, plan: Plan, teachers: dict[str, TeacherConfig], finals: set[str]) -> None:
        self.plan = plan
        self.retries = int(plan.compute["retries"])
        self.teachers = dict(teachers)
        self._finals = set(finals)
        self._attempts: dict[str, int] = {}
        self._waiting = [slot for slot in plan.slots if slot.id not in teachers]
        self._live: dict[str, Job] = {}
        self.lost: list[Slot] = []
        """Slots that cannot run, because their teacher failed."""
        self._drop_done()

    def next(self) -> Job | None:
        """The next job that can start now; None while the waiting ones need a teacher, or when nothing waits."""
        for slot in list(self._waiting):
            if slot.teacher is not None and slot.teacher not in self.teachers:
                continue
            self._waiting.remove(slot)
            job = self._job(slot)
            if job.key not in self._finals and job.key not in self._live:
                self._live[job.key] = job
                return job
            if slot.stage == "teacher" and job.key not in self._live:
                self._lose_students(slot)
        return None

    @property
    def exhausted(self) -> bool:
        """Nothing waits, and nothing that runs could bring more."""
        return not self._waiting and not self._live

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def job(self, key: str) -> Job:
        """A live job. Raises KeyError for a key that is not live."""
        return self._live[key]

    @property
    def live(self) -> list[Job]:
        return list(self._live.values())

    def finished(self, key: str, teacher: TeacherConfig | None = None) -> None:
        """A trial ended for good; `teacher` is what it produced, where it was a teacher's."""
        job = self._live.pop(key)
        self._finals.add(key)
        if teacher is not None:
            self.teachers[job.slot.id] = teacher
        elif job.slot.stage == "teacher":
            self._lose_students(job.slot)

    def will_retry(self, key: str) -> bool:
        """Whether a live trial would be tried again if this attempt failed."""
        return self._attempts.get(key, 0) < self.retries

    def failed(self, key: str) -> bool:
        """An attempt failed. True where the trial is tried again; otherwise it is given up for this run."""
        again = self.will_retry(key)
        job = self._live.pop(key)
        self._attempts[key] = self._attempts.get(key, 0) + 1
        if again:
            self._waiting.insert(0, job.slot)
            return True
        self._finals.add(key)
        if job.slot.stage == "teacher":
            self._lose_students(job.slot)
        return False

    def interrupted(self, key: str) -> None:
        """A trial was stopped between two epochs; it goes on in the next run."""
        self._live.pop(key)

    def _drop_done(self) -> None:
        """What ended in earlier runs does not wait, so that nothing left is `exhausted` from the start."""
        for slot in list(self._waiting):
            ready = slot.teacher is None or slot.teacher in self.teachers
            if ready and self._job(slot).key in self._finals:
                self._waiting.remove(slot)
                if slot.stage == "teacher":
                    self._lose_students(slot)

    def _job(self, slot: Slot) -> Job:
        return Job(slot, slot.trial(self.teachers[slot.teacher] if slot.teacher else None))

    def _lose_students(self, teacher: Slot) -> None:
        self.lost += [slot for slot in self._waiting if slot.teacher == teacher.id]
        self._waiting = [slot for slot in self._waiting if slot.teacher != teacher.id]
