"""One sweep that ran from start to end, shared by all processes that test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweep.command import SMALL, User, made_once

LOGGED = SMALL.replace("models: none", "models: best")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user who ran `LOGGED`; what it printed is in ``first.txt``."""

    def run(folder: Path) -> None:
        user = User(folder, LOGGED)
        done = user.sweep("run", "spec.yaml")
        assert done.code == 0, done.err
        (folder / "first.txt").write_text(done.out)
        assert done.err == ""

    return User(made_once(tmp_path_factory, "undisturbed", run), LOGGED)
