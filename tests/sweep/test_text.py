"""Exceptions in one line, things counted, and what may be shown of a URI."""

from __future__ import annotations

import pytest

from sweep.text import LONGEST_REASON, counted, first_line, without_password


class DumbError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("what it says"), "ValueError: what it says"),
        (RuntimeError("\n  first\nsecond\n"), "RuntimeError: first"),
        (KeyError(), "KeyError"),
        (OSError("  \n "), "OSError"),
        (DumbError("no one hears this"), "DumbError"),
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


def test_one_of_a_thing_is_no_plural() -> None:
    written = [counted(1, "CPU"), counted(1.0, "GPU"), counted(0, "GPU"), counted(0.25, "GPU"), counted(1500, "trial")]
    assert written == ["1 CPU", "1 GPU", "0 GPUs", "0.25 GPUs", "1,500 trials"]


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://host/db?password=hidden",
        "postgresql://host/db?user=me&password=hidden",
        "postgresql://host/db?sslmode=require&sslpassword=hidden&connect_timeout=5",
        "postgresql://me:hidden@host/db?password=hidden",
        "http://host:5000/?PASSWORD=hidden",
        "http://host:5000/?access_token=hidden",
        "http://host:5000/?client_secret=hidden&token=hidden",
        "http://host:5000/?api_key=hidden",
        "mysql+pymysql://host/db?user=me&passwd=hidden",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dme%3BPWD%3Dhidden",
        "postgresql://host/db?user=me;password=hidden;more",
    ],
)
def test_no_password_of_a_uris_query_is_shown(uri: str) -> None:
    assert "hidden" not in without_password(uri)
    told = without_password(f"cannot connect to {uri} now")
    assert "hidden" not in told
    assert told.startswith("cannot connect to ")
    assert told.endswith(" now")


def test_the_rest_of_a_uris_query_is_shown() -> None:
    plain = "postgresql://host:5432/db?user=me&sslmode=require"
    assert without_password(plain) == plain
    assert without_password("postgresql://host/db?user=me&password=hidden&sslmode=require") == (
        "postgresql://host/db?user=me&password=***&sslmode=require"
    )
