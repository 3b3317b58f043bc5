"""What a run is told of a trial, of several events together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sweep.ledger.store import Event
from sweep.tracking.run_content import metrics_at, summary_metrics

STATUS = {"finished": "FINISHED", "diverged": "FAILED"}


@dataclass
class News:
    """What a run is told of a trial, of several events together; of what they say of the same thing, the last."""

    tags: dict[str, str] = field(default_factory=dict)
    params: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    dataset: dict[str, Any] | None = None
    name: str = ""
    began: float = 0.0
    ended: float = 0.0
    status: str = ""
    """That it ended with; empty while it runs."""

    @property
    def started(self) -> bool:
        return bool(self.name)

    def start(
        self, time: float, name: str, tags: dict[str, str], params: dict[str, Any], dataset: dict[str, Any]
    ) -> None:
        """The trial starts, perhaps once more."""
        from mlflow.entities import Param

        self.began = self.began or time
        self.name, self.dataset, self.status = name, dataset, ""
        self.params = [Param(key, str(value)) for key, value in params.items()]
        self.tags |= tags | {"state": "running"}

    def end(self, event: Event, status: str, tags: dict[str, str]) -> None:
        """The trial, or an attempt at it, ends."""
        numbers = summary_metrics(event.body)
        self.metrics += metrics_at(numbers, event.time, event.body["epochs"]) if numbers else []
        self.tags |= tags
        self.status, self.ended = status, event.time

    def followed_by(self, later: News) -> News:
        """Both, where `later` holds no start."""
        whole = replace(later, name=self.name, began=self.began, dataset=self.dataset, params=self.params)
        whole.tags = self.tags | later.tags
        return whole
