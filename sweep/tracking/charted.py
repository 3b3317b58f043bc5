"""Numbers that a run has only so that MLflow can draw with them: its accuracy under each pair, and what was swept.

MLflow draws metrics, and means of them over runs that share a tag. It knows no chart of some of the runs, so a chart
of one pair needs a metric that the runs of that pair alone have (``accuracy/resnet20-resnet8``); and a line through
means goes along a metric, never along a parameter, so a value that is swept is a metric as well (``swept/alpha``). The
values stem from the trial alone. Which of its hyperparameters are swept, and under which pairs a trial without a
teacher counts, a plan decides.
"""

from __future__ import annotations

import re
from typing import Any

from sweep.plan.labels import ARROW
from sweep.plan.slots import Plan, is_number
from trainers.storage.content import content_key

PAIR, SWEPT = "accuracy/", "swept/"
"""How the names of these metrics begin."""
CHARTED = (PAIR, SWEPT)
NOT_IN_NAMES = re.compile(r"[^/\w.\- ]")
"""What MLflow refuses in the name of a metric."""
KEY = 6
"""Hexadecimal digits that tell names apart which would be equal without what MLflow refuses."""


def of_pair(pair: str) -> str:
    """The metric of a pair: the test accuracy that the table has of its trials, in percent."""
    return PAIR + _name(pair.replace(ARROW, "-"))


def of_swept(name: str) -> str:
    """The metric of a hyperparameter, as the runs' parameters are named (``recipe.lr``): its value."""
    return SWEPT + _name(name)


def _name(text: str) -> str:
    cleaned = NOT_IN_NAMES.sub("_", text)
    return cleaned if cleaned == text else f"{cleaned}.{content_key(text)[:KEY]}"


class Charted:
    """What is charted of each trial, by one plan.

    Args:
        plan: the latest.
        swept: hyperparameters that its charts go along.
    """

    def __init__(self, plan: Plan, swept: list[str]) -> None:
        self.protocol = plan.protocol
        self._of_recipe = [name for name in swept if name.startswith("recipe.")]
        self._pairs: dict[str, dict[str, None]] = {}
        self._varied: dict[str, dict[str, None]] = {}
        for slot in plan.students:
            self._pairs.setdefault(slot.id, {})[slot.pair] = None
            self._varied.setdefault(slot.method, {}).update(dict.fromkeys(slot.varied))
        self._searched = [[place.pair for place in cell.places] for cell in plan.cells if cell.also]

    def numbers(self, start: dict[str, Any], end: dict[str, Any]) -> dict[str, float]:
        """Of one trial; nothing of a teacher, nor of one that did not finish.

        Args:
            start: the body of its start.
            end: of its end, with the best epoch by the plan's protocol.
        """
        if start["stage"] == "teacher" or end["state"] != "finished":
            return {}
        accuracy = float(end["best" if self.protocol == "paper" else "last"]["test_acc"])
        params = start["config"]["method"]["params"]
        fields = {f"recipe.{name}": value for name, value in start["config"]["recipe"].items()}
        names = [*self._varied.get(start["method"], ()), *self._of_recipe]
        values = {of_swept(name): (params | fields).get(name) for name in names}
        drawn = {name: float(value) for name, value in values.items() if is_number(value)}
        return dict.fromkeys(map(of_pair, self._pairs_of(start)), accuracy) | drawn

    def _pairs_of(self, start: dict[str, Any]) -> list[str]:
        """The pairs that a trial counts for: its own, and of one without a teacher all that share its student."""
        own = start["pair"]
        if start["config"]["teacher"]:
            return [own]
        searched = [pair for pairs in self._searched if own in pairs for pair in pairs]
        return list(dict.fromkeys([own, *self._pairs.get(start["slot"], ()), *searched]))
