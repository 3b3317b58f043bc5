"""Which lines of a package each test runs, by a run of the unchanged package."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

Lines = dict[str, list[int]]
"""By file, as it is named below the checkout."""


@dataclass
class Reached:
    """What a run showed of one test."""

    seconds: float = 0.0
    passed: bool = True
    lines: Lines = field(default_factory=dict)
    """Those of the package that it and its fixtures run; not what an import runs."""

    def runs(self, file: str, first: int, last: int) -> bool:
        """Whether it runs one of these lines, the last one included."""
        return any(first <= line <= last for line in self.lines.get(file, ()))


class Reach:
    """Pytest's plugin that notes it."""

    def __init__(self, checkout: Path, package: str) -> None:
        self.tests: dict[str, Reached] = defaultdict(Reached)
        self._checkout, self._folder = checkout, str(checkout / package) + os.sep
        self._now: dict[str, set[int]] = defaultdict(set)
        self._of_fixture: dict[str, Mapping[str, set[int]]] = {}

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        """What `sys.settrace` has called at each call of a function."""
        if not frame.f_code.co_filename.startswith(self._folder):
            return None
        file = Path(frame.f_code.co_filename).relative_to(self._checkout).as_posix()

        def line(frame: FrameType, event: str, arg: object) -> Any:
            self._now[file].add(frame.f_lineno)
            return line

        return line

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """One that several tests share is run before the first of them alone, and counts for all."""
        around, self._now = self._now, defaultdict(set)
        try:
            return (yield)
        finally:
            self._of_fixture[fixturedef.argname], self._now = self._now, around

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now, started = defaultdict(set), time.perf_counter()
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            fixtures = [self._of_fixture.get(name, {}) for name in getattr(item, "fixturenames", ())]
            test = self.tests[item.nodeid]
            test.lines, test.seconds = _joined(self._now, *fixtures), time.perf_counter() - started

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tests[report.nodeid].passed &= not report.failed


def _joined(*some: Mapping[str, set[int]]) -> Lines:
    files = {file for lines in some for file in lines}
    return {file: sorted(set().union(*(lines.get(file, set()) for lines in some))) for file in files}
