"""The specs that come with the project."""

from __future__ import annotations

import pytest

from search_spaces.files import shipped_specs
from search_spaces.loader import load_spec


def test_some_specs_are_shipped() -> None:
    assert "digits-alpha" in shipped_specs()


@pytest.mark.parametrize("name", shipped_specs())
def test_a_shipped_spec_loads_under_its_name(name: str) -> None:
    spec = load_spec(name)
    assert spec.name == name
    assert spec.description
    assert spec.pairs
    assert spec.seeds
    assert all(grid.variants for grid in spec.methods)


@pytest.mark.parametrize("name", shipped_specs())
def test_a_shipped_spec_starts_with_its_command_cost_and_expectation(name: str) -> None:
    lines = shipped_specs()[name].read_text().splitlines()
    head = lines[: next(index for index, line in enumerate(lines) if not line.startswith("#"))]
    comment = " ".join(line.lstrip("# ") for line in head)
    assert head[0] == f"# sweep run {name}"
    assert any(unit in comment for unit in ("minute", "hour", "second"))
    assert "Expected:" in comment
