"""The results of a sweep that ran elsewhere, read back from the MLflow server that it was tracked on.

What :mod:`sweep.tracking.projector` wrote there becomes the same :class:`~sweep.results.read.Results` that the ledger
gives. The runs tell of every trial that was ever started under this sweep, planned still or not; of trials that were
not started, and of searches that go on, they do not. Only tags, parameters and last metrics are asked for, in pages; no
curve is read.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, Literal

from sweep.plan.labels import TUNED, student_of
from sweep.plan.slots import Plan, SearchedCell, Slot, Stage
from sweep.results.read import Results, Searched, Trial, trained_teachers
from sweep.results.rows import won_by
from sweep.text import without_password
from sweep.tracking.address import quiet_mlflow
from sweep.tracking.long_values import joined
from sweep.tracking.run_content import (
    CHOSEN,
    MADE_WITH,
    ORDER,
    PARENT,
    PLACES,
    both_told,
    row_key,
    table_told,
    taken_told,
)
from sweep.tracking.server import PATIENCE_SECONDS, Tracked, served, stored
from sweep.tracking.trouble import stopped
from trainers.errors import InputError

NO_HYPERPARAMETERS = (*PLACES, "dataset", "teacher_hash")
"""Parameters of a run that are its place; the last two are tags by now, but servers have them of older sweeps."""
PLAN = {"sweep.name", "dataset", "protocol", "baseline"}
"""Tags of the parent run that has been told its plan."""
PLACE = {"stage", "pair", "method", "label", "recipe", "seed", "state"}
"""Tags of every other run."""
STAGES: dict[str, Stage] = {"teacher": "teacher", "search": "search", "race": "race", "confirm": "confirm"}
Part = Literal["teacher", "tried", "fixed", "tuned"]
"""What a trial is in its sweep: a teacher; a search's; one of a row that nobody searched for; one that counts for a
row that a search has won, with a seed of its own or as the search's own trial."""


@dataclass(frozen=True)
class _Search:
    """A search that has come to its end, as a tag of the parent run tells of it."""

    cell: SearchedCell
    searched: Searched
    """Of each winner also `key`, that of the search's trial, and `label`, that of its row."""


@dataclass(frozen=True)
class _Member:
    """A trial that the server tells of, and what it is in the sweep."""

    trial: Trial
    part: Part
    cell: SearchedCell | None = None
    """Of a tuned one what was searched, where its search is known."""

    def as_slot(self, **changes: Any) -> _Member:
        """The same with other fields of its slot."""
        return replace(self, trial=replace(self.trial, slot=replace(self.trial.slot, **changes)))


def read(name: str | None, uri: str) -> Results:
    """The results of a sweep as a server has them.

    Args:
        name: of the sweep; None for the one that was started last.
        uri: of the server, or of its database.

    Raises:
        InputError: when the server knows no such sweep, or was not told its plan yet.
        StorageError: when it does not answer, or lets nobody in.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(PATIENCE_SECONDS))
    quiet_mlflow()
    try:
        runs = (served if uri.startswith("http") else stored)(name, uri)
    except Exception as error:  # whatever MLflow, its store or the network raise
        raise stopped(uri, error) from error
    if not runs:
        raise InputError(f"MLflow at {without_password(uri)} knows no sweep{f' {name!r}' if name else ''}")
    if not any(run.tags.keys() >= PLAN for run in runs):
        raise InputError(
            f"MLflow at {without_password(uri)} was not told the plan of this sweep yet; sweep sync {name or 'NAME'},"
            " on the machine that runs it, delivers what is missing"
        )
    return results(runs)


def results(runs: Iterable[Tracked]) -> Results:
    """The results that a sweep's runs tell, in the plan's order; what it dropped comes last, as it was started.

    A run that was only just made, and has not been told what it is of, is left out; of several of one trial the one
    that was told most is read.
    """
    whole = [replace(run, tags=joined(run.tags), params=joined(run.params)) for run in runs]
    by_key = {run.tags["sweep.key"]: run for run in sorted(whole, key=_fullness) if _is_told(run)}
    started = sorted(by_key.values(), key=lambda run: (run.started, run.tags["sweep.key"]))
    parent = by_key[PARENT]
    searches = [_search(value) for tag, value in parent.tags.items() if tag.startswith(CHOSEN)]
    place = _places(parent, searches)
    cells = sorted((search.cell for search in searches), key=lambda cell: (place(cell), cell.name))
    members = [_member(_trial(run), cells) for run in started if run is not parent]
    members += _winners(members, searches, cells)
    members += _students_too(members, both_told(parent.tags))
    members = sorted(_shared(_varied(members)), key=lambda member: place(member.trial.slot))
    trials = [member.trial for member in members]
    searched = {search.cell.id: search.searched for search in searches}
    return Results(_plan(parent, members, cells), trials, searched, trained_teachers(trials))


def _is_told(run: Tracked) -> bool:
    """Whether a run says what it is of."""
    if run.tags["sweep.key"] == PARENT:
        return run.tags.keys() >= PLAN
    return run.tags.keys() >= PLACE and {"model", "method"} <= run.params.keys()


def _fullness(run: Tracked) -> tuple[bool, int]:
    """How much a run was told: whether its trial has ended, and how much it holds."""
    return run.tags.get("state") != "running", len(run.tags) + len(run.params) + len(run.metrics)


# -- the searches and the plan, from the parent run's tags ------------------------------------------------------------


def _search(tag: str) -> _Search:
    """A search from the tag's value, which :meth:`sweep.tracking.delivery.Delivery._won` makes."""
    content = json.loads(tag)
    states = content["states"]
    searched = Searched(
        sum(states.values()), states, tuple(content["chosen"]), ended=True, race=content.get("race", {})
    )
    return _Search(SearchedCell(**content["cell"]), searched)


def _places(parent: Tracked, searches: list[_Search]) -> Callable[[Slot | SearchedCell], tuple[int, int]]:
    """Where a row stands in the table. What a search has won stands in the search's place, best first."""
    tags = sorted((int(tag.removeprefix(ORDER)), keys) for tag, keys in parent.tags.items() if tag.startswith(ORDER))
    rows = dict.fromkeys(key for _, keys in tags for key in keys.split())
    places = {key: (number, 0) for number, key in enumerate(rows)}
    last = (len(places), 0)
    for search in searches:
        for place, (rank, winner) in product(search.cell.places, enumerate(search.searched.chosen)):
            its, _ = places.get(row_key(place), last)
            row = replace(search.cell, pair=place.pair, label=winner["label"])  # as :func:`_shared` has it there
            places.setdefault(row_key(row), (its, rank))
    return lambda row: places.get(row_key(row), last)


def _plan(parent: Tracked, members: list[_Member], cells: list[SearchedCell]) -> Plan:
    tags = parent.tags
    return Plan(
        name=tags["sweep.name"],
        description="",
        dataset=tags["dataset"],
        protocol="paper" if tags["protocol"] == "paper" else "validation",
        baseline=tags["baseline"],
        compute={},
        slots=tuple(member.trial.slot for member in members if member.part in ("teacher", "fixed")),
        cells=tuple(cells),
        seeds=tuple(cells[0].seeds) if cells else (),
        table=table_told(tags),
    )


# -- the trials, each from its run ------------------------------------------------------------------------------------


def _trial(run: Tracked) -> Trial:
    tags, key = run.tags, run.tags["sweep.key"]
    slot = Slot(
        id=key,
        stage=STAGES[tags["stage"]],
        pair=tags["pair"],
        method=tags["method"],
        label=tags["label"],
        varied={},
        recipe=tags["recipe"],
        seed=int(tags["seed"]),
        config=config(run.params),
    )
    body = _body(tags, run.metrics)
    untold = tags["state"] == "finished" and not body  # its numbers are still on their way, or were refused
    return Trial(slot, key, "running" if untold else tags["state"], body, 0)


def _body(tags: dict[str, str], metrics: dict[str, float]) -> dict[str, Any]:
    """What the final event says, as far as the table reads it."""
    if tags["state"] != "finished" or "best_test_acc" not in metrics:
        return {}
    best = metrics["best_test_acc"]
    last = metrics.get("test_acc", best)  # a stored teacher has no epochs here
    releases = {name.removeprefix(MADE_WITH): tag for name, tag in tags.items() if name.startswith(MADE_WITH)}
    numbers: dict[str, Any] = {
        "last": {"test_acc": last, "val_acc": metrics.get("val_acc")},
        "best": {"test_acc": best},
    }
    if tags["stage"] == "teacher" and not releases:
        numbers["epochs"] = 0  # a stored teacher: only its passport was told
    return numbers | {"made_with": releases} | taken_told(tags)


def config(params: dict[str, str]) -> dict[str, Any]:
    """A trial's config back from its flat parameters, without teacher and data; see :func:`run_content.parameters`."""
    values = {name: value_of(text) for name, text in sorted(params.items())}
    recipe = {name.removeprefix("recipe."): value for name, value in values.items() if name.startswith("recipe.")}
    own = {
        name: value
        for name, value in values.items()
        if name not in NO_HYPERPARAMETERS and not name.startswith("recipe.")
    }
    return {"model": params["model"], "method": {"name": params["method"], "params": own}, "recipe": recipe}


@lru_cache(maxsize=4096)
def value_of(text: str) -> Any:
    """A parameter's value: numbers, lists, true, false and null back from Python's notation, text as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# -- what the trials are in the sweep ----------------------------------------------------------------------------------


def _member(trial: Trial, cells: list[SearchedCell]) -> _Member:
    """A trial with what its place in the sweep says that it is."""
    slot = trial.slot
    if slot.stage == "teacher":
        return _Member(trial, "teacher")
    if slot.stage in ("search", "race"):
        return _Member(trial, "tried")
    if TUNED not in slot.label:
        return _Member(trial, "fixed")
    return _Member(trial, "tuned", next((cell for cell in cells if won_by(cell, slot)), None))


def _winners(members: list[_Member], searches: list[_Search], cells: list[SearchedCell]) -> list[_Member]:
    """Those search trials that count for a tuned row, as that row's: a search's seed is one of its seeds."""
    tried = {member.trial.key: member for member in members if member.part == "tried"}
    won = [winner for search in searches for winner in search.searched.chosen if winner["key"] in tried]
    again = [tried[winner["key"]].as_slot(stage="confirm", label=winner["label"]) for winner in won]
    return [_member(member.trial, cells) for member in again]


def _students_too(members: list[_Member], both: dict[str, list[dict[str, str]]]) -> list[_Member]:
    """Teachers that are students of the table as well, once more as these."""
    found = [(member, place) for member in members for place in both.get(member.trial.key or "", ())]
    return [replace(member.as_slot(stage="confirm", **place), part="fixed") for member, place in found]


def _varied(members: list[_Member]) -> list[_Member]:
    """The trials with the hyperparameters in which they differ: those of a search, or of the other rows of a method."""
    methods: dict[tuple[str, str, str], list[_Member]] = {}
    for member in members:
        methods.setdefault(_method(member.trial.slot), []).append(member)
    names = {method: _differing(some) for method, some in methods.items()}

    def varied(member: _Member) -> dict[str, Any]:
        slot, cell = member.trial.slot, member.cell
        return {name: _at(slot, name) for name in ([*cell.varied, *cell.space] if cell else names[_method(slot)])}

    return [member.as_slot(varied=varied(member)) for member in members]


def _method(slot: Slot) -> tuple[str, str, str]:
    """The square of the table that a trial stands in."""
    return slot.recipe, slot.pair, slot.method


def _at(slot: Slot, name: str) -> Any:
    """A hyperparameter's value; those of the recipe are named ``recipe.lr``."""
    place = slot.config["recipe"] if name.startswith("recipe.") else slot.config["method"]["params"]
    return place.get(name.removeprefix("recipe."))


def _differing(some: list[_Member]) -> list[str]:
    """Hyperparameters in which the rows that were not searched differ."""
    points = [member.trial.slot.config["method"]["params"] for member in some if member.part == "fixed"]
    first = points[0] if points else {}
    return sorted(name for name in first if any(point.get(name) != first[name] for point in points))


def _shared(members: list[_Member]) -> list[_Member]:
    """The trials, and once more those without a teacher under every other pair of the same student.

    Such a trial runs once, under the pair that came first. A pair that brings a recipe of its own has its own.
    """
    rows = [member for member in members if member.part in ("fixed", "tuned")]
    pairs = dict.fromkeys(member.trial.slot.pair for member in rows)
    slots = [member.trial.slot for member in members]
    there = {(slot.recipe, slot.pair, slot.label, slot.seed) for slot in slots}
    more = []
    for member in rows:
        slot = member.trial.slot
        for pair in pairs if slot.method == "scratch" else ():
            same = student_of(pair) == student_of(slot.pair)
            if same and (slot.recipe, pair, slot.label, slot.seed) not in there:
                more.append(member.as_slot(pair=pair))
    return [*members, *more]
