"""What the spec's budget allows: whether a sweep may start, and when it has had enough."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sweep.cost.estimate import Estimate, devices
from sweep.cost.prices import device_seconds
from sweep.ledger.store import Ledger
from trainers.errors import InputError

if TYPE_CHECKING:
    from sweep.plan.slots import Plan


class BudgetWatch:
    """Whether a sweep may start, and when it has had what the spec allows."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self._budget = plan.budget
        self._share = devices(plan)
        self._plan = plan
        self._used = device_seconds(ledger) if self._budget.get("max_device_hours") is not None else 0.0
        """Seconds times devices."""
        deadline = self._budget.get("deadline")
        self._deadline = datetime.fromisoformat(deadline) if deadline else None

    def refuse(self, left: Estimate, now: datetime) -> None:
        """Raises InputError where the plan is beyond the budget, as far as that is known."""
        trials, hours = self._budget.get("max_trials"), self._budget.get("max_device_hours")
        if trials is not None and self._plan.count > trials:
            raise InputError(
                f"{self._plan.name} has {self._plan.count} trials, and budget.max_trials is {trials}; raise it, or ask"
                " for less"
            )
        used = self._used / 3600
        if hours is not None and used + left.device_hours > hours:
            raise InputError(
                f"{self._plan.name} needs about {left.device_hours:.2g} device hours and has had {used:.2g}, and"
                f" budget.max_device_hours is {hours:g}; raise it, or ask for less"
            )
        if self._deadline is not None and self._now(now) + left.wall > self._deadline:
            raise InputError(
                f"{self._plan.name} would run until {self._now(now) + left.wall:%Y-%m-%d %H:%M}, and budget.deadline is"
                f" {self._deadline:%Y-%m-%d %H:%M}; move it, or ask for less"
            )

    def spend(self, seconds: float, devices: float | None = None) -> None:
        """Count an epoch.

        Args:
            seconds: that it took.
            devices: of its trial; None for what the plan gives each.
        """
        self._used += seconds * (self._share if devices is None else devices)

    def over(self, now: datetime) -> str:
        """Why no more is to run; empty while there is budget left."""
        hours = self._budget.get("max_device_hours")
        if hours is not None and self._used / 3600 >= hours:
            return f"budget.max_device_hours ({hours:g}) is used up"
        if self._deadline is not None and self._now(now) >= self._deadline:
            return f"budget.deadline ({self._deadline:%Y-%m-%d %H:%M}) has come"
        return ""

    def _now(self, now: datetime) -> datetime:
        """`now`, with a zone where the deadline has one."""
        return now.astimezone() if self._deadline is not None and self._deadline.tzinfo else now
