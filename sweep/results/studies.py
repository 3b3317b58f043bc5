"""What the searches of a sweep have found, and whether it is worth going on: what `sweep studies` says of each.

Read from the ledger alone. Only a search that looks ahead says what one more trial promises; of others nothing is
known, and nothing is said.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sweep.ledger.store import Ledger
from sweep.plan.labels import label, untuned
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.results.read import Trial, merit, read, searching
from sweep.search import looking_back
from sweep.search.cell_search import CellSearch, tried
from sweep.search.history import Chosen
from sweep.search.importance import importances
from sweep.search.looking_back import GivenUp
from sweep.search.race import Fallen, Place, Race, race, races
from sweep.search.searches import Searches
from trainers.errors import InputError

if TYPE_CHECKING:
    from sweep.search.curves import Outlook


OPEN = ("running", "interrupted", "paused")
"""States of trials that have not come to their end."""


@dataclass(frozen=True)
class Noise:
    """How much the values of one configuration differ from seed to seed."""

    deviation: float
    """In points of the search's metric."""
    seeds: int
    """That it is made of."""


@dataclass(frozen=True)
class Study:
    """One searched cell."""

    search: CellSearch
    noise: Noise | None
    """Of what it has won, between the seeds that it did not choose by; None of fewer than two."""
    race: Race | None = None
    """Of its best; None where none race, or not yet."""

    @property
    def cell(self) -> SearchedCell:
        """What is searched."""
        return self.search.cell

    @property
    def ended(self) -> int:
        """Trials that came to an end, whatever it was."""
        return sum(asked.state not in OPEN for asked in self.search.asked)

    @property
    def best(self) -> Chosen | None:
        """The first of what it has won so far."""
        return next(iter(self.search.chosen()), None)

    @property
    def best_so_far(self) -> list[tuple[int, float]]:
        """See :func:`sweep.search.looking_back.best_so_far`."""
        return looking_back.best_so_far(self.search)

    @property
    def epochs(self) -> int:
        """Of all its trials together."""
        return looking_back.epochs_spent(self.search)

    @property
    def importance(self) -> dict[str, float]:
        """See :func:`sweep.search.importance.importances`."""
        return importances(self.search)

    @property
    def outlook(self) -> Outlook | None:
        """See :func:`sweep.search.looking_back.outlook`."""
        return looking_back.outlook(self.search)

    def given_up(self, most: int | None = None) -> list[GivenUp]:
        """See :func:`sweep.search.looking_back.given_up`."""
        return looking_back.given_up(self.search, most)


def studies(ledger: Ledger) -> list[Study]:
    """The searches of a sweep's latest plan.

    Raises:
        InputError: where it has no plan, or searches nothing.
    """
    results = read(ledger)
    trials = results.trials
    if not results.plan.cells:
        name = results.plan.name
        raise InputError(f"sweep '{name}' searches nothing; a range or a choice in its spec would be searched")
    raced = searching(results.plan, ledger).raced
    return [
        Study(search, _noise(results.plan, search.cell, trials), _race(search, raced.get(search.cell.id, []), trials))
        for search in Searches.read(results.plan, ledger)
    ]


def _race(search: CellSearch, seeds: Iterable[list[dict[str, Any]]], trials: Iterable[Trial]) -> Race | None:
    """The race of a search, by the slots that it has noted, seed by seed: those of another search may look alike."""
    cell, best = search.cell, search.best()
    if not search.complete or not races(cell, best):
        return None
    points = {repr(one.params): one.number for one in best}
    ended = {trial.slot.id: trial for trial in trials if trial.body and trial.state not in OPEN}
    numbers: dict[Place, float | None] = {}
    for slot in (Slot(**body) for slots in seeds for body in slots):
        number, trial = points.get(repr(tried(cell, slot))), ended.get(slot.id)
        if number is not None and trial is not None:
            finished = trial.state == "finished"
            numbers[number, slot.seed] = search.values_of(trial.body)[0] if finished else None
    return race(cell, best, numbers)


def _noise(plan: Plan, cell: SearchedCell, trials: Iterable[Trial]) -> Noise | None:
    """Pooled over what was confirmed; by seeds other than the one that the search chose by, whose value is high because
    it was chosen."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for trial in trials:
        slot = trial.slot
        if (slot.stage, slot.pair, slot.recipe) != ("confirm", cell.pair, cell.recipe) or trial.state != "finished":
            continue
        if slot.seed != cell.seeds[0] and slot.label.startswith(cell.label):
            values[repr(slot.varied)][slot.seed] = merit([trial], plan.protocol)
    several = [list(some.values()) for some in values.values() if len(some) > 1]
    freedom = sum(len(some) - 1 for some in several)
    if not freedom:
        return None
    squares = sum((value - sum(some) / len(some)) ** 2 for some in several for value in some)
    return Noise(math.sqrt(squares / freedom), len({seed for some in values.values() for seed in some}))


# -- records ----------------------------------------------------------------------------------------------------------


def overview(study: Study) -> dict[str, Any]:
    """One flat record: how far a search is, and its best configuration."""
    cell, states = study.cell, Counter(asked.state for asked in study.search.asked)
    best = study.best
    return {
        "pair": cell.pair,
        "recipe": cell.recipe,
        "search": untuned(cell.label),
        "tried": f"{study.ended}/{cell.budget}",
        **{state: states[state] for state in ("finished", "pruned", "failed", "running")},
        **({"paused": states["paused"]} if cell.pauses else {}),
        "best": " ".join(f"{value:.6g}" for value in best.values) if best else "",
        "with": label("", best.params).strip() if best else "",
    }


def flat(study: Study) -> dict[str, Any]:
    """The same with what can be said in a cell of a table: epochs, importances, and what one more trial promises."""
    ahead, noise = study.outlook, study.noise
    return overview(study) | {
        "epochs": study.epochs,
        "importance": " ".join(f"{name}={share:.2f}" for name, share in study.importance.items()),
        "promises": _rounded(ahead.gain if ahead else None),
        "noise": _rounded(noise.deviation if noise else None),
    }


def alike(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of one kind with the same keys: where one search pauses trials, another has paused none."""
    keys = max(records, key=len, default={})
    return [{key: one.get(key, 0) for key in keys} for one in records]


def record(study: Study) -> dict[str, Any]:
    """Everything that is known of a search, as JSON has it; docs/specs.md says what is what."""
    ahead, noise = study.outlook, study.noise
    return overview(study) | {
        "sampler": study.cell.search["sampler"],
        "pruner": study.cell.search["pruner"],
        "metric": study.cell.search["metrics"][0],
        "learned": study.search.learned,
        "epochs": study.epochs,
        "best_so_far": [{"epochs": epochs, "best": _rounded(value)} for epochs, value in study.best_so_far],
        **({"pauses": [asdict(one) for one in looking_back.pauses(study.search)]} if study.cell.pauses else {}),
        "given_up": [_ground(one) for one in study.given_up()],
        "importance": {name: _rounded(share) for name, share in study.importance.items()},
        "promises": _rounded(ahead.gain if ahead else None),
        "promised_by": ahead.params if ahead else None,
        "promised_end": _end(ahead.end if ahead else None),
        "noise": _rounded(noise.deviation if noise else None),
        "noise_seeds": noise.seeds if noise else None,
        "race": _raced(study.race) if study.race else None,
    }


def _raced(race: Race) -> dict[str, Any]:
    left = [{"number": one.number, "params": one.params, "mean": _rounded(race.means[one.number])} for one in race.left]
    return {
        "over": not race.waits,
        "seeds": race.seeds,
        "of_seeds": race.of_seeds,
        "trials": len(race.asked),
        "saved": 0 if race.waits else race.saved,
        "left": left,
        "fallen": [_fell(one) for one in race.fallen],
    }


def _fell(one: Fallen) -> dict[str, Any]:
    number = {"number": one.chosen.number, "params": one.chosen.params}
    return number | {"seeds": one.seeds, "difference": _rounded(one.difference), "p": _rounded(one.p)}


def _ground(one: GivenUp) -> dict[str, Any]:
    weighed = one.weighed
    return {
        "number": one.number,
        "params": one.params,
        "epoch": one.epoch,
        "of_epochs": one.epochs,
        "value": _rounded(one.value),
        "bar": _rounded(one.bar),
        "end": _end(weighed.end if weighed else None),
        "gain_per_epoch": weighed.gain if weighed else None,
        "best_then": _rounded(weighed.best if weighed else None),
        "instead": weighed.instead if weighed else None,
        "instead_end": _end(weighed.instead_end if weighed else None),
        "instead_gain_per_epoch": weighed.promise if weighed else None,
    }


def _end(end: Sequence[float] | None) -> dict[str, float | None] | None:
    return None if end is None else {"mean": _rounded(end[0]), "deviation": _rounded(end[1])}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
