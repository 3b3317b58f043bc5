"""One sweep that ran from start to end, shared by all processes that test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import SMALL, TYPED, User, made_once

AGAIN = "Ray did not start and is started anew"
"""As happens where the machine is busy with other tests."""
LOGGED = SMALL.replace("models: none", "models: best")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user who ran `LOGGED`; what it printed is in ``first.txt``."""

    def run(folder: Path) -> None:
        user = User(folder, LOGGED)
        user.program = TYPED
        done = user.sweep("run", "spec.yaml")
        assert done.code == 0, done.err
        (folder / "first.txt").write_text(done.out)
        errors = [line for line in done.err.splitlines() if not line.startswith(AGAIN)]
        assert errors == []

    return User(made_once(tmp_path_factory, "undisturbed", run), LOGGED)
