"""Several sweeps as one table, where they go together: rows of one sweep beside rows of another.

Seeds are paired across sweeps too: seed s is the same student, order and views wherever data set, recipe and protocol
are the same. Where they are not, the difference of two rows is not that of their methods, and no table is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.plan.labels import shown
from sweep.results.board import Leaderboard
from sweep.results.rows import Row
from sweep.results.significance import judged
from sweep.statistics.paired import mean, paired
from trainers.errors import InputError

Place = tuple[str, str, str]
"""Recipe, pair and label of a row."""


def together(boards: Sequence[Leaderboard]) -> Leaderboard:
    """One table of several; of one, that table.

    A row that several have with the same configuration and the same numbers stands once, with the seeds of all. Rows of
    one label that differ stand under the label with the sweep's name behind: ``kd (monday)``.

    Raises:
        InputError: where they do not go together, naming every disagreement.
    """
    first, *others = boards
    if not others:
        return first
    wrong = [line for other in others for line in disagreements(first, other)]
    if wrong:
        names = " and ".join(f"'{board.plan.name}'" for board in boards)
        raise InputError(f"{names} do not make one table:\n" + "\n".join(f"  {line}" for line in wrong))
    named = [_renamed(board, first) for board in boards]
    rows = _joined(named)
    label = first.baseline
    base = label if any(row.label == label for row in rows) else None
    base = base or next((row.label for row in rows if label and row.label.startswith(f"{label} (")), None)
    states = Counter[str]()
    for board in boards:
        states.update(board.states)
    plan = replace(first.plan, name=" + ".join(board.plan.name for board in boards))
    bases = {(row.recipe, row.pair): row.values for row in rows if row.label == base}
    rows = [replace(row, delta=_delta(row, bases, base)) for row in rows]
    teachers = {name: accuracy for board in reversed(named) for name, accuracy in board.teachers.items()}
    return Leaderboard(plan, tuple(judged(rows, base)), teachers, dict(states), base)


def _delta(row: Row, bases: Mapping[tuple[str, str], dict[int, float]], base: str | None) -> float | None:
    return None if row.label == base else mean(paired(row.values, bases.get((row.recipe, row.pair), {})))


def disagreements(first: Leaderboard, other: Leaderboard) -> list[str]:
    """Why two sweeps do not make one table, a line for each thing in which they differ; none where they do."""
    a, b = first.plan, other.plan

    def line(what: str, ours: object, theirs: object) -> str:
        return f"{what}: {ours} in '{a.name}', {theirs} in '{b.name}'"

    found = []
    if _data(first) != _data(other):
        found.append(line("data set", *_told(_data(first), _data(other))))
    if a.protocol != b.protocol:
        found.append(line("protocol", a.protocol, b.protocol))
    if sorted(a.seeds) != sorted(b.seeds):
        found.append(line("seeds", *(", ".join(map(str, sorted(plan.seeds))) for plan in (a, b))))
    return found + [line(f"recipe: {what}", ours, theirs) for what, ours, theirs in _recipes_apart(first, other)]


def _data(board: Leaderboard) -> dict[str, Any]:
    """The data set with its options and content, as the trials have it."""
    some = next((row.config["dataset"] for row in board.rows if row.config), None)
    return {"name": board.plan.dataset} | (some or {})


def _told(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[str, str]:
    """What is different of the two, by its name where that is."""
    if ours["name"] != theirs["name"]:
        return str(ours["name"]), str(theirs["name"])
    differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    told = (" ".join(f"{name}={shown(some.get(name))}" for name in differing) for some in (ours, theirs))
    return next(told), next(told)


def _recipes_apart(first: Leaderboard, other: Leaderboard) -> Iterator[tuple[str, str, str]]:
    """Fields in which the recipes of the same column differ, each once: name, value here, value there."""
    ours, theirs = _recipes(first), _recipes(_renamed(other, first))
    seen = set()
    for recipe, pair in ours.keys() & theirs.keys():
        a, b = ours[recipe, pair], theirs[recipe, pair]
        seen |= {(name, shown(a.get(name)), shown(b.get(name))) for name in {**a, **b} if a.get(name) != b.get(name)}
    names = sorted({recipe for recipe, _ in ours}), sorted({recipe for recipe, _ in theirs})
    if not set(names[0]) & set(names[1]):
        seen.add(("names", ", ".join(names[0]), ", ".join(names[1])))
    yield from sorted(seen)


def _recipes(board: Leaderboard) -> dict[tuple[str, str], dict[str, Any]]:
    """Each column's recipe: that of the first row which does not differ from it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in board.rows:
        if row.config and not row.recipe_differs:
            found.setdefault((row.recipe, row.pair), row.config["recipe"])
    return found


def _renamed(board: Leaderboard, first: Leaderboard) -> Leaderboard:
    """The table with the recipe called as in the first, where either has a single one."""
    theirs, ours = ({row.recipe for row in some.rows} for some in (board, first))
    if len(theirs) != 1 or len(ours) != 1:
        return board
    return replace(board, rows=tuple(replace(row, recipe=next(iter(ours))) for row in board.rows))


# -- rows ---------------------------------------------------------------------------------------------------------


def _joined(boards: Sequence[Leaderboard]) -> list[Row]:
    """The rows of all: those that are the same once, others of one label under names of their own."""
    labels = {label for label in {row.label for board in boards for row in board.rows} if _differ(boards, label)}
    rows: dict[Place, Row] = {}
    for board in boards:
        for row in board.rows:
            label = f"{row.label} ({board.plan.name})" if row.label in labels else row.label
            named, place = replace(row, label=label), (row.recipe, row.pair, label)
            rows[place] = _one(rows[place], named) if place in rows else named
    return list(rows.values())


def _one(row: Row, other: Row) -> Row:
    """A row that two sweeps have, with the seeds of both."""
    if not other.values:
        return row
    return replace(
        row,
        values=other.values | row.values,
        best=other.best | row.best,
        last=other.last | row.last,
        missing=row.missing if row.values else other.missing,
        config=row.config or other.config,
    )


def _differ(boards: Sequence[Leaderboard], label: str) -> bool:
    """Whether rows of a label are not the same in the sweeps that have them."""
    known: dict[tuple[str, str], Row] = {}
    for board in boards:
        for row in board.rows:
            if row.label == label:
                other = known.setdefault((row.recipe, row.pair), row)
                if not _same(row, other):
                    return True
    return False


def _same(row: Row, other: Row) -> bool:
    """Whether two rows are of one configuration, with equal numbers where they have the same seeds."""
    configs = [{name: of.config.get(name) for name in ("model", "method", "code", "recipe")} for of in (row, other)]
    equal = all(row.values[seed] == other.values[seed] for seed in row.values.keys() & other.values.keys())
    return equal and (configs[0] == configs[1] or not row.config or not other.config)


def other_teachers(boards: Sequence[Leaderboard]) -> list[str]:
    """Teachers of one name that are not the same network in all sweeps, by their accuracy: a sentence for each."""
    told = []
    for name in dict.fromkeys(name for board in boards for name in board.teachers):
        known = {board.plan.name: board.teachers[name] for board in boards if name in board.teachers}
        if len(set(known.values())) > 1:
            where = ", ".join(f"{accuracy:.2f} % in '{sweep}'" for sweep, accuracy in known.items())
            told.append(f"teacher {name} is not the same in all: {where}")
    return told
