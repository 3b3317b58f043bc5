"""A server one of whose routes lets nothing in: what goes there is set aside, and the rest is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.board import board_of, leaderboard
from sweep.results.records import records
from sweep.tracking import read_back
from sweep.tracking.sync import sync
from tests.support.boards import tell
from tests.support.served_mlflow import served
from tests.support.tracked import runs

NewStore = Callable[..., str]
ARTIFACTS = "/api/2.0/mlflow-artifacts/"


@pytest.mark.slow(2)
@pytest.mark.parametrize("status", [403, 404])
def test_files_that_a_proxy_forbids_cost_nothing_else(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore, tmp_path: Path, status: int
) -> None:
    tell(ledger, small_plan)
    ledger.append("report", body={"markdown": "| a table |", "records": [{"label": "kd"}], "figure": None})
    ledger.append("stop", body={"exit_code": 0})
    uri, said = new_store(), list[str]()
    forbidden = [status]
    with served(uri, tmp_path / "files", lambda path: forbidden[-1] if ARTIFACTS in path else None) as server:
        sync(root, "small", server, said.append)
        assert "spec.yaml" in said[0]
        assert "leaderboard.json" in said[0]
        assert f"({status} (" in said[0]
        assert runs(uri)["sweep"].info.status == "FINISHED"
        assert records(board_of(read_back.read("small", server))) == records(leaderboard(ledger))
        forbidden.append(None)
        said.clear()
        sync(root, "small", server, said.append)
        assert said == []
        assert len(list((tmp_path / "files").rglob("leaderboard.json"))) == 1
        assert len(list((tmp_path / "files").rglob("spec.yaml"))) == 1
