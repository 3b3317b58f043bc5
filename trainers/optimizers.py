"""What a recipe's `optimizer` may be: a name, or one name with its options.

::

    optimizer: sgd                                  # with the recipe's `momentum` and `nesterov`
    optimizer: adamw
    optimizer: {adamw: {betas: [0.9, 0.98], eps: 1e-6}}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from trainers.errors import unknown_name
from trainers.frozen import Frozen

Share = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Share, Share]


class AdamWOptions(Frozen):
    """Of AdamW (Loshchilov & Hutter, arXiv 1711.05101), as torch has it."""

    betas: Betas = (0.9, 0.999)
    """Shares of the running means of the gradient and of its square that a step keeps."""
    eps: float = Field(1e-8, gt=0)
    """Added to the root of the mean square."""


class AdamW(Frozen):
    """``{adamw: {...}}``."""

    adamw: AdamWOptions


ADAPTIVE: dict[str, type[Frozen]] = {"adamw": AdamW}
"""By the name that a spec gives them."""
NAMES = ("sgd", *ADAPTIVE)


def _named(value: Any) -> Any:
    """`sgd`, or the config of the optimiser that is named, complete with its defaults."""
    if isinstance(value, Frozen):
        return value
    name, options = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    if name not in NAMES:
        raise ValueError(unknown_name("optimiser", name, NAMES))
    if name == "sgd":
        if options:
            raise ValueError("sgd takes no options here: `momentum` and `nesterov` are fields of the recipe")
        return name
    try:
        return ADAPTIVE[name].model_validate({name: {} if options is None else options})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
        raise ValueError(f"{problems}; found {options}") from error


Optimizer = Annotated[Literal["sgd"] | AdamW, BeforeValidator(_named)]
