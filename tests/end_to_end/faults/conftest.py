"""One sweep that nothing disturbed, shared by all processes that test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from sweep.layout import Root
from tests.support.command import User, made_once
from tests.support.fault_harness import SPEC, begin, results

RESULTS = "results.txt"


@dataclass(frozen=True)
class Undisturbed:
    """A sweep that ran from start to end."""

    root: Root
    results: str
    """See :func:`tests.support.fault_harness.results`."""


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Undisturbed:
    def run(folder: Path) -> None:
        user = User(folder, SPEC).given(empty_store)
        done = user.end(begin(user))
        assert done.code == 0, done.out + done.err
        (folder / RESULTS).write_text(results(user))

    folder = made_once(tmp_path_factory, "undisturbed-search", run)
    return Undisturbed(Root(folder / "runs"), (folder / RESULTS).read_text())


@pytest.fixture
def user(tmp_path: Path, empty_store: Path) -> User:
    """Somebody with the same spec, and nothing run yet."""
    return User(tmp_path / "user", SPEC).given(empty_store)
