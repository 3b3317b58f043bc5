"""Every epoch of every trial of a sweep, as one Parquet file for pandas, Polars or DuckDB.

One line an epoch, ordered by trial; what belongs to the trial stands in each of its lines (and is stored once, as a
dictionary). docs/leaderboard.md describes the columns.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.ledger.origin import origin_of
from sweep.ledger.store import Event, Ledger
from sweep.plan.labels import student_of, teacher_of
from sweep.results.read import outcomes
from trainers.errors import InputError, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

OF_TRIAL = (
    "sweep",
    "trial",
    "stage",
    "pair",
    "teacher",
    "student",
    "method",
    "label",
    "recipe",
    "state",
    "taken_from",
    "config",
)
"""Text columns; `seed` is the trial's as well."""
ACCURACIES = ("train_acc", "train_acc5", "val_acc", "val_acc5", "test_acc", "test_acc5")
NUMBERS = ("loss", "lr", *ACCURACIES, "seconds", "images_per_second", "teacher_images")
"""Of an epoch; null where an epoch has none."""
PARTS = {"terms": "term", "diagnostics": "diagnostic"}
"""Numbers with names of their own: a column for each, such as ``term.ce``."""
TRIALS_AT_ONCE = 256
"""Whose epochs are held in memory, and written as one row group."""


def export(ledger: Ledger, path: Path) -> int:
    """Write every epoch that a ledger holds, of trials that are no longer planned as well; the number of lines.

    The file appears whole or not at all.

    Raises:
        InputError: when no epoch is recorded yet.
        StorageError: when the file cannot be written.
    """
    import pyarrow.parquet as pq

    columns = {part: ledger.epoch_names(part) for part in PARTS}
    if not columns["terms"]:
        raise InputError(f"{ledger.path} holds no epoch yet; there is nothing to export")
    count = 0
    with _written(path) as temporary, pq.ParquetWriter(temporary, schema(columns), compression="zstd") as writer:
        for table in _tables(ledger, columns):
            writer.write_table(table)
            count += table.num_rows
    return count


def epochs(ledger: Ledger) -> pa.Table:
    """What :func:`export` writes, in memory; no line where no epoch is recorded yet."""
    import pyarrow as pa

    columns = {part: ledger.epoch_names(part) for part in PARTS}
    tables = [*_tables(ledger, columns), schema(columns).empty_table()]
    return pa.concat_tables(tables).unify_dictionaries()


def _tables(ledger: Ledger, columns: dict[str, list[str]]) -> Iterator[pa.Table]:
    """The epochs of some trials at a time."""
    starts = {event.trial or "": event.body for event in ledger.events("start")}
    _, states = outcomes(ledger)
    shape = schema(columns)
    for keys in _batches(sorted(starts)):
        lines = [
            _line(event, trial, columns)
            for key in keys
            for trial in [_of_trial(ledger.path.parent.name, key, starts[key], states[key][0])]
            for event in ledger.events("epoch", trial=key)
        ]
        yield as_table(lines, shape)


def _batches(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), TRIALS_AT_ONCE):
        yield keys[start : start + TRIALS_AT_ONCE]


def schema(columns: dict[str, list[str]]) -> pa.Schema:
    """The table's columns.

    Args:
        columns: the names of loss terms and of diagnostics, by :data:`PARTS`.
    """
    import pyarrow as pa

    named = [f"{PARTS[part]}.{name}" for part, names in columns.items() for name in names]
    return pa.schema(
        [
            *((name, pa.dictionary(pa.int32(), pa.string())) for name in OF_TRIAL),
            ("seed", pa.int64()),
            ("epoch", pa.int32()),
            ("time", pa.timestamp("ms", tz="UTC")),
            *((name, pa.float64()) for name in (*NUMBERS, *named)),
        ]
    )


def _of_trial(sweep: str, key: str, start: dict[str, Any], state: str) -> dict[str, Any]:
    teacher, student = teacher_of(start["pair"]), student_of(start["pair"])
    origin = origin_of(start)
    known = {name: start[name] for name in ("stage", "pair", "method", "label", "recipe", "seed")}
    return known | {
        "sweep": sweep,
        "trial": key,
        "teacher": teacher if student else None,
        "student": student or teacher,
        "state": state,
        "taken_from": origin.sweep if origin else None,
        "config": json.dumps(start["config"], ensure_ascii=False, sort_keys=True),
    }


def _line(event: Event, trial: dict[str, Any], columns: dict[str, list[str]]) -> dict[str, Any]:
    body = event.body
    line = trial | {"epoch": event.epoch, "time": int(event.time * 1000)}
    line |= {name: body.get(name) for name in NUMBERS}
    for part, names in columns.items():
        numbers = body.get(part) or {}
        line |= {f"{PARTS[part]}.{name}": numbers.get(name) for name in names}
    return line


def as_table(lines: list[dict[str, Any]], shape: pa.Schema) -> pa.Table:
    """Lines as columns, text as dictionaries."""
    import pyarrow as pa

    arrays = []
    for field in shape:
        values = [line[field.name] for line in lines]
        text = pa.types.is_dictionary(field.type)
        array = pa.array(values, pa.string() if text else field.type)
        arrays.append(array.dictionary_encode().cast(field.type) if text else array)
    return pa.table(arrays, schema=shape)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which becomes `path` when all is written."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
