"""The thin adaptor from :class:`sweep.engine.cohort.Cohort` to a Ray Tune trainable: one epoch a step.

Actors are reused: torch, the data set and the teacher are loaded once per worker process.
"""

from __future__ import annotations

from typing import Any

from ray.tune import Trainable

from sweep.engine.cohort import Cohort


class TrialTrainable(Trainable):
    """Runs the jobs that `config` describes (see :func:`sweep.engine.job.describe_together`)."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job of this worker, with those beside it."""
        self._cohort = Cohort(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Leave the job, which a search may have given up, and take the next one."""
        self._cohort.leave()
        self._cohort = Cohort(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch; a broken device, which is the one error that is raised, takes the worker down."""
        return self._cohort.step()

    def cleanup(self) -> None:
        """Leave what has not ended, with its networks and data; its checkpoint is on the disk."""
        self._cohort.leave()
