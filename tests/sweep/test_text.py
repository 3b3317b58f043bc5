"""Exceptions in one line."""

from __future__ import annotations

import pytest

from sweep.text import LONGEST_REASON, first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("what it says"), "ValueError: what it says"),
        (RuntimeError("\n  first\nsecond\n"), "RuntimeError: first"),
        (KeyError(), "KeyError"),
        (OSError("  \n "), "OSError"),
    ],
)
def test_an_exception_becomes_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_a_long_reason_is_cut() -> None:
    line = first_line(ValueError("x" * 1000))
    assert len(line) == LONGEST_REASON
    assert line.startswith("ValueError: xxx")
    assert line.endswith("x…")
    exact = "x" * (LONGEST_REASON - len("ValueError: "))
    assert first_line(ValueError(exact)) == f"ValueError: {exact}"
