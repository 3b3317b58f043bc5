"""What several runs can divide among themselves: trials and searches that need no driver which knows all of them."""

from __future__ import annotations

from sweep.plan.slots import Plan
from trainers.errors import InputError


def refuse_what_needs_one_driver(plan: Plan) -> None:
    """Raises InputError for a plan with a budget, or with searches that wait for each other or pause trials."""
    if any(cell.search.get("transfer") for cell in plan.cells):
        raise InputError(
            f"sweep '{plan.name}' has `search: {{transfer: true}}`, by which its searches wait for the first of them:"
            " they cannot be divided among several runs. Leave `transfer` out, name an earlier sweep by `warm_start`"
            " in its place, or run it as one job"
        )
    if any(cell.pauses for cell in plan.cells):
        raise InputError(
            f"sweep '{plan.name}' has `search: {{pauses: true}}`, by which searches stop trials and take them up again:"
            " that is not built for several runs that divide them. Leave `pauses` out, or run it as one job"
        )
    if any(plan.budget.values()):
        raise InputError(
            f"sweep '{plan.name}' has a budget, which each of several runs would spend by itself: leave `budget` out"
        )
