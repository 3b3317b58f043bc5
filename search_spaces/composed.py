"""Fields that have fields of their own (a recipe's `ema` and `randaugment`): how one is written."""

from __future__ import annotations

import json
import typing
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from trainers.errors import unknown_name
from trainers.frozen import Frozen


def part_of(field: FieldInfo) -> type[Frozen] | None:
    """What a field's value is a mapping of, where it is one and none of its fields must be given; else None."""
    kinds = [kind for kind in (field.annotation, *typing.get_args(field.annotation)) if isinstance(kind, type)]
    parts = [kind for kind in kinds if issubclass(kind, Frozen)]
    if len(parts) != 1 or any(own.is_required() for own in parts[0].model_fields.values()):
        return None
    return parts[0]


def inside(field: FieldInfo, detail: Any, message: str) -> str:
    """The message about one of a field's own fields, with its name; `detail` is pydantic's, of the whole field."""
    part, place = part_of(field), detail["loc"]
    if part is None or not place:
        return message
    if detail["type"] == "extra_forbidden":
        return unknown_name("key", place[-1], part.model_fields)
    return f"{place[0]}: {message}"


def written(field: FieldInfo, value: Any) -> str:
    """What to add to the message about a wrong value: how it would be right; empty where that cannot be told."""
    part = part_of(field)
    if part is None:
        return ""
    if not isinstance(value, dict):
        return f"; write {_flow(_example(part, value))}"
    several = [key for key, own in value.items() if isinstance(own, list) and own]
    points = [value | {several[0]: own} for own in value[several[0]]] if len(several) == 1 else []
    return f"; write [{', '.join(map(_flow, points))}]" if points and all(_fits(part, one) for one in points) else ""


def no_range(field: FieldInfo, ends: list[Any]) -> str:
    """Why a field is not searched over a range; empty where it is a number."""
    part = part_of(field)
    if part is None:
        return ""
    examples = ", ".join(_flow(end if isinstance(end, dict) else _example(part, end)) for end in ends)
    return f"its values are mappings, which have no range; write {{choice: [{examples}]}}"


def _example(part: type[Frozen], value: Any) -> dict[str, Any]:
    """A value of the first own field that a number may be of; else of all, by default."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for name in part.model_fields:
            if _fits(part, {name: value}):
                return {name: value}
    return {name: own.get_default(call_default_factory=True) for name, own in part.model_fields.items()}


def _fits(part: type[Frozen], value: dict[str, Any]) -> bool:
    try:
        part.model_validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        return False
    return True


def _flow(value: dict[str, Any]) -> str:
    """As a spec has it on one line."""
    return f"{{{', '.join(f'{key}: {json.dumps(own, default=str)}' for key, own in value.items())}}}"
