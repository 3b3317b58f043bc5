"""Parts of a recipe that have fields of their own.

An optimiser is a name, or one name with its options:

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


class LambOptions(Frozen):
    """Of LAMB (You et al., arXiv 1904.00962), as timm has it, whose gradient is cut to a norm of 1 before each step."""

    betas: Betas = (0.9, 0.999)
    """Shares of the running means of the gradient and of its square that a step keeps."""
    eps: float = Field(1e-6, gt=0)
    """Added to the root of the mean square."""


class Lamb(Frozen):
    """``{lamb: {...}}``."""

    lamb: LambOptions


ADAPTIVE: dict[str, type[Frozen]] = {"adamw": AdamW, "lamb": Lamb}
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


def _whether(value: object) -> object:
    if value is True or value is False or value == "auto":
        return value
    raise ValueError("must be true, false or auto")


Whether = Annotated[bool | Literal["auto"], BeforeValidator(_whether)]
"""Yes, no, or what is measured to pay."""
Optimizer = Annotated[Literal["sgd"] | AdamW | Lamb, BeforeValidator(_named)]


class EMA(Frozen):
    """An exponential moving average of the student's weights, as timm and DeiT keep one."""

    decay: float = Field(0.9999, ge=0, lt=1)
    """Share of the average that a step keeps; the rest is the student as it is after the step."""
    predicts: bool = True
    """Whether the average is what is evaluated and exported. `false`: the student is. The other one's accuracies are
    noted beside it in either case, as diagnostics."""


class RandAugment(Frozen):
    """RandAugment (Cubuk et al., arXiv 1909.13719) in timm's increasing form, ``rand-m9-mstd0.5-inc1``."""

    magnitude: float = Field(9.0, ge=0, le=10)
    """Mean of the operations' strength, of 10."""
    std: float = Field(0.5, ge=0, le=100)
    """Standard deviation of the strength, which is cut to 0 ... 10."""
    operations: int = Field(2, ge=0, le=100)
    """Drawn for each image; each is left out at even odds."""
