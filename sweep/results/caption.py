"""The words under the table: what is shown, what chose it, how it was tested, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweep.ledger.origin import counted
from sweep.plan.labels import shown
from sweep.plan.slots import Plan, SearchedCell
from sweep.results.metrics import METRICS
from sweep.results.published import EPOCHS
from sweep.results.rows import Row
from sweep.results.significance import columns, common_seeds, testable, untested_ties
from sweep.results.statistics import FEWEST, LEVEL, shows

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard

TIED, OTHER_RECIPE, DIFFERS = "†", "‡", "*"
"""Marks of a row that is not told apart from its column's best, of another recipe, and of a Δ that the seeds show."""
NEAR_CHANCE = 0.1
"""Share of the way from chance to 100 % up to which a teacher's accuracy draws a remark."""


def caption(board: Leaderboard) -> str:
    """All of it, in one paragraph."""
    parts = [_number(board), _teachers(board), _difference(board), *_tests(board), _selection(board), _recipes(board)]
    parts += [_releases(board), _published(board), _trials(board)]
    return " ".join(part for part in parts if part)


def _number(board: Leaderboard) -> str:
    what = "best epoch on the test set, as the papers report it" if board.metric == "best" else "last epoch"
    return f"Top-1 test accuracy in %, {what}: mean ± standard deviation (number of seeds)."


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


def _difference(board: Leaderboard) -> str:
    return f"Δ: mean difference to {board.baseline} over common seeds." if board.baseline else ""


# -- tests --------------------------------------------------------------------------------------------------------


def _tests(board: Leaderboard) -> list[str]:
    """What the marks mean, or why there are none."""
    compared = {place: rows for place, rows in columns(board.rows).items() if sum(bool(r.values) for r in rows) > 1}
    if not compared:
        return []
    untested = [rows for rows in compared.values() if not any(row.standing for row in rows)]
    parts = [_marks(board)] if len(untested) < len(compared) else []
    return [*parts, *_overall(board), *_untested(untested, len(compared))]


def _marks(board: Leaderboard) -> str:
    several = len({row.recipe for row in board.rows}) > 1
    column = "column (pair and recipe)" if several else "column"
    star = f"; {DIFFERS}: a Δ that is shown" if _starred(board) else ""
    text = (
        f"Bold: the best of its {column}, every other row of which is shown to be worse;"
        f" {TIED}: the highest mean where it is not alone, and what is not told apart from it{star}."
        " Tests: paired by seed, by the noise that the column's rows have in common; Holm's correction over the rows"
        f" for Δ, and over all pairs of rows for the highest mean ({LEVEL:.0%})."
    )
    untested = sum(len(untested_ties(rows)) for rows in columns(board.rows).values())
    if untested:
        text += f" {untested} {TIED} for want of a test: fewer than {FEWEST} common seeds, or differences all equal."
    return text


def _starred(board: Leaderboard) -> bool:
    ps = [row.p_delta for row in board.rows] + [line.p_delta for line in board.overall.values()]
    return any(map(shows, ps))


def _overall(board: Leaderboard) -> list[str]:
    if not board.overall:
        return []
    tested = any(line.verdict.standing for line in board.overall.values())
    how = "the same marks by the same tests over the pairs' mean differences" if tested else "not tested"
    why = "" if tested else f": a test needs {FEWEST} pairs, and differences that are not all equal"
    return [f"Mean: over all pairs, {how}{why}."]


def _untested(untested: list[list[Row]], compared: int) -> list[str]:
    """Of columns where nothing could be tested: why not."""
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
    if not plan.cells:
        return "Every configuration of the spec is shown; none was selected."
    search = plan.cells[0].search
    how = f"({search['sampler']}, seed {plan.seeds[0]})"
    if len(search["metrics"]) > 1:
        return (
            f"Tuned rows: of {_budgets(plan.cells)} configurations of each cell {how} the Pareto front by"
            f" {_searched_by(search)}, at most {search['confirm']} of it, {_run_again(plan)}."
        )
    best, then = "the best", ""
    if search["confirm"] > 1:
        best, then = f"the best {search['confirm']}", ", and of these the one with the best mean"
    return (
        f"Tuned rows: in each cell {best} of {_budgets(plan.cells)} configurations {how} by {_searched_by(search)},"
        f" {_run_again(plan)}{then}; every other row is shown as the spec has it."
    )


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
        f"{row.label}, {row.pair}: " + ", ".join(f"{n}={shown(a)}, not {shown(b)}" for n, (a, b) in differs.items())
        for row in board.rows
        if (differs := row.recipe_differs)
    ]
    return f"{OTHER_RECIPE}: trained by another recipe than its column ({'; '.join(others)})." if others else ""


def _releases(board: Leaderboard) -> str:
    """Rows that mix trials of several releases."""
    mixed = [f"{row.label}, {row.pair}: {' and '.join(row.made_with)}" for row in board.rows if row.made_with]
    return f"Trained by different releases within one row: {'; '.join(mixed)}." if mixed else ""


# -- published figures --------------------------------------------------------------------------------------------


def _published(board: Leaderboard) -> str:
    if board.published is None:
        return ""
    if not board.published:
        return f"No published figure is known of these cells on {board.plan.dataset}."
    gaps = [gap for row in board.rows if (gap := board.gap(row)) is not None]
    near = sum(gap.reproduced for gap in gaps)
    text = (
        "Published: the figure that most sources print, what others print in brackets; gap: ours less theirs, and in"
        f" standard deviations of ours (std). Reproduced within 1 std: {near} of {len(gaps)}."
    )
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
