"""The notes under the table: how it was tested, what chose its rows, what is missing, and what is not shown of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces.table import MEAN
from sweep.ledger.origin import counted
from sweep.plan.labels import shown
from sweep.plan.slots import Plan, SearchedCell
from sweep.results.metrics import METRICS
from sweep.results.published import EPOCHS
from sweep.results.rows import Row
from sweep.results.significance import columns, common_seeds, testable, untested_ties
from sweep.statistics.paired import FEWEST, LEVEL

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard

TIED, OTHER_RECIPE, DIFFERS = "†", "‡", "*"
"""Marks of a row that is not told apart from its column's best, of another recipe, and of a Δ that the seeds show."""
NEAR_CHANCE = 0.1
"""Share of the way from chance to 100 % up to which a teacher's accuracy draws a remark."""


def notes(board: Leaderboard) -> list[str]:
    """All of them, a paragraph each."""
    parts = [_tests(board), _teachers(board), _selection(board), _recipes(board), _releases(board), _published(board)]
    return [part for part in (*parts, _left_out(board), _trials(board)) if part]


def _left_out(board: Leaderboard) -> str:
    """What the spec's `table` does not show."""
    rows = _hidden(board)
    there = [*board.pairs, *([MEAN] if board.overall else [])]
    left = [column for column in there if column not in board.columns]
    parts = [f"rows {board.printed.named(rows)}"] if rows else []
    parts += [f"columns {', '.join(left)}"] if left else []
    parts += ["differences to the baseline"] if board.baseline and not board.printed.table.deltas else []
    if not parts:
        return ""
    counting = "Tests, marks and the mean over all pairs count" if board.overall else "Tests and marks count"
    return f"Not shown: {'; '.join(parts)}. {counting} all rows and pairs."


def _hidden(board: Leaderboard) -> list[str]:
    """Labels of the rows that the spec's `table` does not show."""
    return [label for label in dict.fromkeys(row.label for row in board.rows) if not board.printed.shows(label)]


def _teachers(board: Leaderboard) -> str:
    """A remark on teachers that know next to nothing, where the plan says how many classes there are."""
    classes = board.plan.images.get("classes")
    if not classes:
        return ""
    chance = 100 / classes
    most = chance + NEAR_CHANCE * (100 - chance)
    near = [f"{name} at {accuracy:.2f} %" for name, accuracy in sorted(board.teachers.items()) if accuracy <= most]
    if not near:
        return ""
    who = f"{'Teacher' if len(near) == 1 else 'Teachers'} {', '.join(near)}"
    return f"{who}: near chance ({chance:.3g} % of {classes} classes), so there is little to learn from."


# -- tests --------------------------------------------------------------------------------------------------------


def compared(board: Leaderboard) -> list[list[Row]]:
    """The columns of which two rows or more have a number."""
    return [rows for rows in columns(board.rows).values() if sum(bool(row.values) for row in rows) > 1]


def tested(board: Leaderboard) -> list[list[Row]]:
    """Those in which a test was made."""
    return [rows for rows in compared(board) if any(row.standing for row in rows)]


def untested(board: Leaderboard) -> list[str]:
    """Of columns where nothing could be tested: why not, in a sentence each."""
    among = compared(board)
    return _reasons([rows for rows in among if not any(row.standing for row in rows)], len(among))


def _tests(board: Leaderboard) -> str:
    """How the marks were made, or in which columns there are none."""
    if not tested(board):
        return _overall(board)
    parts = [
        "Tests: paired by seed, by the noise that the column's rows have in common; Holm's correction over the rows"
        f" for Δ, and over all pairs of rows for the highest mean ({100 * LEVEL:.0f} %)."
    ]
    ties = sum(len(untested_ties(rows)) for rows in columns(board.rows).values())
    if ties:
        parts.append(f"{ties} {TIED} for want of a test: fewer than {FEWEST} common seeds, or differences all equal.")
    return " ".join(part for part in (*parts, _overall(board), *untested(board)) if part)


def _overall(board: Leaderboard) -> str:
    if not board.overall:
        return ""
    tested = any(line.verdict.standing for line in board.overall.values())
    how = "the same marks by the same tests over the pairs' mean differences" if tested else "not tested"
    why = "" if tested else f": a test needs {FEWEST} pairs, and differences that are not all equal"
    return f"Mean: over all pairs, {how}{why}."


def _reasons(untested: list[list[Row]], compared: int) -> list[str]:
    reasons = []
    few = [rows for rows in untested if not testable(rows)]
    if few:
        most = max(common_seeds(rows) for rows in few)
        there = f"there {'is' if most == 1 else 'are'} {most or 'none'}"
        reasons.append(f"{_nothing(few, compared)}: a paired test needs {FEWEST} common seeds, {there}.")
    equal = [rows for rows in untested if testable(rows)]
    if equal:
        reasons.append(
            f"{_nothing(equal, compared)}: the differences are the same in every seed, so there is no spread to test"
            " them by."
        )
    return reasons


def _nothing(some: list[list[Row]], compared: int) -> str:
    where = "" if len(some) == compared else " under " + ", ".join(dict.fromkeys(rows[0].pair for rows in some))
    return f"Nothing can be told apart{where}"


# -- selection ----------------------------------------------------------------------------------------------------


def _selection(board: Leaderboard) -> str:
    """What was selected, by which data, and at what cost."""
    plan = board.plan
    if not plan.cells and _hidden(board):
        return "Every configuration of the spec was run; none was selected by its result."
    if not plan.cells:
        return "Every configuration of the spec is shown; none was selected."
    search = plan.cells[0].search
    how = f"({_samplers(board) or search['sampler']}, seed {plan.seeds[0]})"
    if len(search["metrics"]) > 1:
        return (
            f"Tuned rows: of {_budgets(plan.cells)} configurations of each cell {how} the Pareto front by"
            f" {_searched_by(search)}, at most {search['confirm']} of it, {_run_again(plan)}."
        )
    best, then = "the best", ""
    if "race" in search:
        best = f"the best {search['confirm']}"
        then = f", once it has won a race of these over at most {search['race']} seeds of its own{_none_won(board)}"
    elif search["confirm"] > 1:
        best, then = f"the best {search['confirm']}", ", and of these the one with the best mean, which favours it"
    return (
        f"Tuned rows: in each cell {best} of {_budgets(plan.cells)} configurations {how} by {_searched_by(search)},"
        f" {_run_again(plan)}{then}; every other row is shown as the spec has it."
    )


def _samplers(board: Leaderboard) -> str:
    """Who has suggested what, where a sampler was changed while searches went on: ``12 by tpe, 8 by curves``."""
    by = board.samplers.items()
    return ", ".join(f"{count} by {sampler}" for sampler, count in by) if len(by) > 1 else ""


def _none_won(board: Leaderboard) -> str:
    """In how many rows the race had no winner."""
    rows = sum(row.none_won for row in board.rows)
    return f" (for {rows} of the rows all of these broke off, so that the search's best is shown)" if rows else ""


def _run_again(plan: Plan) -> str:
    """With which seeds the numbers of tuned rows are made."""
    if len(plan.seeds) < 2:
        return f"shown with the seed that it was chosen by ({plan.seeds[0]}), which flatters it"
    return f"run again with the other seeds, of which alone these rows are made (seed {plan.seeds[0]} chose them)"


def _budgets(cells: tuple[SearchedCell, ...]) -> str:
    """``20``, or ``6 to 20`` where the spaces of some cells have fewer points."""
    budgets = sorted({cell.budget for cell in cells})
    return str(budgets[0]) if len(budgets) == 1 else f"{budgets[0]} to {budgets[-1]}"


def _searched_by(search: dict[str, Any]) -> str:
    return " and ".join(METRICS[metric].words for metric in search["metrics"])


def _recipes(board: Leaderboard) -> str:
    """Rows whose recipe is not their column's."""
    others = [
        f"{board.printed.name(row.label)}, {row.pair}: "
        + ", ".join(f"{n}={shown(a)}, not {shown(b)}" for n, (a, b) in differs.items())
        for row in board.rows
        if (differs := row.recipe_differs)
    ]
    return f"{OTHER_RECIPE}: trained by another recipe than its column ({'; '.join(others)})." if others else ""


def _releases(board: Leaderboard) -> str:
    """Rows that mix trials of several releases."""
    name = board.printed.name
    mixed = [f"{name(row.label)}, {row.pair}: {' and '.join(row.made_with)}" for row in board.rows if row.made_with]
    return f"Trained by different releases within one row: {'; '.join(mixed)}." if mixed else ""


# -- published figures --------------------------------------------------------------------------------------------


def _published(board: Leaderboard) -> str:
    if board.published is None:
        return ""
    if not board.published:
        return f"No published figure is known of these cells on {board.plan.dataset}."
    gaps = [gap for row in board.rows if (gap := board.gap(row)) is not None]
    near = sum(gap.reproduced for gap in gaps)
    text = f"Reproduced within 1 std: {near} of {len(gaps)}."
    usual = EPOCHS.get(board.plan.dataset)
    other = sum(row.config["recipe"]["epochs"] != usual for row in board.rows if board.reported(row))
    if usual and other:
        text += f" Papers train {usual} epochs on {board.plan.dataset}, {other} of these rows do not."
    if board.metric == "last":
        text += " Papers train on the whole training set and mostly report the best test epoch; protocol 'paper' does."
    return text + " Sources: " + "; ".join(f"[{n}] {origin}" for n, origin in enumerate(board.origins, start=1)) + "."


def _trials(board: Leaderboard) -> str:
    missing = [f"{count} {state}" for state, count in sorted(board.states.items()) if state != "finished"]
    taken = f" (taken over: {counted(board.taken)})" if board.taken else ""
    return f"Trials: {board.states.get('finished', 0)} finished{taken}{''.join(', ' + text for text in missing)}."
