"""How one model is trained: torch alone, no scheduler, no tracker, no command line.

Start at :mod:`trainers.fit` (the one training loop) and :mod:`trainers.config` (what a trial is).

For code of one's own it offers ``from trainers import method, model, dataset, recipe`` (:mod:`trainers.own`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.own import dataset as dataset
    from trainers.own import method as method
    from trainers.own import model as model
    from trainers.own import recipe as recipe

OFFERED = ("method", "model", "dataset", "recipe")


def __getattr__(name: str) -> Any:
    """The decorators, which are imported when they are asked for: they need torch."""
    if name not in OFFERED:
        raise AttributeError(f"module 'trainers' has no attribute '{name}'")
    from trainers import own

    return getattr(own, name)
