"""Ray Train, without the actor of its own that looks for placement groups that are left behind.

Why, and what does it instead: :mod:`sweep.engine.ray_internals.groups`. This module loads torch.
"""

from __future__ import annotations

from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback


class Trainer(TorchTrainer):
    """Ray Train's, which starts no detached actor."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]  # of the class that Ray puts there
        return [callback for callback in callbacks if not isinstance(callback, PlacementGroupCleanerCallback)]
