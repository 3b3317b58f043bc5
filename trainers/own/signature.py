"""A function's keyword arguments as the fields of a config: names, types, defaults and bounds."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError

from trainers.config import Frozen
from trainers.own.registration import Origin
from trainers.storage.content import canonical_json

P = TypeVar("P", bound=Frozen)

WITHOUT_SOURCE = ConfigDict(use_attribute_docstrings=False)
"""For what is made of a function: pydantic would look through all modules for the lines that it was written in."""


def positional(given: Callable[..., Any]) -> list[str]:
    """The names of a function's arguments before the ``*``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, argument in inspect.signature(given).parameters.items() if argument.kind in kinds]


def config(
    given: Callable[..., Any],
    base: type[P],
    more: Mapping[str, tuple[Any, Any]] | None = None,
    *,
    must_default: bool = True,
) -> type[P]:
    """A config whose fields are the function's keyword arguments, and `more` (type and default by name).

    Args:
        given: the function; its arguments after the ``*`` count.
        base: of the config.
        more: fields that every such config has.
        must_default: whether every argument needs a default.

    Raises:
        InputError: for an argument without a type or default, or of a name that is taken, and for defaults that their
            type does not allow.
    """
    fields = dict(more or {})
    for name, argument in inspect.signature(given).parameters.items():
        if argument.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if name in fields or hasattr(base, name) or name in base.__class_vars__ or name.startswith("_"):
            raise Origin.of(given).refuse(f"the argument '{name}' has a name that is taken here; give it another")
        if argument.annotation is inspect.Parameter.empty:
            raise Origin.of(given).refuse(f"the argument '{name}' has no type; write `{name}: float`, say")
        missing = argument.default is inspect.Parameter.empty
        if missing and must_default:
            raise Origin.of(given).refuse(f"the argument '{name}' has no default; write `{name}: … = …`")
        default = str(argument.default) if isinstance(argument.default, Path) else argument.default  # as specs have it
        fields[name] = (_hint(given, name, argument.annotation), ... if missing else default)
        check_order(name, fields[name][0], Origin.of(given))
    return _made(given, base, fields)


def _hint(given: Callable[..., Any], name: str, annotation: Any) -> Any:
    """The type of one argument. Those of the others may be names that are there for type checkers alone."""
    space = getattr(inspect.unwrap(given), "__globals__", {})
    try:
        return get_type_hints(types.SimpleNamespace(__annotations__={name: annotation}), space, include_extras=True)[
            name
        ]
    except Exception as error:  # an expression of the user's
        raise Origin.of(given).refuse(f"the type of the argument '{name}' cannot be read: {error}") from error


def check_order(name: str, hint: Any, origin: Origin) -> None:
    """Raises InputError for a type that holds a set: written down, it has another order in every process, and so would
    a trial's key."""
    if hint in (set, frozenset) or get_origin(hint) in (set, frozenset):
        raise origin.refuse(f"the argument '{name}' is a set, whose order is another in every process; take a tuple")
    for part in get_args(hint):
        check_order(name, part, origin)


def _made(given: Callable[..., Any], base: type[P], fields: dict[str, tuple[Any, Any]]) -> type[P]:
    name = getattr(given, "__name__", "own")
    module = getattr(given, "__module__", None) or __name__
    try:
        made: type[P] = create_model(f"{name}_params", __base__=base, __module__=module, **fields)  # type: ignore[call-overload]
        if not any(default is ... for _, default in fields.values()):
            canonical_json(made().model_dump(mode="json")).encode()  # half a character is none
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        why = str(error).splitlines()[0]
        raise Origin.of(given).refuse(f"an argument's type is none that a spec can hold: {why}") from error
    except (ValidationError, ValueError) as error:
        raise Origin.of(given).refuse(f"a default is none that its type allows: {reason(error)}") from error
    return made


def reason(error: ValueError) -> str:
    """What is wrong with a value, and which, in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
