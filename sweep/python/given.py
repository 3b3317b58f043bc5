"""A spec that is a dictionary, read as a file with the same content would be; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import yaml

from trainers.errors import InputError, SpecError, shortened

if TYPE_CHECKING:
    from search_spaces.schema import Spec

SOURCE = "a dict"
"""How messages name where it comes from."""
DEEPEST = 30
"""Levels of a spec; a dictionary of more contains itself."""


def spec_of(content: Mapping[str, Any]) -> Spec:
    """The spec that a dictionary holds.

    Raises:
        InputError: with all its mistakes, or for a value that no spec can hold.
    """
    from search_spaces.loader import parse_spec

    text = yaml.safe_dump(_plain(content, ()), sort_keys=False, allow_unicode=True)
    try:
        return parse_spec(text, SOURCE)
    except SpecError as error:  # each mistake names its key; the line is one of a text that nobody has seen
        head, *_ = str(error).splitlines()
        raise InputError("\n".join([head, *(f"  {mistake.message}" for mistake in error.mistakes)])) from None


def _plain(value: Any, where: tuple[str, ...]) -> Any:
    """A value as YAML has it: NumPy's numbers as numbers, paths as text, tuples as lists."""
    if len(where) > DEEPEST:
        raise InputError(f"{_said(where[:3])}…: the dictionary is nested deeper than any spec; does it hold itself?")
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(inner, (*where, str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(inner, (*where, f"[{place}]")) for place, inner in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | PurePath):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise InputError(
        f"{_said(where)}: a spec holds numbers, texts, lists and dictionaries, found {shortened(repr(value))}"
    )


def _said(where: tuple[str, ...]) -> str:
    return ".".join(where).replace(".[", "[") or "the spec"
