"""Specs of one line per section, so that the line of a mistake says which section it is in."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from trainers.errors import SpecError


def parsed(lines: Mapping[str, str]) -> Spec:
    """The spec of these sections, in their order."""
    return parse_spec("\n".join(f"{key}: {value}" for key, value in lines.items()), "f.yaml")


def mistakes_in(lines: Mapping[str, str]) -> list[str]:
    """Its mistakes as ``line: message``."""
    with pytest.raises(SpecError) as error:
        parsed(lines)
    return [f"{mistake.line}: {mistake.message}" for mistake in error.value.mistakes]
