"""Where in a user's files an error has happened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.support.own import MYKD, Folder
from trainers.code import THEIRS, place_of, raised_by_theirs, theirs, told
from trainers.errors import InputError

FAILING = f"""{MYKD}
def outer(call):
    return call()

def divide():
    return 1 / 0
"""


def raised(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as error:
        call()
    return error.value


@pytest.fixture
def module(folder: Folder) -> Any:
    folder.load(one=FAILING)
    return sys.modules["one"]


def line(text: str) -> int:
    return FAILING.splitlines().index(text) + 1


def test_the_last_of_the_user_s_lines_is_named(module: Any, folder: Folder) -> None:
    place = f"{folder.path / 'one.py'}:{line('    return 1 / 0')}"
    error = raised(lambda: module.outer(module.divide))
    assert place_of(error) == place
    assert told(error) == f"{place}: ZeroDivisionError: division by zero"


def test_an_error_below_a_user_s_line_is_that_line_s(module: Any, folder: Folder) -> None:
    error = raised(lambda: module.mykd(1, 2, 3))
    assert told(error).startswith(f"{folder.path / 'one.py'}:{line(FAILING.splitlines()[8])}: AttributeError: ")


def test_an_error_of_nobody_s_code_is_told_alone(module: Any) -> None:
    error = raised(lambda: int("x"))
    assert place_of(error) == ""
    assert told(error) == "ValueError: invalid literal for int() with base 10: 'x'"


def test_an_error_of_ours_is_told_as_it_stands(module: Any) -> None:
    def refuse() -> None:
        raise InputError("no such file")

    assert told(raised(refuse)) == "no such file"
    assert told(raised(lambda: module.outer(refuse))).endswith("no such file")


def test_an_error_is_one_line_of_bounded_length(module: Any) -> None:
    def fail() -> None:
        raise ValueError("a" * 1_000 + "\nb")

    text = told(raised(lambda: module.outer(fail)))
    assert "\n" not in text
    assert len(text) < 500


def test_an_error_without_words_is_its_name(module: Any) -> None:
    assert told(KeyError()) == "KeyError"
    assert told(ValueError("\n\n")) == "ValueError"


class Namelessness(type):
    @property
    def __name__(cls) -> str:
        raise ValueError("no name")


class DumbError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class NamelessError(Exception, metaclass=Namelessness):
    pass


def test_an_error_that_cannot_be_told_is_its_name() -> None:
    assert told(DumbError()) == "DumbError"
    assert told(NamelessError("what it says")) == "NamelessError: what it says"


def test_an_error_s_text_steers_no_terminal() -> None:
    assert told(ValueError("\x1b[31mred\a é \ud800")) == r"ValueError: \x1b[31mred\x07 é \ud800"


def test_an_error_that_was_raised_for_another_stands_where_that_does(module: Any, folder: Folder) -> None:
    def fail() -> None:
        try:
            module.divide()
        except ZeroDivisionError as error:
            raise RuntimeError("cannot") from error

    place = f"{folder.path / 'one.py'}:{line('    return 1 / 0')}"
    assert told(raised(fail)) == f"{place}: RuntimeError: cannot"
    circle = ValueError("a")
    circle.__cause__ = circle
    assert told(circle) == "ValueError: a"


class OtherError(BaseException):
    pass


@pytest.mark.parametrize("kind", [OtherError, GeneratorExit])
def test_whatever_is_raised_below_theirs_is_an_error(kind: type[BaseException]) -> None:
    def fail() -> None:
        with theirs():
            raise kind("so")

    error = raised(fail)
    assert isinstance(error, THEIRS)
    assert told(error) == f"{kind.__name__}: so"


class Alarm(BaseException):
    __module__ = "trainers.somewhere"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError, Alarm])
def test_what_others_know_how_to_take_passes_as_it_is(kind: type[BaseException]) -> None:
    def fail() -> None:
        with theirs():
            raise kind

    assert type(raised(fail)) is kind


def test_whether_a_line_of_the_user_s_has_raised_an_error(module: Any) -> None:
    assert raised_by_theirs(raised(module.divide))
    assert raised_by_theirs(raised(lambda: module.outer(sys.exit)))
    assert not raised_by_theirs(raised(lambda: module.outer(lambda: int("x"))))
    assert not raised_by_theirs(ValueError())


def test_what_changes_torch_is_said_once_and_what_has_no_name_never(caplog: pytest.LogCaptureFixture) -> None:
    for what in ("", "method 'one'", "method 'one'", "method 'two'"):
        with theirs(what):
            torch.set_default_dtype(torch.float64)
        assert torch.get_default_dtype() == torch.float32
    assert [said.partition(" changes torch")[0] for said in caplog.messages] == ["method 'one'", "method 'two'"]
