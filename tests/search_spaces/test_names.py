"""A sweep's name is the name of its folder, and never a path."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest

from search_spaces.loader import parse_spec
from sweep.layout import Root
from trainers.errors import SpecError

SPEC = "dataset: digits\nrecipe: digits\npairs: [resnet20 -> resnet8]\nmethods: [kd]\n"
ALLOWED = string.ascii_letters + string.digits + "._-"
PATHS = ("..", "../x", "x/..", "a/b", "/a", "a/", "a\\b", "~", "C:x", ".", ".hidden", "-x", "_x", "", " ", "a\0b", "\0")
LOOK_ALIKE = ("a\u2215b", "a\uff0fb", "\u2024\u2024", "\u0661", "\u00e4", "a\u200b", "a\n", "\na", "a\r", "a ")
"""A division slash, a full-width one, dots, an Arabic digit, a letter with dots, what cannot be seen."""


def accepted(name: str) -> bool:
    """Whether a spec may be called so; where not, the name alone is what is wrong with it."""
    try:
        found = parse_spec(f"name: {json.dumps(name)}\n{SPEC}", "f.yaml").name
    except SpecError as error:
        (mistake,) = error.mistakes
        assert "name: must be letters, digits, '.', '_' and '-', at most 64" in mistake.message
        return False
    assert found == name
    return True


@pytest.mark.parametrize("name", [*PATHS, *LOOK_ALIKE], ids=ascii)
def test_a_name_that_is_a_path_or_looks_like_one_is_refused(name: str) -> None:
    assert not accepted(name)


def test_no_other_character_is_part_of_a_name() -> None:
    others = [chr(code) for code in range(128) if chr(code) not in ALLOWED]
    assert [char for char in others if accepted(f"a{char}b")] == []
    assert [char for char in ALLOWED if not accepted(f"a{char}b")] == []


def test_a_name_begins_with_a_letter_or_a_digit() -> None:
    assert [char for char in ALLOWED if accepted(f"{char}a")] == list(string.ascii_letters + string.digits)


def test_a_name_has_at_most_64_characters() -> None:
    assert accepted("a" * 64)
    assert not accepted("a" * 65)


@pytest.mark.parametrize("name", ["a", "Z9", "a..b", "v1.2_final-x", "a" * 64])
def test_a_sweeps_folder_lies_right_below_the_others(name: str, tmp_path: Path) -> None:
    assert accepted(name)
    folder, other = (Root(tmp_path).sweep(some).ledger.parent.resolve() for some in (name, "other"))
    assert folder.parent == other.parent
    assert folder.name == name
