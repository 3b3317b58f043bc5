"""Checks of a spec's values against typed models: single fields, grids of them, and whole mappings."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Hashable, Iterable
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from search_spaces import composed, yaml_lines
from search_spaces.hints import Fits, as_list, hint
from search_spaces.limits import MOST_POINTS, MOST_SEEDS
from search_spaces.schema import Choice, Range, Variant
from search_spaces.space import corner_count, corners
from search_spaces.yaml_lines import Document
from trainers.config import Frozen, Recipe
from trainers.errors import unknown_name

M = TypeVar("M", bound=BaseModel)
ONE_DATASET = "an option of a data set has one value, since a sweep has one data set; write a spec for each"
"""What the reader of an option says of several."""


class FieldReader:
    """Reads values of a document, noting mistakes and going on."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.add = document.add

    # -- grids ------------------------------------------------------------------------------------------------------

    def grid(
        self, path: yaml_lines.Path, model: type[Frozen], fields: dict[str, Any], start: dict[str, Any]
    ) -> tuple[Variant, ...]:
        """Every point of a grid over `model`: all combinations of the listed values, in the order written."""
        before = len(self.document.mistakes)
        self.unknown_keys(path, fields, model.model_fields, "key")
        points = self._points(path, model, fields)
        count = math.prod(len(listed) for _, listed in points)
        if count > MOST_POINTS:
            self.add(path, f"a grid of {count:,} points; at most {MOST_POINTS:,}")
        if len(self.document.mistakes) > before:
            return ()
        searched = {key: model.model_fields[key] for key in fields if _is_searched(fields[key])}
        space = {key: _space(field, fields[key]) for key, field in searched.items()}
        defaults = {key: value for key in space for value in _default(searched[key], key, start)}
        if count * corner_count(space) > MOST_POINTS:
            combinations = f"{corner_count(space):,} combinations of two searched values, under {count:,} grid points"
            self.add(path, f"{combinations}; at most {MOST_POINTS:,} together: search a range, or fewer choices")
            return ()
        around = corners(space) or [{}]
        variants = []
        for values in itertools.product(*(listed for _, listed in points)):
            chosen = dict(zip((key for key, _ in points), values, strict=True))
            value = self._in_all_corners(path, model, chosen, around, start)
            if value is not None:
                whole: Any = value if isinstance(value, Recipe) else value.model_dump(mode="json")
                dumped = value.model_dump(mode="json")
                variants.append(Variant(whole, {key: dumped[key] for key in chosen}, space, defaults))
        return tuple(variants)

    def _in_all_corners(
        self,
        path: yaml_lines.Path,
        model: type[M],
        chosen: dict[str, Any],
        around: list[dict[str, Any]],
        start: dict[str, Any],
    ) -> M | None:
        """The point with the first of all searched values; None where some of them do not go with the rest."""
        first: M | None = None
        for corner in around:
            value = self.model(path, model, chosen | corner, start)
            if value is None:
                return None
            first = first or value
        return first

    def _points(
        self, path: yaml_lines.Path, model: type[Frozen], fields: dict[str, Any]
    ) -> list[tuple[str, list[Any]]]:
        """The values of each field: one, or those of its grid."""
        points = []
        for key, value in fields.items():
            if key in model.model_fields and _is_searched(value):
                self._searched((*path, key), model.model_fields[key], value)
            elif key in model.model_fields:
                points.append((key, self._values((*path, key), model.model_fields[key], value)))
        return points

    def _values(self, path: yaml_lines.Path, field: FieldInfo, value: Any) -> list[Any]:
        if not isinstance(value, list) or _problem(field, value) is None:  # a tuple-valued field takes a list as it is
            self._check(path, field, value)
            return [value]
        if not value:
            self.add(path, "an empty grid; give at least one value")
        for index, item in enumerate(value):
            self._check((*path, index), field, item)
        self._check_once(path, value, "grid")
        return value

    def _check_once(self, path: yaml_lines.Path, values: list[Any], what: str, meant: list[Any] | None = None) -> None:
        """No value stands twice; nor do two ways to write it, where it is said what the values mean."""
        seen: set[Hashable] = set()
        for value, same in zip(values, map(_hashable, meant or values), strict=True):
            if same in seen:
                self.add(path, f"the value {shown(value)} stands twice in this {what}")
                return
            seen.add(same)

    def check_fields(self, path: yaml_lines.Path, model: type[Frozen], fields: dict[str, Any]) -> None:
        """Each field by itself, where the whole cannot be checked."""
        self.unknown_keys(path, fields, model.model_fields, "key")
        for key in fields.keys() & model.model_fields.keys():
            self._check((*path, key), model.model_fields[key], fields[key])

    def _check(self, path: yaml_lines.Path, field: FieldInfo, value: Any) -> None:
        problem = _problem(field, value)
        if problem is not None:
            self.add(path, problem + self.hint(path, value, field))

    def hint(self, path: yaml_lines.Path, value: Any, field: FieldInfo, several: bool = True) -> str:
        """What would be right where a field's value is wrong only by how it is written; empty where it is not."""
        as_part = composed.written(field, value)
        return as_part or self.meant(path, value, lambda other: _problem(field, other) is None, several)

    def meant(self, path: yaml_lines.Path, value: Any, fits: Fits, several: bool = True) -> str:
        """The same of any value, where `fits` tells what would be right."""
        return hint(value, self.document.written(path), fits, several)

    def _searched(self, path: yaml_lines.Path, field: FieldInfo, value: dict[str, Any]) -> None:
        """A range or a choice: well formed, and every value that it names one of the field's."""
        kind: type[Frozen] = Range if "range" in value else Choice
        ends = value.get("range")
        if kind is Range and not (isinstance(ends, list) and len(ends) == 2):
            self.add((*path, "range"), f"must be [lowest, highest], found {shown(ends)}")
            return
        if self.model(path, kind, value) is None:
            return
        if kind is Range and (why := composed.no_range(field, value["range"])):
            self.add((*path, "range"), why)
            return
        before = len(self.document.mistakes)
        key = "range" if kind is Range else "choice"
        for index, item in enumerate(value[key]):
            self._check((*path, key, index), field, item)
        if kind is Choice and len(self.document.mistakes) == before:
            self._check_once(path, value[key], "choice", [_written(field, item) for item in value[key]])
        if kind is Range and len(self.document.mistakes) == before:
            step = value.get("step")
            if step is not None and step != int(step) and _is_integer(field, value):
                self.add((*path, "step"), f"must be a whole number, as the field's values are, found {step:g}")

    # -- helpers ----------------------------------------------------------------------------------------------------

    def named(self, path: yaml_lines.Path, value: Any) -> tuple[str | None, dict[str, Any]]:
        """A bare name, or one name with its options: ``dhkd`` or ``dhkd: {alpha: 1}``."""
        if isinstance(value, str):
            return value, {}
        if isinstance(value, dict) and len(value) == 1:
            name, options = next(iter(value.items()))
            if options is None or isinstance(options, dict):
                return name, options or {}
            self.add((*path, name), f"must be a mapping of options, found {shown(options)}")
            return None, {}
        self.add(path, f"must be a name, or one name with its options ('name: {{key: value}}'), found {shown(value)}")
        return None, {}

    def listed(self, path: yaml_lines.Path, value: Any) -> list[Any]:
        """A list's entries; none, with the mistake noted, where `value` is no list or an empty one. None is none too,
        without a mistake: that the key lacks a value is noted elsewhere."""
        if value is None:
            return []
        if not isinstance(value, list) or not value:
            self.add(path, f"must be a list with at least one entry, found {shown(value)}{as_list(value)}")
            return []
        return value

    def one_of(self, path: yaml_lines.Path, value: Any, names: tuple[str, ...]) -> Any:
        """`value` where it is one of `names`; else the first of these, with the mistake noted, to read on with."""
        if value not in names:
            self.add(path, unknown_name("value", value, names))
            return names[0]
        return value

    def unknown_keys(self, path: yaml_lines.Path, data: dict[str, Any], known: Iterable[str], what: str) -> None:
        """Note each key of `data` that is not `known` as a mistake, which the message calls an unknown `what`."""
        for key in data:
            if key not in known:
                self.add((*path, key), unknown_name(what, key, known))

    def model(
        self, path: yaml_lines.Path, model: type[M], data: Any, start: dict[str, Any] | None = None, single: str = ""
    ) -> M | None:
        """`data` over `start` as a model; None, with the mistakes noted, where it is none.

        `single`: why a field of it has one value, for who gives it a grid or a range.
        """
        if not isinstance(data, dict):
            self.add(path, f"must be a mapping, found {shown(data)}")
            return None
        try:
            return model.model_validate_json(_json((start or {}) | data), strict=True)
        except ValidationError as error:
            for detail in error.errors():
                self._pydantic_mistake(path, model, detail, single)
            return None

    def _pydantic_mistake(self, path: yaml_lines.Path, model: type[BaseModel], detail: Any, single: str) -> None:
        where = (*path, *detail["loc"])
        if detail["type"] == "extra_forbidden":
            self.add(where, unknown_name("key", detail["loc"][-1], model.model_fields))
        elif detail["type"] == "missing":
            self.add(where, "this key is missing")
        elif single and _is_varied(detail):
            self.add(where, f"{single}, found {shown(detail['input'])}")
        else:
            field = model.model_fields.get(str(detail["loc"][0])) if len(detail["loc"]) == 1 else None
            hinted = "" if field is None else self.hint(where, detail["input"], field, several=False)
            self.add(where, _message(detail) + hinted)


def _is_varied(detail: Any) -> bool:
    """Whether the value of a whole field is several, where it is no field of several."""
    value = detail["input"]
    several = isinstance(value, list) or _is_searched(value)
    return several and len(detail["loc"]) == 1 and not detail["type"].startswith("too_")


def _is_searched(value: Any) -> bool:
    return isinstance(value, dict) and bool({"range", "choice"} & set(value))


def _space(field: FieldInfo, value: dict[str, Any]) -> dict[str, Any]:
    """A searched field as :data:`search_spaces.space.Space` has it, its values as the field writes them."""
    if "choice" in value:
        return {"choice": [_written(field, item) for item in value["choice"]]}
    low, high = (Decimal(str(end)) for end in value["range"])
    step = None if value.get("step") is None else Decimal(str(value["step"]))
    if step is not None:
        high -= (high - low) % step  # the last value that the steps reach
    numbers = {"range": [_plain(low), _plain(high)], "step": None if step is None else _plain(step)}
    return {"log": value.get("log", False), "integer": _is_integer(field, value)} | numbers


def _default(field: FieldInfo, name: str, start: dict[str, Any]) -> list[Any]:
    """A field's value where nothing is said of it, as the field writes it; none where it must be given."""
    if name in start:
        return [_written(field, start[name])]
    if field.is_required():
        return []
    return [_adapter(field).dump_python(field.get_default(call_default_factory=True), mode="json")]


def _plain(number: Decimal) -> int | float:
    """5 for 5.0, so that a space is the same however its numbers are written."""
    return int(number) if number == int(number) else float(number)


def _is_integer(field: FieldInfo, value: dict[str, Any]) -> bool:
    return all(isinstance(_written(field, end), int) for end in value["range"])


def _written(field: FieldInfo, value: Any) -> Any:
    """A field's value as a dump of its model has it: 1 is 1.0 where the field is a float."""
    adapter = _adapter(field)
    return adapter.dump_python(adapter.validate_json(_json(value), strict=True), mode="json")


_adapters: dict[int, tuple[FieldInfo, TypeAdapter[Any]]] = {}
"""By the field's identity, for fields cannot be hashed; each with its field, so that the identity stays its own."""


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    """What checks one field by itself. It is made once: to make it takes longer than a hundred checks."""
    if id(field) not in _adapters:
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)  # has its own config
        adapter: TypeAdapter[Any] = TypeAdapter(
            Annotated[field.annotation, field],  # type: ignore[arg-type]
            config=None if nested else ConfigDict(allow_inf_nan=False),
        )
        _adapters[id(field)] = field, adapter
    return _adapters[id(field)][1]


def _problem(field: FieldInfo, value: Any) -> str | None:
    """What is wrong with one value of a field; None when nothing is."""
    try:
        _adapter(field).validate_json(_json(value), strict=True)
    except ValidationError as error:
        detail = error.errors()[0]
        return composed.inside(field, detail, _message(detail))
    return None


def _message(detail: Any) -> str:
    text = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    of_fields = detail["type"] == "value_error" and isinstance(
        detail["input"], dict
    )  # such a model names what it found
    value = "" if of_fields or "found" in text else f", found {shown(detail['input'])}"
    return f"{text[0].lower()}{text[1:]}{value}"


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _hashable(value: Any) -> Hashable:
    """Equal for equal values, lists and mappings included."""
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    return value if isinstance(value, Hashable) else repr(value)


def is_int(value: Any) -> bool:
    """Whether a value is a whole number; YAML's true and false are none, though Python counts them among them."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value as a message shows it."""
    if value is None:
        return "nothing"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def as_seeds(value: Any) -> tuple[int, ...]:
    """The seeds that their number, or a list of them, stands for; none where it is neither."""
    if is_int(value):
        return tuple(range(value)) if 1 <= value <= MOST_SEEDS else ()
    listed = value if isinstance(value, list) and len(value) <= MOST_SEEDS else []
    fit = all(is_int(seed) and seed >= 0 for seed in listed) and len(set(listed)) == len(listed)
    return tuple(listed) if fit else ()
