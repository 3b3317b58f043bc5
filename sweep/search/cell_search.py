"""The search of one cell: what was tried, what came of it, what to try next, and what it has won.

Plain Python over :mod:`sweep.search.suggest` and :mod:`sweep.search.pruning`. What a search makes of a trial depends on
the trial's epochs alone, in the order of the suggestions: not on who else runs the same trial (a slot of the plan, or
another cell), nor on when. So one that it gave up stays given up for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from sweep.plan.slots import LATENCY, SearchedCell, Slot, filled
from sweep.search import suggest
from sweep.search.history import Chosen, Moment
from sweep.search.pruning import Pruner, make_pruner
from sweep.search.suggest import Asked, State
from sweep.search.untried import untried

if TYPE_CHECKING:
    from sweep.search.curves import CurveSearch
    from sweep.search.pausing import PausingSearch

MINIMIZED = {name for name, direction in suggest.DIRECTIONS.items() if direction == "minimize"}


class CellSearch:
    """One cell's search.

    Args:
        cell: what is searched.
        asks: hears of the key of each trial that is asked for.
    """

    def __init__(self, cell: SearchedCell, asks: Callable[[str], None] = lambda key: None) -> None:
        self.cell = cell
        self._asks = asks
        self.asked: list[Asked] = []
        self.keys: list[str] = []
        """Of the trial that each suggestion is; two suggestions may be the same trial."""
        self._numbers: dict[str, list[int]] = {}
        """The suggestions that each trial is, by its key."""
        self.running = 0
        """Suggestions whose trials have not come to an end, those that wait for a worker included."""
        self.past: list[Moment] = []
        """What it heard, in order."""
        self.learned: list[dict[str, Any]] = list(cell.search.get("learned", ()))
        """What it begins with that another search has found (:mod:`sweep.search.learned`)."""
        self._ahead = self._looking_ahead()
        by_it = self._ahead if cell.search["pruner"] == "curves" else None
        self.pruner: Pruner = by_it or make_pruner(cell.search, cell.epochs)
        self.unnoted: list[int] = []
        """Suggestions that it has paused, and the ledger has not heard of."""
        self._resumed: tuple[int, int | None] = (-1, None)
        """How much it had heard when it chose the latest of its paused trials to go on, and which."""
        self.settled = False
        """Whether what it has won was handed out."""
        self.winner: int | None = None
        """Number of the suggestion that has won the race of its best (:mod:`sweep.search.race`), where that is over."""

    @property
    def budget(self) -> int:
        """Suggestions at most."""
        return self.cell.budget

    @property
    def wants_more(self) -> bool:
        """Whether another trial may start now: one at a time where the search must not depend on timing."""
        if self.cell.search["deterministic"] and self.running:
            return False
        return len(self.asked) < self.budget or self.resumes() is not None

    @property
    def complete(self) -> bool:
        """Whether the budget is used up and every trial has come to an end."""
        return len(self.asked) >= self.budget and not self.running and not self.paused

    @property
    def paused(self) -> list[int]:
        """Numbers of the suggestions whose trials it has paused."""
        return [number for number, asked in enumerate(self.asked) if asked.state == "paused"]

    @property
    def lets_go(self) -> bool:
        """Whether what it has paused will not go on: all others have come to their end, and it is not worth it."""
        over = len(self.asked) >= self.budget and not self.running
        return over and bool(self.paused) and self.resumes() is None

    def resumes(self) -> int | None:
        """The number of the paused suggestion that is to go on now; None where a new one is to be tried, or nothing."""
        if not (self.pausing and self.paused) or next(self._still_first, None) is not None:
            return None
        heard = len(self.past)
        if self._resumed[0] != heard:
            self._resumed = heard, self.pausing.resumes(suggest.seed_of(self.seed, len(self.asked)))
        return self._resumed[1]

    @property
    def progress(self) -> float:
        """Share of the budget that was asked for."""
        return len(self.asked) / self.budget

    @property
    def seed(self) -> int:
        """Of all that it draws."""
        return int(self.cell.search["seed"]) ^ int(self.cell.id[:8], 16)

    def suggest(self) -> dict[str, Any]:
        """The next point to try, where one is wanted."""
        search = self.cell.search
        first = next(self._still_first, None)
        if first is not None:
            return dict(first)
        seed = self.seed
        if self._ahead and search["sampler"] == "curves":
            params = self._ahead.suggest(suggest.seed_of(seed, len(self.asked)))
        else:
            params = suggest.suggest(
                self.cell.space,
                self._seen,
                sampler=search["sampler"],
                metrics=[metric for metric in search["metrics"] if metric != LATENCY],
                seed=seed,
                rules=self.cell.rules,
            )
        if params is None:
            raise RuntimeError(f"{self.cell.name}: the space has no more points than {len(self.asked)}")
        return params

    @property
    def _still_first(self) -> Iterator[dict[str, Any]]:
        return untried(self._first, [asked.params for asked in self.asked])

    @property
    def _first(self) -> list[dict[str, Any]]:
        """The points that are tried before any other; those of another search stand in for the usual values."""
        search, learned = self.cell.search, [one["params"] for one in self.learned]
        begins = [search["begins"]] if "begins" in search and not self.asked and not learned else []
        return [*begins, *search.get("first", ()), *learned]

    @property
    def _seen(self) -> list[Asked]:
        """What a sampler learns from: all but the latency, which is one number for all of a cell's trials, and another
        one on another machine. So what is tried depends on no machine."""
        metrics = self.cell.search["metrics"]
        if LATENCY not in metrics:
            return self.asked
        kept = [place for place, metric in enumerate(metrics) if metric != LATENCY]
        return [
            replace(asked, values=tuple(asked.values[place] for place in kept)) if asked.values else asked
            for asked in self.asked
        ]

    def _looking_ahead(self) -> CurveSearch | None:
        if "curves" not in (self.cell.search["sampler"], self.cell.search["pruner"]):
            return None
        from sweep.search.pausing import looking_ahead  # needs NumPy, which commands that only list have no use for

        return looking_ahead(self.cell, self.asked, self.keys)

    @property
    def pausing(self) -> PausingSearch | None:
        """Its rule, where it pauses trials."""
        return cast("PausingSearch", self._ahead) if self.cell.pauses else None

    def ask(self, params: dict[str, Any], key: str) -> None:
        """Note a suggestion, and the trial that it is."""
        self.asked.append(Asked(params))
        self.keys.append(key)
        self._numbers.setdefault(key, []).append(len(self.asked) - 1)
        self.running += 1
        self._asks(key)
        self.winner = None  # there may be a better one
        self.past.append(Moment(len(self.asked) - 1, 0, "running"))

    def repeat(self, key: str) -> bool:
        """Whether the latest suggestion was tried here before and has ended; it then counts as ended likewise."""
        earlier = self._numbers.get(key, [])[:-1]
        before = [self.asked[number] for number in earlier if self.asked[number].state != "running"]
        if before:
            self._become(len(self.asked) - 1, before[0])
            self.past.append(Moment(len(self.asked) - 1, 0, before[0].state))
        return bool(before)

    def report(self, key: str, epoch: dict[str, Any], *, again: bool = False) -> None:
        """Note a trial's epoch, and give the trial up where the pruner says so; later epochs are not heard then.

        Args:
            key: the trial's.
            epoch: its result.
            again: whether the ledger has it, and knows what came of it.
        """
        for number in self._running(key):
            value = float(epoch[self.cell.search["metrics"][0]])
            epochs = self.asked[number].epochs | {epoch["epoch"]: value}
            known = epochs == self.asked[number].epochs
            if not known:
                self.past.append(Moment(number, epoch["epoch"], "running"))
            self.asked[number] = replace(self.asked[number], epochs=epochs)
            if self.pruner.replays or not (again or known):  # a resumed trial tells its epochs from the first on
                self._judge(number, epoch["epoch"])

    def replayed(self) -> None:
        """Look again at what runs, after the ledger's events: the driver may have been killed before it could note what
        it made of a trial's last epoch."""
        for number, asked in enumerate(self.asked):
            if asked.state == "running" and asked.epochs and not self.pruner.replays:
                self._judge(number, max(asked.epochs))

    def _judge(self, number: int, epoch: int) -> None:
        asked = self.asked[number]
        last = epoch >= filled(self.cell.config, asked.params)["recipe"]["epochs"]
        if not self.pruner.report(self.keys[number], epoch, asked.epochs[epoch], last=last):
            return
        if self.pausing:
            self.pause(self.keys[number], epoch)
            self.unnoted.append(number)
        else:
            self._become(number, replace(asked, state="pruned"))

    def pause(self, key: str, epoch: int) -> None:
        """Note that it has paused a trial after an epoch. What was heard of it since counts no more: it is heard when
        the trial is taken up again, whoever has trained it meanwhile."""
        for number in self._numbers.get(key, ()):
            asked = self.asked[number]
            epochs = {known: value for known, value in asked.epochs.items() if known <= epoch}
            if asked.state != "pruned" and asked != (paused := Asked(asked.params, "paused", epochs=epochs)):
                self._become(number, paused)
                self._forget_after(number, epoch)
                self.past.append(Moment(number, 0, "paused"))

    def _forget_after(self, number: int, epoch: int) -> None:
        """Let what was heard of a suggestion after an epoch be as if it had not been."""
        later = {one for one in self.past if one.number == number and (one.epoch > epoch or one.state == "finished")}
        self.past[:] = [one for one in self.past if one not in later]
        self._resumed = -1, None

    def has_paused(self, key: str) -> bool:
        """Whether a trial is one that it has paused."""
        return any(self.asked[number].state == "paused" for number in self._numbers.get(key, ()))

    def slot(self, number: int) -> Slot:
        """That of a suggestion."""
        return self.cell.slot(self.asked[number].params, "search", self.cell.seeds[0])

    def resume(self, number: int) -> None:
        """Note that it goes on with a paused trial, which at its next epoch is not given up for the one before."""
        if self.asked[number].state == "paused":
            self._become(number, replace(self.asked[number], state="running"))
            self.past.append(Moment(number, 0, "running"))
            self.pruner.goes_on(self.keys[number], max(self.asked[number].epochs, default=0))

    def give_up(self, key: str) -> None:
        """Note that it gives up a trial, which may be a paused one."""
        for number in self._numbers.get(key, ()):
            if self.asked[number].state in ("running", "paused"):
                self._become(number, replace(self.asked[number], state="pruned"))
                self.past.append(Moment(number, 0, "pruned"))

    def heard(self, key: str) -> int:
        """The last epoch of a trial that was noted; 0 where none was."""
        numbers = self._numbers.get(key, ())
        return max((epoch for number in numbers for epoch in self.asked[number].epochs), default=0)

    def tell(self, key: str, state: State, body: dict[str, Any] | None = None) -> None:
        """Note how a trial ended that was not given up; `body` is that of its final event."""
        if state == "failed":
            self.pruner.forget(key)
        values = self.values_of(body) if state == "finished" and body else None
        for number in self._running(key):
            self._become(number, replace(self.asked[number], state=state, values=values))
            self.past.append(Moment(number, 0, state))

    def broke(self, key: str) -> None:
        """Note that the attempts of a trial were used up, which a later run may try again: what came after it is not
        compared with it, since it did not know of that."""
        self.pruner.forget(key)
        self.past += [Moment(number, 0, "failed") for number in self._running(key)]

    def runs(self, key: str) -> bool:
        """Whether the search waits for a trial."""
        return bool(self._running(key))

    def chosen(self) -> list[Chosen]:
        """What it has won: the winner of a race, where that is over, and else its best."""
        best = self.best()
        return [one for one in best if one.number == self.winner] or best

    def best(self) -> list[Chosen]:
        """The best configurations, as many as are to be confirmed, best first; see :meth:`ranked`."""
        return self.ranked()[: self.cell.search["confirm"]]

    def ranked(self) -> list[Chosen]:
        """All that finished, best first; equal ones count once.

        With several metrics, those that no other finished one beats in all of them (the Pareto front).
        """
        finished: dict[str, Chosen] = {}
        for number, asked in enumerate(self.asked):
            if asked.state == "finished" and asked.values is not None:
                finished.setdefault(self.keys[number], Chosen(number, asked.params, asked.values))
        merits = {number: self._signed(chosen) for number, chosen in enumerate(finished.values())}
        if len(self._signs) > 1:
            merits = {n: merit for n, merit in merits.items() if not any(_beats(m, merit) for m in merits.values())}
        ranked = sorted(merits, key=lambda number: merits[number][0], reverse=True)
        return [list(finished.values())[number] for number in ranked]

    def asked_for(self, key: str) -> bool:
        """Whether a trial is one of its suggestions."""
        return key in self._numbers

    def _running(self, key: str) -> list[int]:
        return [number for number in self._numbers.get(key, ()) if self.asked[number].state == "running"]

    def _become(self, number: int, asked: Asked) -> None:
        """Let a suggestion be what came of it."""
        self.running += (asked.state == "running") - (self.asked[number].state == "running")
        self.asked[number] = asked

    @property
    def _signs(self) -> list[int]:
        return [-1 if metric in MINIMIZED else 1 for metric in self.cell.search["metrics"]]

    def _signed(self, chosen: Chosen) -> tuple[float, ...]:
        """Its values, each so that more is better."""
        return tuple(sign * value for sign, value in zip(self._signs, chosen.values, strict=True))

    def values_of(self, body: dict[str, Any]) -> tuple[float, ...]:
        """A finished trial's metrics; accuracies are those of the epoch that the table shows."""
        shown = body["best"] if body.get("best_by") == "test_acc" else body["last"]
        known = {"student_macs": float(self.cell.student_macs), LATENCY: self.cell.student_latency}
        known |= {"device_seconds": float(body["seconds"])}
        return tuple(
            known[metric] if metric in known else float(shown[metric]) for metric in self.cell.search["metrics"]
        )


def _beats(merit: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether one is nowhere worse than the other, and somewhere better."""
    return merit != other and all(a >= b for a, b in zip(merit, other, strict=True))


def tried(cell: SearchedCell, slot: Slot) -> dict[str, Any]:
    """The searched values of one of the cell's slots."""
    return {name: value for name, value in slot.varied.items() if name in cell.space}
