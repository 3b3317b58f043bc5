"""A ledger's facts: what it remembers that is no event, such as how far an MLflow server has been told.

Each has a checksum, in a fact of its own right behind it: another column, or another table, would lock earlier releases
out. Those replace a fact alone, which makes it a later row than its checksum; that counts no more then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sweep.ledger import checks
from trainers.errors import StorageError

SUM = " sum"
"""How the name of the fact ends that holds another's checksum."""
_FACTS = f"""
SELECT fact.name, fact.value, sum.value
FROM facts AS fact LEFT JOIN facts AS sum ON sum.name = fact.name || '{SUM}' AND sum.rowid > fact.rowid
"""


def read(database: sqlite3.Connection, path: Path, name: str) -> str | None:
    """A fact; None where there is none. Raises StorageError where it is not what was written."""
    row = database.execute(f"{_FACTS} WHERE fact.name = ?", (name,)).fetchone()
    return _value(path, row) if row else None


def write(
    database: sqlite3.Connection, name: str, value: str, existing: Literal["REPLACE", "IGNORE"] = "REPLACE"
) -> None:
    """Write a fact and its checksum; of an existing one, the old or the new."""
    rows = (name, value, f"{name}{SUM}", checks.fact_sum(name, value))
    database.execute(f"INSERT OR {existing} INTO facts VALUES (?, ?), (?, ?)", rows)


def verify(database: sqlite3.Connection, path: Path) -> None:
    """Read all of them. Raises StorageError where one is not what was written, or is gone."""
    rows = database.execute(_FACTS).fetchall()
    there = {name for name, *_ in rows}
    for row in rows:
        _value(path, row)
        of = row[0].removesuffix(SUM)
        if of not in there:
            raise StorageError(checks.sentence(path, f"its note '{of}' is gone"))


def _value(path: Path, row: Sequence[Any]) -> str:
    name, value, written = row
    if written not in (None, checks.fact_sum(name, value)):
        what = "id" if name == "id" else f"note '{name}'"
        raise StorageError(checks.sentence(path, f"its {what} is not what was written"))
    return str(value)
