"""Pytest in processes of their own, forked from one that has loaded what takes long to load."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutants.reach import Reach, Reached

NO_ANSWER, LIMIT = "no tests", "limit"
"""Said in place of a test's name: the tests could not be loaded, or did not come to their end."""


MOST_SECONDS = 10
"""Of a test that sees a fault: one that is marked `slow` with more, or without a number, is left to the whole suite."""


class Short:
    """Pytest's plugin that leaves long tests out."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if _seconds(item) <= MOST_SECONDS]


def _seconds(item: pytest.Item) -> float:
    """As its mark says."""
    mark = item.get_closest_marker("slow")
    return 0 if mark is None else float(mark.args[0]) if mark.args else math.inf


class Chosen:
    """Pytest's plugin that runs some tests, in their order, and knows the first that failed."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.failed = ""
        self._place = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place), key=lambda one: self._place[one.nodeid]
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")


def reached(checkout: Path, package: str, paths: Sequence[str], within: float) -> dict[str, Reached]:
    """What each short test of these files and folders runs of the package. Raises SystemExit where that fails."""

    def run() -> object:
        reach = Reach(checkout, package)
        _pytest(reach, *paths)
        return {name: asdict(test) for name, test in reach.tests.items()}

    found = _forked(checkout, run, within)
    if not isinstance(found, dict):
        raise SystemExit(f"the tests of {package} did not come to their end ({found})")
    return {name: Reached(**test) for name, test in found.items()}


def failing(checkout: Path, tests: Sequence[str], within: float) -> str:
    """The first of these tests that fails, or :data:`NO_ANSWER`, or :data:`LIMIT`; empty where all pass."""

    def run() -> object:
        chosen = Chosen(tests)
        code = _pytest(chosen, "-x", *sorted({test.partition("::")[0] for test in tests}))
        return chosen.failed or ("" if code == pytest.ExitCode.OK else NO_ANSWER)

    return str(_forked(checkout, run, within)) if tests else ""


def _pytest(plugin: object, *words: str) -> int:
    loaded_before = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    return pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", *loaded_before, *words], plugins=[Short(), plugin])


def _forked(checkout: Path, run: Callable[[], object], within: float) -> Any:
    """What a function returns that is called in a process of its own, with all that it starts ended."""
    answer = checkout.parent / "answer.json"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _child(checkout, run, answer)
    until = time.monotonic() + within
    while not (ended := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < until:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
        return LIMIT
    return json.loads(answer.read_text("utf-8")) if answer.exists() else NO_ANSWER


def _child(checkout: Path, run: Callable[[], object], answer: Path) -> None:
    """The forked process; it does not come back."""
    try:
        os.setpgid(0, 0)
        said = os.open(checkout.parent / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(checkout)
        os.environ["PYTHONPATH"] = str(checkout)
        sys.path.insert(0, str(checkout))
        answer.write_text(json.dumps(run()), "utf-8")
    finally:
        os._exit(0)
