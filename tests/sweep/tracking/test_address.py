"""Where runs are tracked, and what is shown of it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.text import without_password
from sweep.tracking import address
from sweep.tracking.address import tracking_uri
from trainers.errors import InputError


def test_the_address_is_the_one_given_then_the_environments_then_a_database_below_the_root(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking_uri(root, None) == f"sqlite:///{root.path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert tracking_uri(root, None) == "http://there:5000"
    assert tracking_uri(root, "http://here:5000") == "http://here:5000"


def test_a_relative_root_is_tracked_at_its_absolute_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(Root(Path("runs")), None) == f"sqlite:///{tmp_path}/runs/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["https://h", "postgresql+psycopg://u:p@h/db", "mysql+pymysql://h/db", "sqlite:////tmp/a.db"]
)
def test_addresses_of_servers_and_databases_are_taken_as_they_are(root: Root, uri: str) -> None:
    assert tracking_uri(root, uri) == uri


@pytest.mark.parametrize("uri", ["localhost:5000", "ftp://h", "nonsense", "http://[", "arn:aws:sagemaker:x"])
def test_other_addresses_are_refused_with_what_would_be_right(root: Root, uri: str) -> None:
    with pytest.raises(InputError, match=r"is not an address that MLflow reads; give http://host:port of a server"):
        tracking_uri(root, uri)


@pytest.mark.parametrize(
    "uri", ["databricks", "databricks://profile", "databricks-uc", "databricks-uc://profile", "uc:x"]
)
def test_databricks_is_named_for_what_it_is(root: Root, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError) as refused:
        tracking_uri(root, None)
    assert str(refused.value) == (
        f"tracking URI '{uri}' is Databricks, where sweeps are not tracked: they are told to a server of MLflow's own"
        " or to a database; give http://host:port of a server, or sqlite:///path/to/mlflow.db"
    )


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("./mlruns", "."),
        ("mlruns", "."),
        ("file:///data/mlruns", "/data"),
        ("file:mlruns", "."),
        ("/data/my runs", "'/data/my runs'"),
        ("~/mlruns", "'~'"),
        ("file:///data/store", "/data/store"),
    ],
)
def test_a_file_store_is_named_for_what_it_is(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    with pytest.raises(InputError) as refused:
        tracking_uri(root, uri)
    text = str(refused.value)
    assert text.startswith(f"tracking URI '{uri}' is a folder, MLflow's file store, where sweeps are not tracked: ")
    assert text.endswith(f": mlflow migrate-filestore --source {source} --target sqlite:///mlflow.db")


# -- commands to paste ------------------------------------------------------------------------------------------------


def pasted(command: str) -> list[str]:
    """What a shell makes of it."""
    return shlex.split(command)


def test_a_command_names_what_is_not_usual_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("UV", "SWEEP_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    usual = Root(Path("runs"))
    assert address.command("sync a", usual, tracking_uri(usual, None)) == "sweep sync a"
    other = Root(tmp_path / "my runs; $HOME [a]")
    assert pasted(address.command("ui", other, tracking_uri(other, None))) == ["sweep", "ui", "--root", str(other.path)]
    away = address.command("sync a", usual, "http://h:5000/?a=b&c='d'")
    assert pasted(away) == ["sweep", "sync", "a", "--tracking-uri", "http://h:5000/?a=b&c='d'"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@h")
    assert address.command("sync a", usual, "http://me:secret@h") == "sweep sync a"
    own = tracking_uri(usual, f"sqlite:///{usual.mlflow_database.absolute()}")
    assert pasted(address.command("sync a", usual, own)) == ["sweep", "sync", "a", "--tracking-uri", own]
    monkeypatch.setenv("SWEEP_ROOT", "/elsewhere")
    assert usual.typed("status a") == "sweep status a --root runs"
    monkeypatch.setenv("UV", "/bin/uv")
    assert usual.typed("status a") == "uv run sweep status a --root runs"


def test_a_command_names_the_storage_where_the_verb_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV", "SWEEP_ROOT"):
        monkeypatch.delenv(name, raising=False)
    root = Root.at(Path("runs"), str(tmp_path / "the shared one"))
    assert pasted(root.typed("sync a")) == ["sweep", "sync", "a", "--storage", str(tmp_path / "the shared one")]
    assert address.command("ui", root, address.tracking_uri(root, None)) == "sweep ui"


def test_a_refused_address_is_shown_without_its_password(root: Root) -> None:
    with pytest.raises(InputError) as refused:
        tracking_uri(root, "ftp://me:secret@host/")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://***@host:5432/db"),
        ("http://me:p@ss@host", "http://***@host"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_passwords_are_not_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown


def test_quiet_mlflow_leaves_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    address.quiet_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
