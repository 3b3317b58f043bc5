"""What answers at once must not import what takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.examples import begin, record

pytestmark = pytest.mark.slow(1)

HEAVY = ("torch", "torchvision", "ray", "mlflow", "optuna", "sklearn", "scipy", "matplotlib", "pandas")
WATCHED = """
import atexit, json, sys

@atexit.register
def tell():
    print("LOADED", json.dumps(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)

from sweep.cli import main
main()
"""


@dataclass(frozen=True)
class Watched:
    """A `sweep` command that has ended, and the top-level modules it had imported."""

    code: int
    out: str
    loaded: set[str]


def watched(*arguments: str, **environment: str) -> Watched:
    command = [sys.executable, "-c", WATCHED, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    text, _, loaded = done.stderr.rpartition("LOADED ")
    assert loaded, done.stderr
    assert "Traceback" not in text, text
    return Watched(done.returncode, done.stdout, set(json.loads(loaded)))


@pytest.fixture
def told(root: Root, ledger: Ledger, small_plan: Plan) -> Root:
    """A root with a sweep that has results."""
    begin(ledger, small_plan)
    for slot in small_plan.slots:
        record(ledger, small_plan, slot, [90.0])
    return root


def test_the_watch_sees_what_is_imported() -> None:
    done = watched("list", "recipes")
    assert done.code == 0
    assert {"sweep", "typer", "pydantic"} <= done.loaded


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["teachers", "import", "--help"], ["list", "recipes"]],
    ids=" ".join,
)
def test_help_is_cheap(arguments: list[str]) -> None:
    done = watched(*arguments)
    assert done.code == 0
    assert done.out
    assert not done.loaded & set(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--format", "json"],
        ["leaderboard"],
        ["leaderboard", "--format", "latex"],
        ["leaderboard", "--published"],
        ["list", "sweeps"],
    ],
    ids=" ".join,
)
def test_looking_at_a_sweep_is_cheap(told: Root, arguments: list[str]) -> None:
    done = watched(*arguments, "--root", str(told.path))
    assert done.code == 0
    assert "small" in done.out or "dhkd" in done.out
    assert not done.loaded & set(HEAVY)


def test_the_ui_of_an_empty_root_is_refused_cheaply(root: Root) -> None:
    done = watched("ui", "--root", str(root.path))
    assert done.code == 2
    assert not done.loaded & set(HEAVY)


@pytest.mark.parametrize(("typed", "expected"), [("sweep run dig", "digits-alpha"), ("sweep status sm", "small")])
def test_completion_is_cheap(told: Root, typed: str, expected: str) -> None:
    words = str(len(typed.split()) - 1)
    asked = {"_SWEEP_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": words}
    done = watched(SWEEP_ROOT=str(told.path), **asked)
    assert expected in done.out.split()
    assert not done.loaded & set(HEAVY)
