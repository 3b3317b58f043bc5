"""Stochastic gradient descent as torch computes it, without waiting for torch's compiler.

Around what an optimiser does lie wrappers that keep `torch.compile` out of it; the first call of any of them imports
the compiler: seconds of every process that trains, for nothing where nobody compiles. Read in torch 2.15; where
another release has no such wrappers, :func:`inspect.unwrap` leaves its functions as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch

WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of torch's optimisers that import the compiler, beside `step`."""


class SGD(torch.optim.SGD):
    """:class:`torch.optim.SGD`, bit for bit."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the parameters once, by their gradients.

        Args:
            closure: computes the loss anew, where there is one.

        Returns:
            What the closure returns.
        """
        loss: float | None = _step(self, closure)
        return loss


def _own(name: str) -> Callable[..., Any]:
    """A method of torch's optimisers as it is inside its wrapper."""
    inside: Callable[..., Any] = unwrap(getattr(torch.optim.SGD, name))
    return inside


_step = _own("step")
for _name in WRAPPED:
    setattr(SGD, _name, _own(_name))
