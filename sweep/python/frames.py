"""A sweep's trials as flat records, and tables as pandas has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sweep.ledger.origin import origin_of
from sweep.plan.labels import student_of, teacher_of
from sweep.plan.slots import Plan
from sweep.results.read import Trial

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def trial_records(plan: Plan, trials: Iterable[Trial], *, counted: bool = True) -> list[dict[str, Any]]:
    """One record for each planned trial under each of its pairs; accuracies in percent. `counted`: whether the trials
    tell how many epochs they have."""
    some = list(trials)
    varied = list(dict.fromkeys(name for trial in some for name in trial.slot.varied))
    return [
        _record(plan, trial, counted) | {f"param.{name}": trial.slot.varied.get(name) for name in varied}
        for trial in some
    ]


def _record(plan: Plan, trial: Trial, counted: bool) -> dict[str, Any]:
    slot, body = trial.slot, trial.body
    last, best = body.get("last") or {}, body.get("best") or {}
    teacher, student = teacher_of(slot.pair), student_of(slot.pair)
    return {
        "stage": slot.stage,
        "pair": slot.pair,
        "teacher": teacher if student else None,
        "student": student or teacher,
        "method": slot.method,
        "label": slot.row,
        "recipe": slot.recipe,
        "seed": slot.seed,
        "state": trial.state,
        "test_acc": last.get("test_acc"),
        "val_acc": last.get("val_acc"),
        "best_test_acc": best.get("test_acc"),
        "epochs": trial.epochs if counted else None,
        "seconds": body.get("seconds"),
        "reason": body.get("reason"),
        "taken_from": origin.sweep if (origin := origin_of(body)) else None,
        "trial": trial.key,
        "sweep": plan.name,
    }


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """A table as a frame, texts as texts: Arrow's dictionaries would become categories."""
    import pyarrow as pa

    for place, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            decoded = table.column(place).cast(column.type.value_type)
            table = table.set_column(place, column.name, decoded)
    return table.to_pandas()
