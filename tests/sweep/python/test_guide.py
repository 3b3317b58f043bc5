"""The guide names what there is, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import sweep
from sweep.python.comparison import Comparison
from sweep.python.planned import Planned
from sweep.python.results import Results
from sweep.python.student import Student
from sweep.python.sweeps import Sweep

GUIDE = (Path(__file__).parents[3] / "docs" / "python.md").read_text()
OFFERED = (Sweep, Planned, Results, Comparison, Student)


def test_every_call_in_the_guide_is_there() -> None:
    called = set(re.findall(r"`\.(\w+)", GUIDE)) | set(re.findall(r"(?:study|results)\.(\w+)\(", GUIDE))
    assert {"plan", "run", "table", "trials", "epochs", "arrow", "compare", "figure", "student"} <= called
    assert [name for name in called if not any(hasattr(kind, name) for kind in OFFERED)] == []
    assert set(re.findall(r"\bsweep\.(\w+)\(", GUIDE)) == set(sweep.__all__)


def test_every_public_call_is_in_the_guide() -> None:
    public = {name for kind in (Sweep, Planned, Results) for name in vars(kind) if not name.startswith("_")}
    assert [name for name in public - {"name"} if f".{name}" not in GUIDE and f"`{name}`" not in GUIDE] == []
