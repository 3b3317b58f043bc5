"""The tree of errors."""

from __future__ import annotations

import pickle

import pytest

from trainers import errors
from trainers.errors import (
    BusyError,
    CheckpointError,
    DivergedError,
    InputError,
    KDError,
    Mistake,
    SpecError,
    StorageError,
)


def test_the_tree_is_the_one_drawn_in_the_docstring() -> None:
    defined = {item.__name__ for item in vars(errors).values() if isinstance(item, type) and issubclass(item, KDError)}
    drawn = {word for word in (errors.__doc__ or "").replace("─", " ").split() if word.endswith("Error")}
    assert defined == drawn
    assert len(defined) <= 9
    assert issubclass(SpecError, InputError)
    assert issubclass(BusyError, InputError)
    assert not issubclass(DivergedError, InputError)


def test_mistakes_are_told_once_each_in_the_order_of_their_lines() -> None:
    late, early = Mistake("f.yaml", 10, "late"), Mistake("f.yaml", 2, "early")
    error = SpecError([late, early, late])
    assert error.mistakes == [early, late]
    assert str(error) == ("2 mistakes in the spec; nothing was started\n  f.yaml:2: early\n  f.yaml:10: late")
    assert str(SpecError([late])).startswith("1 mistake in")


@pytest.mark.parametrize(
    "error",
    [
        InputError("text"),
        BusyError("text"),
        CheckpointError("text"),
        StorageError("text"),
        DivergedError("ce", 3, 7, float("inf")),
        SpecError([Mistake("f.yaml", 2, "early"), Mistake("f.yaml", 3, "late")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_between_processes_unchanged(error: KDError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_a_divergence_says_which_term_and_when() -> None:
    error = DivergedError("kd", 3, 7, float("nan"))
    assert (error.term, error.epoch, error.step) == ("kd", 3, 7)
    assert str(error) == "loss term 'kd' became nan at epoch 3, step 7"
