"""Where runs are tracked, and what is shown of it."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize("uri", ["localhost:5000", "file:///tmp/mlruns", "./mlruns", "ftp://h", "nonsense", "http://["])
def test_other_addresses_are_refused_with_what_would_be_right(root: Root, uri: str) -> None:
    with pytest.raises(InputError, match=r"is not an address that MLflow reads; give http://host:port of a server"):
        tracking_uri(root, uri)


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
