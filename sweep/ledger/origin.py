"""Where a trial was trained that a sweep has taken over from another one, as the bodies of `start` and `final` say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

TAKEN_FROM = "taken_from"
"""The field of the bodies; a trial that the sweep has trained itself has none."""


@dataclass(frozen=True)
class Origin:
    """The sweep that has trained a trial."""

    sweep: str
    """Its name."""
    id: str
    """Of its ledger."""
    ended: float
    """When the trial ended there; seconds since 1970."""

    def noted(self) -> dict[str, Any]:
        """What a body holds of it."""
        return {TAKEN_FROM: asdict(self)}


def origin_of(body: Mapping[str, Any]) -> Origin | None:
    """Where a trial was trained, by the body of its start or its end; None where that was in the sweep itself."""
    noted = body.get(TAKEN_FROM)
    return Origin(noted["sweep"], noted["id"], noted["ended"]) if noted else None


def counted(sweeps: Iterable[str] | Mapping[str, int]) -> str:
    """Names of sweeps, one for each trial or with their counts, as ``12 from cifar-main, 3 from cifar-old``."""
    return ", ".join(f"{count} from {name}" for name, count in Counter(sweeps).most_common())
