"""Which student is meant: the trial at a place of the table, or, where that is left open, the one that does best.

What is left open is chosen by what may choose under the sweep's protocol (:func:`sweep.results.read.merit`), as the
best students in MLflow and in packs are: validation accuracy after the last epoch, mean over a row's seeds, and of the
row the seed with the highest. Test accuracy chooses no seed, under no protocol: the seed that its own number has picked
has a number that is too good, and is no better for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sweep.plan.labels import ARROW
from sweep.plan.slots import Plan
from sweep.results.board import board_of
from sweep.results.read import Results, Trial, merit
from sweep.results.rows import searched_with
from sweep.results.significance import highest
from sweep.terminal import spelt
from trainers.errors import InputError, unknown_name


@dataclass(frozen=True)
class Choice:
    """A trial, and why it is the one."""

    trial: Trial
    why: tuple[str, ...] = ()
    """Of what was left open, a sentence each."""


def chosen(trials: Iterable[Trial], pair: str, method: str, seed: int, recipe: str | None) -> Trial:
    """The finished trial of that place in the table.

    Args:
        trials: a sweep's.
        pair: as the table names it, or as a spec does (``resnet20 -> resnet8``).
        method: a row's label, or a method with one row under the pair.
        seed: one of the sweep's.
        recipe: as the table names it; None where the sweep has one.

    Raises:
        InputError: where there is no such trial, there are several, or it has not finished.
    """
    (trial,) = _only("seed", str(seed), row_at(trials, pair, method, recipe), lambda trial: str(trial.slot.seed))[:1]
    if trial.state != "finished":
        reason = trial.body.get("reason")
        raise InputError(f"{trial.slot.name} is {trial.state}{f': {reason}' if reason else ''}; it has no student")
    return trial


def row_at(trials: Iterable[Trial], pair: str, method: str, recipe: str | None) -> list[Trial]:
    """The trials of one row under a pair, one for each seed. Raises InputError where there is no such row, or several
    are meant."""
    some = _under(trials, pair, recipe)
    rows = [trial for trial in some if _is_called(trial.slot.row, method)]
    if not rows:
        rows = [trial for trial in some if trial.slot.method == method]
    if not rows:
        raise InputError(unknown_name("row", method, {name for trial in some for name in _names(trial)}))
    some = rows
    several = list(dict.fromkeys((trial.slot.row, trial.slot.recipe) for trial in some))
    if len({row for row, _ in several}) > 1:
        raise InputError(f"'{method}' has several rows; name one of them: {', '.join(repr(row) for row, _ in several)}")
    if len(several) > 1:
        raise InputError(f"'{method}' has several recipes; name one: {', '.join(repr(name) for _, name in several)}")
    return some


def choose(
    results: Results, pair: str, method: str | None = None, seed: int | None = None, recipe: str | None = None
) -> Choice:
    """The student of a pair: what is named, and of what is not, the best.

    Args:
        results: of the sweep.
        pair: as the table names it, or as a spec does.
        method: a row's label, or a method with one row; None for the best row of the pair.
        seed: one of the sweep's; None for the row's best by validation, or its first where nothing was held out.
        recipe: as the table names it; None where the sweep has one.

    Raises:
        InputError: as :func:`chosen`, and where nothing of the pair, or of the row, has finished.
    """
    why: list[str] = []
    if method is None:
        members, reason = _best_row(results, _rows(_under(results.trials, pair, recipe)))
        why.append(reason)
    else:
        members = row_at(results.trials, pair, method, recipe)
    slot = members[0].slot
    if seed is None:
        trial, reason = _best_seed(results.plan, members)
        return Choice(trial, (*why, reason))
    return Choice(chosen(results.trials, slot.pair, slot.row, seed, slot.recipe), tuple(why))


def counted(plan: Plan, members: Sequence[Trial]) -> list[Trial]:
    """Of a row's trials those that have finished, without the one in which a search has tried the configuration, whose
    number the choice has made too good; that one alone, where there is no other."""
    done = [trial for trial in members if trial.state == "finished"]
    unseen = [trial for trial in done if not searched_with(plan.searched, trial.slot)]
    return unseen or done


def _under(trials: Iterable[Trial], pair: str, recipe: str | None) -> list[Trial]:
    """The trials of the table's rows under a pair, of one recipe or of all."""
    wanted = ARROW.join(part.strip() for part in pair.replace("->", ARROW).split(ARROW))
    some = [trial for trial in trials if trial.slot.stage == "confirm"]
    some = _only("pair", wanted, some, lambda trial: trial.slot.pair)
    return some if recipe is None else _only("recipe", recipe, some, lambda trial: trial.slot.recipe)


def _rows(trials: Iterable[Trial]) -> list[list[Trial]]:
    """The trials of each row. Raises InputError where there are several recipes, which are not compared."""
    recipes = list(dict.fromkeys(trial.slot.recipe for trial in trials))
    if len(recipes) > 1:
        raise InputError(f"the pair has several recipes; name one: {', '.join(map(repr, recipes))}")
    rows: dict[str, list[Trial]] = {}
    for trial in trials:
        rows.setdefault(trial.slot.row, []).append(trial)
    return list(rows.values())


def _best_row(results: Results, rows: list[list[Trial]]) -> tuple[list[Trial], str]:
    """The trials of the best row, and by which rule: among rows whose every seed has finished, where there are such.

    Where nothing was held out nothing may choose; then it is the table's highest mean, and that is said.
    """
    plan, pair = results.plan, rows[0][0].slot.pair
    started = [row for row in rows if counted(plan, row)]
    if not started:
        raise InputError(f"no student of {pair} has finished")
    whole = [row for row in started if all(trial.state == "finished" for trial in row)] or started
    merits = [merit(counted(plan, row), plan.protocol) for row in whole]
    top = highest(row for row in board_of(results).rows if row.pair == pair and row.recipe == rows[0][0].slot.recipe)
    if max(merits) < 0:
        first = next((row for row in whole if top is not None and row[0].slot.label == top.label), whole[0])
        why = f"row {first[0].slot.row}: the highest mean test accuracy of {pair}, as nothing was held out to choose by"
        return first, why
    best = whole[max(range(len(whole)), key=lambda place: merits[place])]
    by = "best test accuracy, as protocol 'paper' allows" if plan.protocol == "paper" else "validation accuracy"
    why = f"row {best[0].slot.row}: the highest mean {by} ({max(merits):.2f} %) of {len(whole)} rows of {pair}"
    if top is not None and top.label not in (best[0].slot.row, best[0].slot.label):
        why += f"; the table's highest mean has {top.label}, which may be named instead"
    return best, why


def _best_seed(plan: Plan, members: Sequence[Trial]) -> tuple[Trial, str]:
    """The trial of a row with the highest validation accuracy, or else the first, and why."""
    some = counted(plan, members)
    if not some:
        states = ", ".join(dict.fromkeys(trial.state for trial in members))
        raise InputError(f"{members[0].slot.pair} · {members[0].slot.row} has no student: its trials are {states}")
    by_validation = merit(some, "validation") >= 0
    best = max(some, key=lambda trial: merit([trial], "validation")) if by_validation else some[0]
    number = f"seed {best.slot.seed}"
    if len(some) == 1:
        return best, f"{number}: the only one"
    if not by_validation:
        return best, f"{number}: the first of {len(some)}, as nothing was held out to choose by"
    return best, f"{number}: the highest validation accuracy ({best.body['last']['val_acc']:.2f} %) of {len(some)}"


def _is_called(label: str, name: str) -> bool:
    """Whether a label is meant, which may be named as a terminal spells it that has no Greek letters."""
    return name in (label, spelt(label, "ascii"))


def _names(trial: Trial) -> tuple[str, str]:
    """What a row may be called."""
    return trial.slot.row, trial.slot.method


def _only(kind: str, name: str, trials: list[Trial], of: Callable[[Trial], str]) -> list[Trial]:
    found = [trial for trial in trials if _is_called(of(trial), name)]
    if not found:
        raise InputError(unknown_name(kind, name, {of(trial) for trial in trials}))
    return found
