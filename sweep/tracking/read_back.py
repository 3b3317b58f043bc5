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
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sweep.plan.labels import TUNED, student_of
from sweep.plan.slots import Plan, SearchedCell, Slot, Stage
from sweep.results.read import Results, Searched, Trial, trained_teachers
from sweep.results.rows import won_by
from sweep.text import first_line, without_password
from sweep.tracking.address import quiet_mlflow
from sweep.tracking.run_content import CHOSEN, ORDER, PARENT, PLACES, row_key
from sweep.tracking.server import PATIENCE_SECONDS, Tracked, served, stored
from trainers.errors import InputError, StorageError

NO_HYPERPARAMETERS = (*PLACES, "dataset", "teacher_hash")
"""Parameters of a run that are its place; the last two are tags by now, but servers have them of older sweeps."""
STAGES: dict[str, Stage] = {"teacher": "teacher", "search": "search", "confirm": "confirm"}


def read(name: str | None, uri: str) -> Results:
    """The results of a sweep as a server has them.

    Args:
        name: of the sweep; None for the one that was started last.
        uri: of the server, or of its database.

    Raises:
        InputError: when the server knows no such sweep.
        StorageError: when it does not answer.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(PATIENCE_SECONDS))
    quiet_mlflow()
    try:
        runs = (served if uri.startswith("http") else stored)(name, uri)
    except Exception as error:  # whatever MLflow, its store or the network raise
        why = first_line(error, without_password)
        raise StorageError(f"MLflow at {without_password(uri)} does not answer ({why}); try again later") from error
    if not runs:
        raise InputError(f"MLflow at {without_password(uri)} knows no sweep{f' {name!r}' if name else ''}")
    return results(runs)


def results(runs: Iterable[Tracked]) -> Results:
    """The results that a sweep's runs tell, in the plan's order; what it dropped comes last, as it was started."""
    started = sorted(runs, key=lambda run: (run.started, run.tags["sweep.key"]))
    parent = next(run for run in started if run.tags["sweep.key"] == PARENT)
    found = [_trial(run) for run in started if run is not parent]
    chosen = [json.loads(value) for tag, value in parent.tags.items() if tag.startswith(CHOSEN)]
    cells = [SearchedCell(**one["cell"]) for one in chosen]
    place = _places(parent, cells, chosen)
    cells = sorted(cells, key=lambda cell: (place(cell), cell.name))
    found = sorted(_shared(_varied(_confirmed(found, cells, chosen), cells)), key=lambda trial: place(trial.slot))
    plan = _plan(parent, found, cells)
    searches = {one["cell"]["id"]: _searched(one) for one in chosen}
    return Results(plan, found, searches, trained_teachers(found))


def _places(
    parent: Tracked, cells: list[SearchedCell], chosen: list[dict[str, Any]]
) -> Callable[[Slot | SearchedCell], tuple[int, int]]:
    """Where a row stands in the table. What a search has won stands in the search's place, best first."""
    tags = sorted((int(tag.removeprefix(ORDER)), keys) for tag, keys in parent.tags.items() if tag.startswith(ORDER))
    rows = dict.fromkeys(key for _, keys in tags for key in keys.split())
    places = {key: (number, 0) for number, key in enumerate(rows)}
    last = (len(places), 0)
    for cell, one in zip(cells, chosen, strict=True):
        its, _ = places.get(row_key(cell), last)
        for rank, won in enumerate(one["chosen"]):
            places.setdefault(row_key(replace(cell, label=won["label"])), (its, rank))
    return lambda row: places.get(row_key(row), last)


def _plan(parent: Tracked, found: list[Trial], cells: list[SearchedCell]) -> Plan:
    tags = parent.tags
    return Plan(
        name=tags["sweep.name"],
        description="",
        dataset=tags["dataset"],
        protocol="paper" if tags["protocol"] == "paper" else "validation",
        baseline=tags["baseline"],
        compute={},
        slots=tuple(trial.slot for trial in found if trial.slot.stage != "search" and TUNED not in trial.slot.label),
        cells=tuple(cells),
        seeds=tuple(cells[0].seeds) if cells else (),
    )


def _searched(one: dict[str, Any]) -> Searched:
    return Searched(sum(one["states"].values()), one["states"], tuple(one["chosen"]), ended=True)


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
    return Trial(slot, key, tags["state"], _body(tags["state"], run.metrics), 0)


def _body(state: str, metrics: dict[str, float]) -> dict[str, Any]:
    """The final event's numbers, as far as the table reads them."""
    if state != "finished":
        return {}
    best = metrics["best_test_acc"]
    last = metrics.get("test_acc", best)  # a stored teacher has no epochs here
    return {"last": {"test_acc": last, "val_acc": metrics.get("val_acc")}, "best": {"test_acc": best}}


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


def _confirmed(found: list[Trial], cells: list[SearchedCell], chosen: list[dict[str, Any]]) -> list[Trial]:
    """The trials, and once more those search trials that count for a tuned row: a search's seed is one of its seeds."""
    by_key = {trial.key: trial for trial in found}
    by_id = {cell.id: cell for cell in cells}
    again = []
    for one in chosen:
        for won in one["chosen"]:
            trial = by_key.get(won["key"])
            if trial is not None and trial.slot.stage == "search":
                varied = by_id[one["cell"]["id"]].varied | won["params"]
                slot = replace(trial.slot, stage="confirm", label=won["label"], varied=varied)
                again.append(replace(trial, slot=slot))
    return [*found, *again]


def _varied(found: list[Trial], cells: list[SearchedCell]) -> list[Trial]:
    """The trials with the hyperparameters in which they differ: those of a search, or of the other rows of a method."""
    groups: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in found:
        groups.setdefault((trial.slot.recipe, trial.slot.pair, trial.slot.method), []).append(trial)
    names = {place: _differing(some) for place, some in groups.items()}

    def of(slot: Slot) -> list[str]:
        cell = next((cell for cell in cells if slot.stage == "confirm" and won_by(cell, slot)), None)
        return [*cell.varied, *cell.space] if cell else names[slot.recipe, slot.pair, slot.method]

    return [
        replace(trial, slot=replace(trial.slot, varied={name: _at(trial.slot, name) for name in of(trial.slot)}))
        for trial in found
    ]


def _at(slot: Slot, name: str) -> Any:
    """A hyperparameter's value; those of the recipe are named ``recipe.lr``."""
    place = slot.config["recipe"] if name.startswith("recipe.") else slot.config["method"]["params"]
    return place.get(name.removeprefix("recipe."))


def _differing(some: list[Trial]) -> list[str]:
    """Hyperparameters in which the rows that were not searched differ."""
    points = [
        trial.slot.config["method"]["params"]
        for trial in some
        if trial.slot.stage == "confirm" and TUNED not in trial.slot.label
    ]
    return sorted(name for name in (points or [{}])[0] if any(one.get(name) != points[0][name] for one in points))


def _shared(found: list[Trial]) -> list[Trial]:
    """The trials, and once more those without a teacher under every other pair of the same student.

    Such a trial runs once, under the pair that came first. A pair that brings a recipe of its own has its own.
    """
    students = dict.fromkeys(trial.slot.pair for trial in found if trial.slot.stage == "confirm")
    there = {(trial.slot.recipe, trial.slot.pair, trial.slot.label, trial.slot.seed) for trial in found}
    more = []
    for trial in found:
        slot = trial.slot
        for pair in students if slot.method == "scratch" and slot.stage == "confirm" else ():
            same = student_of(pair) == student_of(slot.pair)
            if same and (slot.recipe, pair, slot.label, slot.seed) not in there:
                more.append(replace(trial, slot=replace(slot, pair=pair)))
    return [*found, *more]
