"""A file of findings: one JSON object a line, each written whole and at once."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.errors import InputError

Finding = dict[str, Any]
"""`stage`, and `what` was looked at; for a figure `value`, `quartiles`, `goal` and whether it is `met`; `error`, where
it could not be looked at; `ended`, of a stage; whatever else was seen, by name."""
DIGITS = 6
"""Significant digits of a number that is written."""


@dataclass(frozen=True)
class Findings:
    """The file that a run adds to."""

    path: Path

    def begin(self) -> None:
        """Get ready to add; a line that an earlier run could not finish is ended.

        Raises:
            InputError: where the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                size = file.tell()
                file.seek(max(size - 1, 0))
                if file.read(1) not in (b"", b"\n"):
                    file.write(b"\n")
        except OSError as error:
            raise InputError(f"{self.path}: findings cannot be written there ({error}); name another file") from None

    def add(self, finding: Mapping[str, Any]) -> None:
        """Append a line, in one write, and have it on the disk."""
        line = json.dumps(plain(finding), ensure_ascii=False, allow_nan=False) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, line.encode())
            os.fsync(file)
        finally:
            os.close(file)


def read(path: Path) -> list[Finding]:
    """The findings of a file, in their order; a line that was torn off is left out.

    Raises:
        InputError: where there is no such file, or none of its lines is a finding.
    """
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); a run of this script writes it") from None
    found = [finding for finding in map(_finding, lines) if finding is not None]
    if not found:
        raise InputError(f"{path}: no line of it is a finding; `python -m benchmarks.gpu --out {path}` writes them")
    return found


def _finding(line: str) -> Finding | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "stage" in found else None


def plain(value: Any) -> Any:
    """`value` as JSON knows it: floats of few digits, those that are no numbers as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    return str(value)
