"""A trial's events collected into one message to its run, so that MLflow is asked once and not once an event."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sweep.ledger.store import Event
from sweep.tracking.run_content import metrics_at, run_params, summary_metrics

STATUS = {"finished": "FINISHED", "diverged": "FAILED"}
"""MLflow's word for how a run ended, by the state of a final event."""


@dataclass
class News:
    """What several events of one trial, in their order, tell its run: all numbers, and of everything else the last.

    :class:`~sweep.tracking.delivery.Delivery` fills it event by event and sends it in as few requests as it goes into.
    """

    tags: dict[str, str] = field(default_factory=dict)
    params: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    dataset: dict[str, Any] | None = None
    """That the trial trains on, as its config has it; None where no event is a start."""
    name: str = ""
    """The run's; empty where no event is a start."""
    began: float = 0.0
    """Seconds since 1970, as `ended`."""
    ended: float = 0.0
    status: str = ""
    """MLflow's word for how it ended; empty while it runs."""

    @property
    def started(self) -> bool:
        """Whether one of the events is a start."""
        return bool(self.name)

    def start(
        self, time: float, name: str, tags: dict[str, str], params: dict[str, Any], dataset: dict[str, Any]
    ) -> None:
        """The trial starts, perhaps once more."""
        self.began = self.began or time
        self.name, self.dataset, self.status = name, dataset, ""
        self.params = run_params(params)
        self.tags |= tags | {"state": "running"}

    def end(self, event: Event, status: str, tags: dict[str, str]) -> None:
        """The trial, or an attempt at it, ends."""
        numbers = summary_metrics(event.body)
        self.metrics += metrics_at(numbers, event.time, step_of(event)) if numbers else []
        self.tags |= tags
        self.status, self.ended = status, event.time

    def followed_by(self, later: News) -> News:
        """Both, where this one holds a start: a run began with the first of its trial's attempts."""
        begun = later if later.started else self
        tags = self.tags | later.tags
        return replace(later, name=begun.name, began=self.began, dataset=begun.dataset, params=begun.params, tags=tags)


def step_of(event: Event) -> int:
    """Where the numbers of a whole trial stand: behind its epochs.

    Those of a teacher that was trained again, whose epochs are not there, stand where its former ones do, or MLflow
    would show these: a metric's value is that of its latest step.
    """
    return int(event.body["last"]["epoch"] if event.kind == "retrained" else event.body["epochs"])
