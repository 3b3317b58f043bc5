"""A function's keyword arguments as fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from trainers.errors import InputError
from trainers.own.methods import FunctionParams
from trainers.own.signature import config, positional


def loss(
    student: Any,
    /,
    teacher: Any,
    *more: Any,
    alpha: Annotated[float, Field(gt=0)] = 1.0,
    kind: Literal["a", "b"] = "a",
    layers: tuple[int, ...] = (1, 2),
    off: bool | None = None,
    **rest: Any,
) -> None:
    """Every kind of argument."""


def test_what_stands_before_the_star_is_read_and_what_stands_after_it_is_a_field() -> None:
    assert positional(loss) == ["student", "teacher"]
    made = config(loss, FunctionParams)
    assert made().model_dump() == {"alpha": 1.0, "kind": "a", "layers": (1, 2), "off": None}
    assert made.model_validate({"layers": [3], "kind": "b"}).model_dump(mode="json")["layers"] == [3]


@pytest.mark.parametrize("value", [{"alpha": 0}, {"kind": "c"}, {"layers": "x"}, {"alpha": float("nan")}, {"beta": 1}])
def test_values_are_held_to_types_and_bounds(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        config(loss, FunctionParams).model_validate(value)


def test_given_fields_stand_before_the_function_s_own() -> None:
    made = config(loss, FunctionParams, {"weight": (float, 2.0)})
    assert made().model_dump() == {"weight": 2.0, "alpha": 1.0, "kind": "a", "layers": (1, 2), "off": None}


def test_a_name_that_is_given_already_is_taken() -> None:
    with pytest.raises(InputError, match="the argument 'alpha' has a name that is taken here"):
        config(loss, FunctionParams, {"alpha": (float, 2.0)})


def test_where_an_argument_need_have_no_default_a_spec_must_give_it() -> None:
    def data(*, path: str, size: int = 8) -> None: ...

    made = config(data, FunctionParams, must_default=False)
    assert made.model_validate({"path": "a"}).model_dump() == {"path": "a", "size": 8}
    with pytest.raises(ValueError, match="path"):
        made()
    with pytest.raises(InputError, match="the argument 'path' has no default"):
        config(data, FunctionParams)
