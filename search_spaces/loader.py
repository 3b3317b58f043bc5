"""From a spec's file to a :class:`~search_spaces.schema.Spec`, with every mistake found in one go.

Grammar: in a method's hyperparameters and in the recipe, a list is a grid, and ``{range: …}`` or ``{choice: …}`` is
searched; every other value is fixed.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from search_spaces import yaml_lines
from search_spaces.schema import (
    NAME_PATTERN,
    Choice,
    Compute,
    MethodGrid,
    Pair,
    Range,
    Search,
    Spec,
    Teachers,
    Variant,
)
from search_spaces.yaml_lines import Document
from trainers.config import Frozen, Recipe
from trainers.errors import InputError, SpecError, unknown_name

SHIPPED = Path(__file__).parent
LARGEST = 1_000_000
"""Bytes; a longer file is not a spec."""
KEYS = (
    "name",
    "description",
    "dataset",
    "recipe",
    "teachers",
    "pairs",
    "methods",
    "seeds",
    "protocol",
    "baseline",
    "search",
    "compute",
)
REQUIRED = ("name", "dataset", "pairs", "methods")
MOST_SEEDS = 10_000
MOST_POINTS = 10_000
"""Points of one grid; more is a slip of the pen, and would fill the memory before it is noticed."""

M = TypeVar("M", bound=BaseModel)


def shipped_specs() -> dict[str, Path]:
    """The specs that come with the project, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def load_spec(spec: str) -> Spec:
    """Load a spec from a file, or a shipped one by its name.

    Raises:
        InputError: when there is no such spec, or it cannot be read as text.
        SpecError: with all mistakes of the spec.
    """
    path = find_spec(spec)
    return parse_spec(_read(path), str(path) if path.parent != SHIPPED else path.name)


def find_spec(spec: str) -> Path:
    """The file of a spec. Raises InputError where there is none."""
    shipped = shipped_specs()
    if spec in shipped:
        return shipped[spec]
    path = Path(spec)
    try:
        if path.is_dir():
            raise InputError(f"{spec} is a folder; a spec is a YAML file, or the name of a shipped spec")
        if path.exists():
            return path
    except OSError as error:  # such as a name that is too long
        raise InputError(f"cannot read {spec}: {error.strerror}") from error
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise InputError(f"there is no file {spec}; shipped specs: {', '.join(shipped)}")
    raise InputError(unknown_name("spec", spec, shipped) + "; or the path of a YAML file")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > LARGEST:
        raise InputError(f"{path} is longer than {LARGEST:,} bytes: not a spec")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file (byte {error.start} is not UTF-8): not a spec") from error


def parse_spec(text: str, source: str) -> Spec:
    """Check and expand a spec's text. Raises SpecError with all its mistakes."""
    document = Document(text, source)
    spec = _Reader(document).read(text) if not document.mistakes else None
    if spec is None or document.mistakes:
        raise SpecError(document.mistakes)
    return spec


class _Reader:
    """Reads a document section by section, noting mistakes and going on."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.add = document.add

    def read(self, text: str) -> Spec | None:
        data = self.document.data
        if not isinstance(data, dict):
            self.add((), f"a spec is a mapping with the keys {', '.join(REQUIRED)}, …; found {_found(data)}")
            return None
        self._unknown_keys((), data, KEYS, "key")
        for key in REQUIRED:
            if key not in data:
                self.add((), f"the key '{key}' is missing")
            elif data[key] is None:
                self.add((key,), "is empty")
        dataset, options = self._dataset(data.get("dataset"))
        protocol = self._one_of(("protocol",), data.get("protocol", "validation"), ("validation", "paper"))
        teachers = self._model(("teachers",), Teachers, data.get("teachers", {}))
        recipe_name, teacher_recipe, recipes = self._recipes(data.get("recipe", "cifar"), teachers, protocol)
        methods = self._methods(data.get("methods"))
        fields = {
            "pairs": self._pairs(data.get("pairs")),
            "seeds": self._seeds(data.get("seeds", 3)),
            "baseline": self._baseline(data, methods),
            "search": self._model(("search",), Search, data.get("search", {})) or Search(),
            "compute": self._model(("compute",), Compute, data.get("compute", {})) or Compute(),
        }
        name, description = self._name(data.get("name")), data.get("description", "")
        if not isinstance(description, str):
            self.add(("description",), f"must be text, found {_found(description)}")
        if self.document.mistakes:
            return None
        return Spec(
            name=name,
            description=description,
            dataset=dataset,
            dataset_options=options,
            recipes=recipes,
            recipe_name=recipe_name,
            teacher_recipe=teacher_recipe,
            teacher_seed=teachers.seed if teachers else 0,
            methods=methods,
            protocol=protocol,
            text=text,
            source=self.document.file,
            **fields,  # type: ignore[arg-type]
        )

    # -- sections ---------------------------------------------------------------------------------------------------

    def _name(self, value: Any) -> str:
        if value is not None and not (isinstance(value, str) and re.fullmatch(NAME_PATTERN, value)):
            self.add(("name",), f"must be letters, digits, '.', '_' and '-', at most 64, found {_found(value)}")
        return str(value)

    def _dataset(self, value: Any) -> tuple[str, dict[str, Any]]:
        from trainers.data import DATASETS

        if value is None:
            return "", {}
        name, options = self._named(("dataset",), value)
        if name is None:
            return "", {}
        if name not in DATASETS:
            self.add(("dataset",), unknown_name("data set", name, DATASETS))
            return name, {}
        found = self._model(("dataset", name), DATASETS[name], options)
        return name, found.model_dump(mode="json") if found else {}

    def _recipes(self, value: Any, teachers: Teachers | None, protocol: str) -> tuple[str, Recipe, tuple[Variant, ...]]:
        from trainers.recipes import RECIPES

        fields = dict(value) if isinstance(value, dict) else {"base": value}
        base = fields.pop("base", "cifar")
        if not isinstance(base, str) or base not in RECIPES:
            self.add(("recipe", "base"), unknown_name("recipe", base, RECIPES))
            base = "cifar"
        if protocol == "paper" and fields.get("val_fraction", 0) != 0:
            self.add(("recipe", "val_fraction"), "protocol 'paper' trains on the full training set; leave this out")
        start = RECIPES[base].model_dump()
        start |= {"val_fraction": 0.0} if protocol == "paper" else {}
        variants = self._grid(("recipe",), Recipe, fields, start)
        if not variants or teachers is None:
            self._fields(("teachers", "recipe"), Recipe, teachers.recipe if teachers else {})
            return base, Recipe(), ()
        # a grid over the recipe is for students; teachers take its fixed fields, then their own
        chosen = variants[0].chosen
        fixed = {key: value for key, value in chosen.items() if all(v.chosen[key] == value for v in variants)}
        teacher = self._model(("teachers", "recipe"), Recipe, teachers.recipe, start | fixed)
        return base, teacher or Recipe(), variants

    def _pairs(self, value: Any) -> tuple[Pair, ...]:
        pairs = []
        for index, item in enumerate(self._list(("pairs",), value)):
            pair = self._pair(("pairs", index), item)
            if pair is not None and pair in pairs:
                self.add(("pairs", index), f"the pair {item} stands here twice")
            pairs += [pair] if pair else []
        return tuple(pairs)

    def _pair(self, path: yaml_lines.Path, item: Any) -> Pair | None:
        from trainers.models import MODELS

        parts = [part.strip() for part in re.split(r"->|→", item)] if isinstance(item, str) else []
        if len(parts) != 2 or not all(parts):
            self.add(path, f"a pair is written 'teacher -> student', found {_found(item)}")
            return None
        for part in parts:
            if part not in MODELS:
                self.add(path, unknown_name("model", part, MODELS))
        return Pair(*parts)

    def _methods(self, value: Any) -> tuple[MethodGrid, ...]:
        from trainers.distillers import METHODS

        methods = []
        for index, item in enumerate(self._list(("methods",), value)):
            path = ("methods", index)
            name, params = self._named(path, item)
            if name is None:
                continue
            if name not in METHODS:
                self.add((*path, name), unknown_name("method", name, METHODS))
                continue
            methods.append(MethodGrid(name, self._grid((*path, name), METHODS[name].Params, params, {})))
        return tuple(methods)

    def _seeds(self, value: Any) -> tuple[int, ...]:
        if _is_int(value) and 1 <= value <= MOST_SEEDS:
            return tuple(range(value))
        listed = value if isinstance(value, list) else []
        if listed and all(_is_int(seed) and seed >= 0 for seed in listed) and len(set(listed)) == len(listed):
            return tuple(listed)
        self.add(("seeds",), f"must be a number of seeds from 1 on, or a list of different ones, found {_found(value)}")
        return ()

    def _baseline(self, data: dict[str, Any], methods: tuple[MethodGrid, ...]) -> str:
        names = {method.name for method in methods}
        if "baseline" not in data:
            return "kd"
        if data["baseline"] not in [*names] and names:
            self.add(("baseline",), unknown_name("baseline (one of this spec's methods)", data["baseline"], names))
        return str(data["baseline"])

    # -- grids ------------------------------------------------------------------------------------------------------

    def _grid(
        self, path: yaml_lines.Path, model: type[Frozen], fields: dict[str, Any], start: dict[str, Any]
    ) -> tuple[Variant, ...]:
        """Every point of a grid over `model`: all combinations of the listed values, in the order written."""
        before = len(self.document.mistakes)
        self._unknown_keys(path, fields, model.model_fields, "key")
        points = self._points(path, model, fields)
        count = math.prod(len(listed) for _, listed in points)
        if count > MOST_POINTS:
            self.add(path, f"a grid of {count:,} points; at most {MOST_POINTS:,}")
        if len(self.document.mistakes) > before:
            return ()
        variants = []
        for values in itertools.product(*(listed for _, listed in points)):
            chosen = dict(zip((key for key, _ in points), values, strict=True))
            value = self._model(path, model, chosen, start)
            if value is not None:
                whole: Any = value if isinstance(value, Recipe) else value.model_dump(mode="json")
                variants.append(Variant(whole, {key: value.model_dump(mode="json")[key] for key in chosen}))
        return tuple(variants)

    def _points(
        self, path: yaml_lines.Path, model: type[Frozen], fields: dict[str, Any]
    ) -> list[tuple[str, list[Any]]]:
        """The values of each field: one, or those of its grid."""
        known = [(key, value) for key, value in fields.items() if key in model.model_fields]
        return [(key, self._values((*path, key), model.model_fields[key], value)) for key, value in known]

    def _values(self, path: yaml_lines.Path, field: FieldInfo, value: Any) -> list[Any]:
        if isinstance(value, dict) and {"range", "choice"} & set(value):
            self._searched(path, value)
            return []
        if not isinstance(value, list) or _problem(field, value) is None:  # a tuple-valued field takes a list as it is
            self._check(path, field, value)
            return [value]
        if not value:
            self.add(path, "an empty grid; give at least one value")
        for index, item in enumerate(value):
            self._check((*path, index), field, item)
        repeated = [item for index, item in enumerate(value) if item in value[:index]]
        if repeated:
            self.add(path, f"the value {repeated[0]!r} stands twice in this grid")
        return value

    def _fields(self, path: yaml_lines.Path, model: type[Frozen], fields: dict[str, Any]) -> None:
        """Each field by itself, where the whole cannot be checked."""
        self._unknown_keys(path, fields, model.model_fields, "key")
        for key in fields.keys() & model.model_fields.keys():
            self._check((*path, key), model.model_fields[key], fields[key])

    def _check(self, path: yaml_lines.Path, field: FieldInfo, value: Any) -> None:
        problem = _problem(field, value)
        if problem is not None:
            self.add(path, problem)

    def _searched(self, path: yaml_lines.Path, value: dict[str, Any]) -> None:
        kind: type[Frozen] = Range if "range" in value else Choice
        if self._model(path, kind, value) is not None:
            self.add(
                path,
                f"asks for a search ({'range' if kind is Range else 'choice'}), which this version does not run yet;"
                " write a list to sweep the values as a grid",
            )

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _named(self, path: yaml_lines.Path, value: Any) -> tuple[str | None, dict[str, Any]]:
        """A bare name, or one name with its options: ``dhkd`` or ``dhkd: {alpha: 1}``."""
        if isinstance(value, str):
            return value, {}
        if isinstance(value, dict) and len(value) == 1:
            name, options = next(iter(value.items()))
            if options is None or isinstance(options, dict):
                return name, options or {}
            self.add((*path, name), f"must be a mapping of options, found {_found(options)}")
            return None, {}
        self.add(path, f"must be a name, or one name with its options ('name: {{key: value}}'), found {_found(value)}")
        return None, {}

    def _list(self, path: yaml_lines.Path, value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list) or not value:
            self.add(path, f"must be a list with at least one entry, found {_found(value)}")
            return []
        return value

    def _one_of(self, path: yaml_lines.Path, value: Any, names: tuple[str, ...]) -> Any:
        if value not in names:
            self.add(path, unknown_name("value", value, names))
            return names[0]
        return value

    def _unknown_keys(self, path: yaml_lines.Path, data: dict[str, Any], known: Iterable[str], what: str) -> None:
        for key in data:
            if key not in known:
                self.add((*path, key), unknown_name(what, key, known))

    def _model(self, path: yaml_lines.Path, model: type[M], data: Any, start: dict[str, Any] | None = None) -> M | None:
        """`data` over `start` as a model; None, with the mistakes noted, where it is none."""
        if not isinstance(data, dict):
            self.add(path, f"must be a mapping, found {_found(data)}")
            return None
        try:
            return model.model_validate_json(_json((start or {}) | data), strict=True)
        except ValidationError as error:
            for detail in error.errors():
                self._pydantic_mistake(path, model, detail)
            return None

    def _pydantic_mistake(self, path: yaml_lines.Path, model: type[BaseModel], detail: Any) -> None:
        where = (*path, *detail["loc"])
        if detail["type"] == "extra_forbidden":
            self.add(where, unknown_name("key", detail["loc"][-1], model.model_fields))
        elif detail["type"] == "missing":
            self.add(where, "this key is missing")
        else:
            self.add(where, _message(detail))


def _problem(field: FieldInfo, value: Any) -> str | None:
    """What is wrong with one value of a field; None when nothing is."""
    adapter: TypeAdapter[Any] = TypeAdapter(
        Annotated[field.annotation, field],  # type: ignore[arg-type]
        config=ConfigDict(allow_inf_nan=False),
    )
    try:
        adapter.validate_json(_json(value), strict=True)
    except ValidationError as error:
        return _message(error.errors()[0])
    return None


def _message(detail: Any) -> str:
    text = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    found = "" if "found" in text else f", found {_found(detail['input'])}"
    return f"{text[0].lower()}{text[1:]}{found}"


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
