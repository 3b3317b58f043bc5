"""What several runs can divide among themselves: trials that need no driver which knows all of them."""

from __future__ import annotations

from sweep.plan.slots import Plan
from trainers.errors import InputError


def refuse_what_needs_one_driver(plan: Plan) -> None:
    """Raises InputError for a plan with searches or a budget."""
    if plan.cells:
        raise InputError(
            f"sweep '{plan.name}' has searches, which go by all that they have tried: they cannot be divided among"
            " several runs yet. Run it as one job, or give its searches a spec of their own"
        )
    if any(plan.budget.values()):
        raise InputError(
            f"sweep '{plan.name}' has a budget, which each of several runs would spend by itself: leave `budget` out"
        )
