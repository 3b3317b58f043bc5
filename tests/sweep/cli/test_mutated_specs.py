"""Shipped specs after random changes, through the command: each is planned, or refused with one message.

``benchmarks/mutated_specs.py`` tries a thousand of them, and far too large ones, each in a process of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from sweep.cli import app
from tests.support.mutations import mutated

SPECS = 40
BLOCKS = 5
"""Tests that share them, to run side by side."""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[bytes], int]:
    """Plans a spec's bytes; the exit code, after a look at what was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "app", get_command(app.app))  # the same command, not built anew every time

    def planned(content: bytes) -> int:
        Path("spec.yaml").write_bytes(content)
        with pytest.raises(SystemExit) as end:
            app.main(["plan", "spec.yaml", "--root", "runs"])
        out, err = capsys.readouterr()
        assert end.value.code in (0, 2), content
        assert (bool(out), err.count("sweep: ")) == ((True, 0) if end.value.code == 0 else (False, 1)), content
        assert "Traceback" not in err, content
        return int(end.value.code)

    return planned


@pytest.mark.slow(1)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_mutated_spec_is_planned_or_refused(block: int, plan: Callable[[bytes], int]) -> None:
    draw = random.Random(block)
    codes = [plan(mutated(draw)) for _ in range(SPECS)]
    assert {0, 2} == set(codes)
