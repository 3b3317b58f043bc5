"""The rows of the leaderboard: one configuration under one pair, its mean over seeds, and the difference it makes."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sweep.plan.labels import label
from sweep.plan.slots import Plan, SearchedCell, Slot
from sweep.results.read import Results, Searched, Trial, merit
from sweep.statistics.paired import deviation
from sweep.text import counted, signed

Shown = Literal["best", "last"]
"""Which epoch's test accuracy is the number shown."""
MOST_TIED = 3
"""Configurations of a race that are named."""
Standing = Literal["best", "tied", "worse", ""]
"""Beside the others of its column; see :mod:`sweep.results.significance`. Empty where nothing could be tested."""


@dataclass(frozen=True)
class Row:
    """One configuration under one pair: a row of the leaderboard."""

    recipe: str
    pair: str
    method: str
    label: str
    varied: dict[str, Any]
    """The hyperparameters in which the sweep's rows of the method differ, and those that a search has chosen."""
    values: dict[int, float]
    """Shown accuracy by seed, in percent."""
    best: dict[int, float]
    """Test accuracy of the best epoch by seed."""
    last: dict[int, float]
    """Test accuracy of the last epoch by seed."""
    delta: float | None
    """Mean difference to the baseline over common seeds; None for the baseline and where there is none."""
    missing: dict[str, int]
    """Trials that gave no number, by state."""
    tuned: str = ""
    """How the hyperparameters were found, where a search found them: ``w2=3.2, the best of 20 (4 pruned)``."""
    budget: int = 0
    """Configurations that the search tried to find them, or may try; 0 where nothing was searched."""
    none_won: bool = False
    """Whether the search's best have raced and all broke off, so that the search alone has chosen."""
    config: dict[str, Any] = field(default_factory=dict)
    """The config that its trials share: the content of :class:`~trainers.config.TrialConfig`; empty where there is
    none yet."""
    recipe_differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Recipe fields in which it differs from its column: its value, and the column's."""
    standing: Standing = ""
    made_with: tuple[str, ...] = ()
    """What its finished trials were trained with, where that is not the same: ``torch 2.11.0``, ``torch 2.15.0``."""
    p_best: float | None = None
    """Of the test against the column's highest mean, corrected; None for that row, and where no test was made."""
    p_delta: float | None = None
    """Of the test against the baseline, corrected."""

    @property
    def mean(self) -> float | None:
        """Over seeds, percent; None where no seed has a number."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return deviation(self.values.values())

    def shown(self, decimals: int = 2) -> str:
        """``95.13 ± 0.67 (3)``."""
        if self.mean is None:
            return "–"
        spread = f" ± {self.std:.{decimals}f}" if self.std is not None else ""
        return f"{self.mean:.{decimals}f}{spread} ({len(self.values)})"

    def shown_delta(self, decimals: int = 2) -> str:
        """``+0.50`` or ``−0.50``; empty where there is no difference to tell."""
        return "" if self.delta is None else signed(self.delta, decimals)


def shown_epoch(plan: Plan) -> Shown:
    """The best test epoch under the papers' protocol, the last epoch otherwise."""
    return "best" if plan.protocol == "paper" else "last"


def baseline(plan: Plan) -> str | None:
    """The label of the first row of the baseline method; of a tuned one where there is no other."""
    planned: tuple[Slot | SearchedCell, ...] = (*plan.students, *plan.cells)
    return next((row.label for row in planned if row.method == plan.baseline), None)


def won_by(cell: SearchedCell, row: Row | Slot) -> bool:
    """Whether a row, or a slot of its trials, is what the search of a cell has won.

    Such a row stands under the cell's own label; on a Pareto front, where each has a row of its own, its values follow.
    """
    same = (row.recipe, row.pair, row.method) == (cell.recipe, cell.pair, cell.method)
    return same and (row.label == cell.label or row.label.startswith(f"{cell.label} "))


def searched_with(cells: Iterable[SearchedCell], slot: Slot) -> bool:
    """Whether a slot of what a search has won is the very trial in which it was tried.

    A configuration that was chosen for its number with that seed has a number there that the choice has made too good.
    Where it is run again with others, its row is made of those alone.
    """
    return any(len(cell.seeds) > 1 and slot.seed == cell.seeds[0] and won_by(cell, slot) for cell in cells)


def rows(results: Results, base: str | None) -> list[Row]:
    """All rows, in the plan's order, those of unfinished searches last.

    Args:
        results: of the sweep.
        base: label of the baseline; see :func:`baseline`.
    """
    plan = results.plan
    cells: dict[tuple[str, str], list[SearchedCell]] = {}
    for cell in plan.searched:
        cells.setdefault((cell.pair, cell.method), []).append(cell)
    groups: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in results.trials:
        slot = trial.slot
        if slot.stage == "confirm" and not searched_with(cells.get((slot.pair, slot.method), ()), slot):
            groups.setdefault((trial.slot.recipe, trial.slot.label, trial.slot.pair), []).append(trial)
    groups = {group: _best_of(members, plan.protocol) for group, members in groups.items()}
    values = {group: _by_seed(members, shown_epoch(plan)) for group, members in groups.items()}
    confirmed = [
        _row(members, values[group], values.get((group[0], base or "", group[2]), {}), is_base=group[1] == base)
        for group, members in groups.items()
    ]
    return _with_recipes(_with_findings(results, confirmed), base)


def _best_of(members: list[Trial], protocol: str) -> list[Trial]:
    """The trials of one configuration: where a search has confirmed several, of the one that its metric prefers.

    They are compared over the seeds that all have finished, and one that lacks a seed which others have is none of
    them: of fewer seeds a lucky one would win.
    """
    by_params: dict[str, list[Trial]] = {}
    for trial in members:
        by_params.setdefault(json.dumps(trial.slot.varied, sort_keys=True), []).append(trial)
    seeds = {params: {t.slot.seed for t in some if t.state == "finished"} for params, some in by_params.items()}
    most = max(len(own) for own in seeds.values())
    whole = [params for params in by_params if len(seeds[params]) == most]
    common = set.intersection(*(seeds[params] for params in whole))

    def preferred(params: str) -> float:
        return merit([t for t in by_params[params] if not common or t.slot.seed in common], protocol)

    return by_params[max(whole, key=preferred)]


def _by_seed(members: list[Trial], which: Shown) -> dict[int, float]:
    return {trial.slot.seed: trial.body[which]["test_acc"] for trial in members if trial.state == "finished"}


def _row(members: list[Trial], values: dict[int, float], base: dict[int, float], is_base: bool) -> Row:
    slot = members[0].slot
    common = values.keys() & base.keys()
    delta = statistics.fmean(values[seed] - base[seed] for seed in sorted(common)) if common and not is_base else None
    return Row(
        recipe=slot.recipe,
        pair=slot.pair,
        method=slot.method,
        label=slot.label,
        varied=slot.varied,
        values=values,
        best=_by_seed(members, "best"),
        last=_by_seed(members, "last"),
        delta=delta,
        missing=dict(Counter(trial.state for trial in members if trial.state != "finished")),
        config=slot.config,
        made_with=_made_with(members),
    )


def _made_with(members: list[Trial]) -> tuple[str, ...]:
    """The releases in which finished trials differ, each combination once; none where they do not differ. What is known
    by a teacher's passport alone tells of none, and is left out."""
    trained = [trial for trial in members if trial.state == "finished" and trial.body.get("epochs") != 0]
    noted = [trial.body.get("made_with", {}) for trial in trained]
    names = dict.fromkeys(name for releases in noted for name in releases)
    differing = [name for name in names if len({releases.get(name) for releases in noted}) > 1]
    told = (", ".join(f"{name} {releases.get(name, 'not noted')}" for name in differing) for releases in noted)
    return tuple(dict.fromkeys(told)) if differing else ()


def _with_findings(results: Results, confirmed: list[Row]) -> list[Row]:
    """The rows, those of searches with what was found; a search that goes on has a row without a number."""
    told = list(confirmed)
    for cell in results.plan.searched:
        search = results.searches[cell.id]
        won = [place for place, row in enumerate(confirmed) if search.ended and won_by(cell, row)]
        for place in won:
            finding = _finding(cell, told[place], search)
            budget = sum(search.states.values())
            told[place] = replace(told[place], tuned=finding, budget=budget, none_won=_none_won(search.race))
        if not won:
            told.append(_empty(cell, search))
    return told


def _empty(cell: SearchedCell, search: Searched) -> Row:
    """The row of a search that has won nothing yet."""
    left = max(cell.budget - search.asked, 0)
    state = "racing" if search.racing else "nothing found" if search.ended else "searching"
    missing = {"to try": left} if left else {state: 1}
    place = (cell.recipe, cell.pair, cell.method, cell.label, cell.varied)
    return Row(*place, values={}, best={}, last={}, delta=None, missing=missing, budget=cell.budget)


def _with_recipes(rows: list[Row], base: str | None) -> list[Row]:
    """The rows, those marked whose recipe differs from that of their column: its baseline's, or else its first row's.

    A search may choose recipe fields; a pair's own values are its column's.
    """
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row.label != base):
        if row.config:
            columns.setdefault((row.recipe, row.pair), row.config["recipe"])
    return [replace(row, recipe_differs=_differing(row, columns.get((row.recipe, row.pair), {}))) for row in rows]


def _differing(row: Row, column: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    ours = row.config.get("recipe", {})
    return {
        name: (value, column[name]) for name, value in sorted(ours.items()) if name in column and value != column[name]
    }


def _finding(cell: SearchedCell, row: Row, search: Searched) -> str:
    """``w2=3.2 k=5, the best of 20 (4 pruned)``."""
    values = {name: value for name, value in row.varied.items() if name in cell.space}
    states = search.states
    if len(cell.search["metrics"]) > 1:
        reached = next(won["values"] for won in search.chosen if won["params"] == values)
        named = ", ".join(
            f"{metric} {value:.6g}" for metric, value in zip(cell.search["metrics"], reached, strict=True)
        )
        return f"{named}; on the Pareto front of {sum(states.values())}"
    other = ", ".join(f"{states[state]} {state}" for state in ("pruned", "failed") if states.get(state))
    found = f"{label('', values).strip()}, the best of {sum(states.values())}" + (f" ({other})" if other else "")
    return f"{found}; {raced(search.race)}" if search.race else found


def raced(race: Mapping[str, Any]) -> str:
    """How a race went: ``ahead of 3 others in a race over 5 seeds, not told apart from w2=2 k=3 (17 trials, 3 saved)``.

    Those that broke off are not among the others: ``ahead of 1 other in a race over 5 seeds, in which 2 broke off, …``.

    Args:
        race: as :func:`sweep.search.racing.outcome` has it.
    """
    contestants, tied, broke = race["contestants"], race["tied"], race.get("broke_off", 0)
    seeds, others = counted(race["seeds"], "seed"), contestants - 1 - broke
    if _none_won(race):
        all_of = "both" if contestants == 2 else f"all {contestants}"
        return f"{all_of} that raced broke off within {seeds}, so none has won ({race['trials']} trials)"
    if others:
        ahead = f"ahead of {counted(others, 'other')} in a race over {seeds}"
        head = f"{ahead}, in which {broke} broke off" if broke else ahead
        told = f"{head}, {_tied(tied) if tied else 'and the only one left'}"
    else:
        rest = "the other" if contestants == 2 else "the others"
        told = f"the only one left of {contestants} in a race over {seeds}, in which {rest} broke off"
    return f"{told} ({race['trials']} trials, {race['saved']} saved)"


def _none_won(race: Mapping[str, Any]) -> bool:
    return bool(race) and race.get("broke_off", 0) == race["contestants"]


def _tied(tied: Sequence[dict[str, Any]]) -> str:
    named = " and ".join(label("", params).strip() for params in tied[:MOST_TIED])
    more = f" and {len(tied) - MOST_TIED} more" if len(tied) > MOST_TIED else ""
    return f"not told apart from {named}{more}"
