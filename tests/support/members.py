"""Several drivers that divide one sweep, moved by hand in one process: each may be killed at any of its steps, or stand
still while another takes over what it had."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console

from sweep.engine.display import PlainDisplay
from sweep.engine.divided_queue import DividedQueue
from sweep.engine.dividing import Dividing
from sweep.engine.job import Job
from sweep.ledger import ended, histories
from sweep.ledger.claims import Claims
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.examples import begin
from tests.support.simulation import Driver, Killed, MortalLedger, World


class MortalDividing(Dividing):
    """A member that is killed after it has noted something for itself, and before it has told the others."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._mortal: MortalLedger = parts[2]

    def _lives(self) -> None:
        if self._mortal.left == 0:
            raise Killed
        if self._mortal.left is not None:
            self._mortal.left -= 1

    def claim(self, job: Job) -> bool:
        self._lives()
        return super().claim(job)

    def ended(self, key: str) -> None:
        self._lives()
        super().ended(key)

    def pruned(self, key: str) -> None:
        self._lives()
        super().pruned(key)


class Member(Driver):
    """One of them."""

    def __init__(self, world: World, plan: Plan, ledger: MortalLedger, claims: Claims, workers: int) -> None:
        self.claims, self.divided = claims, DividedQueue(plan, world.teachers, ledger)
        self.dividing = MortalDividing(world.paths, claims, ledger, PlainDisplay(Console(file=io.StringIO())))
        super().__init__(world, plan, ledger, workers, self.divided, self.dividing)
        self._most = workers
        self.dividing.begin(self.divided)

    def move(self, chance: random.Random) -> bool:
        """Do one thing; whether there may be more to do."""
        if len(self.queue.live) < self._most and self.start() is not None:
            return True
        if self.queue.live:
            self.step(chance.choice(self.queue.live).key)
            return True
        self.dividing.searches.tell()
        return self.queue.held_elsewhere


@contextmanager
def member(world: World, plan: Plan, *, lives: int | None = None, workers: int = 1, spec: str = "") -> Iterator[Member]:
    """A member from its beginning to its end, or to its death."""
    claims = Claims(world.paths.divided, spec)
    with claims, MortalLedger(world.paths.divided / "ledgers" / claims.id / "ledger.db") as ledger:
        ledger.left = lives
        yield Member(world, plan, ledger, claims, workers)


def bury(one: Member) -> None:
    """Let a member give nothing back when it ends, as one that was killed."""
    one.claims._mine.clear()


class Members:
    """All of a sweep's, of whom some are killed.

    Args:
        world: which they share.
        plan: that they divide.
        chance: decides who moves, and who dies when.
        workers: of each.
    """

    def __init__(self, world: World, plan: Plan, chance: random.Random, workers: int) -> None:
        self._world, self._plan, self._chance, self._workers = world, plan, chance, workers
        self._at_work: list[tuple[Any, Member]] = []

    def run(self, many: int, kills: int) -> None:
        """Let so many begin, and another one for each that is killed, to the end."""
        begun = 0
        while begun < many + kills or self._at_work:
            while begun < many + kills and len(self._at_work) < many:
                self._begin(self._chance.randint(1, 60) if begun < kills else None)
                begun += 1
            self._move()

    def _begin(self, lives: int | None) -> None:
        context = member(self._world, self._plan, lives=lives, workers=self._workers)
        with suppress(Killed):
            self._at_work.append((context, context.__enter__()))

    def _move(self) -> None:
        place = self._chance.randrange(len(self._at_work))
        context, one = self._at_work[place]
        try:
            if one.move(self._chance):
                return
        except Killed:
            bury(one)
        del self._at_work[place]
        context.__exit__(None, None, None)


def take_in(world: World, plan: Plan) -> None:
    """Write what all of them have done into the sweep's ledger, as a run does that begins."""
    with Ledger(world.paths.ledger) as ledger:
        begin(ledger, plan)
        searched = histories.take_in(world.paths, ledger, {cell.id for cell in plan.cells})
        ended.take_in(world.paths, ledger, {slot.id for slot in plan.slots} | searched)


def give_out(world: World, plan: Plan) -> None:
    """Tell members that begin what the sweep's ledger has."""
    with Ledger(world.paths.ledger) as ledger:
        ended.give_out(world.paths, ledger)
        histories.give_out(world.paths, ledger, [cell.id for cell in plan.cells])
