"""A search that looks ahead and pauses: for where several trials run at once, and decisions fall before any has ended.

The first points, far from each other, get a ninth of their epochs each and pause. From then on a trial whose place
another one promises to use better pauses, and is not given up: of all that is paused and all that was not tried, what
promises most for each epoch that it still needs is trained next. A paused trial that is expected to add too little is
not taken up; when all of the budget was begun, and nothing else is left to do, such trials are given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sweep.plan.slots import SearchedCell
from sweep.search.curves import FEWEST, LOOKS, CurveSearch, Other, Weighed, known_epochs
from sweep.search.forecast import Forecast, Numbers, expected_improvement
from sweep.search.geometry import coordinates
from sweep.search.suggest import Asked

SHORT = 12
"""Points that get :data:`~sweep.search.curves.LOOKS` times less than all of their epochs first."""
WORTH = 0.5
"""What a paused trial must be expected to add, if it is to go on: so much of what chance makes of a value."""


class PausingSearch(CurveSearch):
    """The look ahead of one cell that pauses trials; what is asked of it is asked of :class:`CurveSearch`."""

    def suggest(self, seed: int) -> dict[str, Any] | None:
        """The next point to try: the first of them as far from all others as may be."""
        tried = [coordinates(self._cell.space, asked.params) for asked in self._history]
        untried = self._untried(seed) if tried and self._is_looking_round else []
        if not untried:
            return super().suggest(seed)
        places = np.stack([coordinates(self._cell.space, point) for point in untried])
        distances = np.linalg.norm(places[:, None] - np.stack(tried)[None], axis=2).min(axis=1)
        farthest = np.flatnonzero(distances > distances.max() - 1e-9)
        return untried[int(farthest[seed % len(farthest)])]

    def _judge(self, key: str, epoch: int, value: float) -> bool:
        number = max(number for number, known in enumerate(self._keys) if known == key)
        return self._ends_short(number, epoch) or super()._judge(key, epoch, value)

    def weigh(self, number: int, epoch: int) -> Weighed | None:
        """As ever, but that the first points are not weighed while their short time lasts, or others are to have it."""
        is_short = number < SHORT and (epoch < self._short(number) or self._ends_short(number, epoch))
        return None if is_short else super().weigh(number, epoch)

    def _ends_short(self, number: int, epoch: int) -> bool:
        """Whether one of the first points has had its short time, and there are others that are to have theirs."""
        return number < SHORT and epoch == self._short(number) and self._is_looking_round

    def _short(self, number: int) -> int:
        return max(1, len(self._course(self._history[number].params).share) // LOOKS)

    @property
    def _is_looking_round(self) -> bool:
        """Whether some of the first points have not begun."""
        return len(self._history) < min(SHORT, self._cell.budget)

    @property
    def _has_others(self) -> bool:
        return super()._has_others or bool(self._paused())

    def _other(self, forecast: Forecast, best: float, seed: int) -> Other | None:
        new = super()._other(forecast, best, seed) if super()._has_others else None
        paused = self._paused()
        if not paused:
            return new
        promises = self._worth(forecast, paused, best)
        most = int(np.argmax(promises))
        if promises[most] < 0 or (new is not None and new.promise >= promises[most]):
            return new
        mean, deviation = forecast.ends([paused[most]])
        end = float(mean[0]), float(deviation[0])
        return Other(self._history[paused[most]].params, float(promises[most]), end)

    def resumes(self, seed: int) -> int | None:
        """The number of the paused suggestion that is to go on; None where a point not tried yet promises more for each
        of its epochs, and where all that may be tried was, and nothing that is paused is worth it.

        Args:
            seed: of the points not tried that are looked at.
        """
        paused, trials = self._paused(), self._trials()
        if not paused or self._is_looking_round or known_epochs(trials) < FEWEST:
            return None
        forecast = Forecast(self._believed(trials))
        best = self._best(forecast)
        promises = self._worth(forecast, paused, best)
        most = int(np.argmax(promises))
        new = super()._other(forecast, best, seed) if super()._has_others else None
        return paused[most] if promises[most] >= (0.0 if new is None else new.promise) else None

    def _paused(self) -> list[int]:
        return [number for number, asked in enumerate(self._history) if asked.state == "paused"]

    def _worth(self, forecast: Forecast, paused: Sequence[int], best: float) -> Numbers:
        """Expected improvement of paused trials for each epoch that they still need; -1 where it is too little, if
        enough have finished."""
        some = [self._history[number] for number in paused]
        left = [len(self._course(one.params).share) - max(one.epochs, default=0) for one in some]
        gains = expected_improvement(*forecast.ends(paused), best)
        finished = sum(asked.state == "finished" for asked in self._history)
        enough = finished >= self._cell.search["confirm"]
        return np.where((gains < WORTH * forecast.noise) & enough, -1.0, gains / np.array(left))


def looking_ahead(cell: SearchedCell, history: Sequence[Asked], keys: Sequence[str]) -> CurveSearch:
    """The look ahead of a cell, as :class:`CurveSearch` takes it."""
    return (PausingSearch if cell.pauses else CurveSearch)(cell, history, keys)
