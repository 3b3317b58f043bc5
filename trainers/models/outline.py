"""Networks that are built for their shapes: no numbers are drawn for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

DRAWS: frozenset[Callable[..., Any]] = frozenset(
    {
        *(Tensor.normal_, Tensor.uniform_),
        *(init.normal_, init.trunc_normal_, init.uniform_, init.orthogonal_),
        *(init.kaiming_normal_, init.kaiming_uniform_, init.xavier_normal_, init.xavier_uniform_),
    }
)
"""What fills a tensor with random numbers, and returns it. torch hands on its initialisers as a whole, with the tensor
by name, before they draw."""


@contextmanager
def outlines() -> Iterator[None]:
    """A context in which networks are built on torch's meta device, where they have shapes alone."""
    with torch.device("meta"), Undrawn():
        yield


class Undrawn(TorchFunctionMode):
    """A context in which tensors keep what they hold where random numbers should be drawn into them.

    It saves the time of the draws; and on the meta device torch spells them out in Python, and loads its compiler for
    that, which takes longer than all the rest.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)
