"""A distribution that registers something, as pip lays it down, in a folder of the test's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainers.code import installed

PACKAGE = "kd_sweep_plugin_of_a_test"


class Site:
    """A folder of installed distributions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, module: str, **files: str) -> None:
        """A distribution whose entry point names `module`; a file ``__init__`` is that of the package."""
        for name, text in files.items():
            file = self.path / PACKAGE / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        about = self.path / "paper-1.0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: paper\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[kd_sweep]\nmypaper = {module}\n")

    def forget(self) -> None:
        """As a new process begins."""
        for cached in (installed.load_installed, installed.fingerprint, installed._code):
            cached.cache_clear()
        installed._forget(PACKAGE)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    place = Site(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    place.forget()
    yield place
    place.forget()
    installed.load_installed.cache_clear()
