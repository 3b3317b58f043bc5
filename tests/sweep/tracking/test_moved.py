"""A root that was moved or copied: what MLflow was given is found where the root lies now."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.tracking.address import own_database
from sweep.tracking.moved import follow
from sweep.tracking.sync import sync
from sweep.tracking.ui import serve
from tests.support.boards import tell
from tests.support.ports import free_port
from tests.support.tracked import client_of, copy_store, runs


@pytest.fixture
def tracked(root: Root, opened_store: Path, small_plan: Plan) -> Root:
    """A root whose own database has a sweep, with a spec, a table and a model."""
    root.path.mkdir()
    shutil.copyfile(opened_store, root.mlflow_database)
    with Ledger(root.sweep("small").ledger) as ledger:
        tell(ledger, small_plan)
    sync(root, "small", own_database(root))
    uri = own_database(root)
    client, parent = client_of(uri), runs(uri)["sweep"]
    model = client.create_logged_model(parent.info.experiment_id, "resnet8", parent.info.run_id)
    (root.path / "graph").write_text("a graph")
    client.log_model_artifact(model.model_id, str(root.path / "graph"), "")
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("resnet8-digits")
    run, source = parent.info.run_id, str(model.artifact_location)
    client.create_model_version("resnet8-digits", source, run_id=run, model_id=model.model_id)
    return root


def read_artifact(root: Root, name: str = "spec.yaml") -> str:
    """What MLflow's client downloads of the sweep's own run."""
    uri = own_database(root)
    with TemporaryDirectory() as place:
        run = runs(uri)["sweep"].info.run_id
        return Path(client_of(uri).download_artifacts(run, name, place)).read_text()


def lie_below(root: Root, top: Path) -> bool:
    """Whether all that MLflow knows of a place lies below a root: of the run, the model and its version."""
    uri = own_database(root)
    client, parent = client_of(uri), runs(uri)["sweep"]
    (model,) = client.search_logged_models([parent.info.experiment_id])
    version = client.get_model_version("resnet8-digits", "1")
    places = [parent.info.artifact_uri, model.artifact_location, version.source]
    places.append(client.get_model_version_download_uri("resnet8-digits", "1"))
    return all(place.startswith(f"{(top / 'mlartifacts' / 'small').as_uri()}/") for place in places)


def moved(root: Root, to: Path) -> Root:
    to.parent.mkdir(parents=True, exist_ok=True)
    root.path.rename(to)
    return Root(to)


@pytest.mark.slow(2)
def test_a_root_that_was_moved_finds_its_artifacts(tracked: Root, tmp_path: Path) -> None:
    before = tracked.artifacts
    there = moved(tracked, tmp_path / "an other place" / "runs")
    with pytest.raises(Exception, match=r"spec\.yaml"):  # MLflow's own, of several kinds
        read_artifact(there)
    assert follow(there) == [str(before)]
    assert read_artifact(there).startswith("name: small")
    assert lie_below(there, there.path)
    assert follow(there) == [], "it is done once"


@pytest.mark.slow(10)
def test_a_delivery_follows_the_root(tracked: Root, tmp_path: Path) -> None:
    there = moved(tracked, tmp_path / "elsewhere")
    with Ledger(there.sweep("small").ledger) as ledger:
        ledger.append("report", body={"markdown": "a new table", "records": [], "figure": None})
    command = [sys.executable, "-m", "sweep.cli", "sync", "small", "--root", str(there.path)]
    subprocess.run(command, check=True, capture_output=True)  # MLflow's client remembers places for its whole process
    assert read_artifact(there, "leaderboard.md") == "a new table"
    assert not tracked.path.exists(), "nothing is written where it lay before"


@pytest.mark.slow(1)
def test_the_ui_follows_the_root_and_says_so(
    tracked: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = moved(tracked, tmp_path / "elsewhere")
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: type("Ended", (), {"wait": lambda self: 0})())
    monkeypatch.setattr(os, "environ", os.environ.copy())
    assert serve(there, None, free_port()) == 0
    assert f"this root was at {tracked.path} before; MLflow's artifacts are found here now" in capsys.readouterr().out
    assert read_artifact(there)


@pytest.mark.slow(1)
def test_a_copy_points_to_its_own_files(tracked: Root, tmp_path: Path) -> None:
    copy = Root(tmp_path / "copy")
    shutil.copytree(tracked.path, copy.path)
    follow(copy)
    assert lie_below(copy, copy.path)
    assert lie_below(tracked, tracked.path)
    for spec in copy.artifacts.rglob("spec.yaml"):
        spec.write_text("of the copy")
    assert read_artifact(copy) == "of the copy" != read_artifact(tracked)


@pytest.mark.slow(1)
def test_artifacts_that_stayed_are_left_where_they_are(tracked: Root, tmp_path: Path) -> None:
    alone = Root(tmp_path / "database-alone")
    alone.path.mkdir()
    copy_store(str(tracked.mlflow_database), str(alone.mlflow_database))
    assert follow(alone) == []
    assert lie_below(alone, tracked.path)
    assert read_artifact(alone)


def test_two_paths_to_one_root_change_nothing(tracked: Root, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tracked.path)
    assert follow(Root(tmp_path / "link")) == []


@pytest.mark.slow(1)
def test_what_is_not_ours_is_left_alone(tracked: Root, tmp_path: Path) -> None:
    before = tracked.artifacts.as_uri()
    others = {"bucket": "s3://a/mlartifacts/bucket", "mine": "file:///elsewhere/mine", "near": f"{before}/small-er"}
    with closing(sqlite3.connect(tracked.mlflow_database)) as database, database:
        for name, place in others.items():
            database.execute(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES (?, ?, 'active')",
                (name, place),
            )
    there = moved(tracked, tmp_path / "elsewhere")
    for name in others:
        (there.artifacts / name).mkdir()
    follow(there)
    with closing(sqlite3.connect(there.mlflow_database)) as database:
        found = dict(database.execute("SELECT name, artifact_location FROM experiments").fetchall())
    assert {name: found[name] for name in others} == others


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_a_file_that_is_no_database_is_left_to_mlflow(root: Root, content: bytes) -> None:
    assert follow(root) == []
    assert not root.path.exists()
    root.path.mkdir()
    root.mlflow_database.write_bytes(content)
    assert follow(root) == []
    assert root.mlflow_database.read_bytes() == content
