"""The leaderboard as flat records, for JSON, CSV, Parquet and MLflow's table."""

from __future__ import annotations

import statistics
from typing import Any

from sweep import formats
from sweep.results.board import Leaderboard
from sweep.results.rows import Row

# -- formats ------------------------------------------------------------------------------------------------------


def records(board: Leaderboard) -> list[dict[str, Any]]:
    """One flat record per row, for JSON, CSV, Parquet and MLflow's table; docs/leaderboard.md has the columns.

    Rows that the spec's `table` does not show are among them: its order is theirs, and they come last.
    """
    varied = list(dict.fromkeys(key for row in board.rows for key in row.varied))
    return [
        {
            "pair": row.pair,
            "label": row.label,
            "name": board.printed.name(row.label),
            "n": len(row.values),
            "mean": _rounded(row.mean),
            "std": _rounded(row.std),
            "delta": _rounded(row.delta),
            "p_delta": _rounded(row.p_delta),
            "standing": row.standing,
            "p_best": _rounded(row.p_best),
            "mean_best": _rounded(statistics.fmean(row.best.values()) if row.best else None),
            "mean_last": _rounded(statistics.fmean(row.last.values()) if row.last else None),
            "missing": sum(row.missing.values()),
            "tuned": row.tuned,
            "budget": row.budget,
            "recipe_differs": " ".join(f"{name}={value}" for name, (value, _) in row.recipe_differs.items()),
            **_published_record(board, row),
            "method": row.method,
            **{f"param.{key}": row.varied.get(key) for key in varied},
            "recipe": row.recipe,
            "dataset": board.plan.dataset,
            "sweep": board.plan.name,
        }
        for row in sorted(board.rows, key=lambda row: board.printed.place(row.label))
    ]


def _published_record(board: Leaderboard, row: Row) -> dict[str, Any]:
    if board.published is None:
        return {}
    theirs, gap = board.reported(row), board.gap(row)
    return {
        "published": theirs.mean if theirs else None,
        "published_others": " ".join(f"{value:g}" for value in theirs.others) if theirs else "",
        "published_by": "; ".join(theirs.origins) if theirs else "",
        "gap": _rounded(gap.points if gap else None),
        "gap_stds": _rounded(gap.stds if gap else None),
        "reproduced": gap.reproduced if gap and gap.stds is not None else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def to_parquet(board: Leaderboard) -> bytes:
    """The records as a Parquet file."""
    return formats.to_parquet(records(board))
