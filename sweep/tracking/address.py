"""Where runs are tracked, and how MLflow is set up before it is imported."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from sweep.layout import Root
from sweep.text import without_password
from trainers.errors import InputError

SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
RIGHT = "give http://host:port of a server, or sqlite:///path/to/mlflow.db"
OF_DATABRICKS = ("databricks", "databricks-uc", "uc")


def tracking_uri(root: Root, given: str | None) -> str:
    """Where runs are tracked: `given`, else ``MLFLOW_TRACKING_URI``, else a database below the root.

    Raises:
        InputError: for an address that is none of MLflow's.
    """
    uri = given or _without_word(root)
    try:
        scheme = urlsplit(uri).scheme.split("+")[0]
    except ValueError:
        scheme = ""
    if scheme not in SCHEMES:
        raise InputError(f"tracking URI '{without_password(uri)}' {_what_it_is(uri, scheme)}")
    return uri


def _what_it_is(uri: str, scheme: str) -> str:
    """What is wrong with an address at which no sweep can be tracked, and what would be right."""
    if (scheme or uri) in OF_DATABRICKS:
        return (
            "is Databricks, where sweeps are not tracked: they are told to a server of MLflow's own or to a database;"
            f" {RIGHT}"
        )
    if scheme == "file" or (not scheme and (uri.startswith((".", "~", "/")) or Path(uri).is_dir())):
        store = Path(urlsplit(uri).path if scheme else uri)
        folder = shlex.quote(str(store.parent if store.name == "mlruns" else store))
        return (
            "is a folder, MLflow's file store, where sweeps are not tracked: leave it out, and a database below the"
            f" root is taken, or {RIGHT}. MLflow makes a database of an older store: mlflow"
            f" migrate-filestore --source {folder} --target sqlite:///mlflow.db"
        )
    return f"is not an address that MLflow reads; {RIGHT}"


def command(verb: str, root: Root, uri: str) -> str:
    """A `sweep` command as the user would type it for this root and tracking server."""
    typed = root.typed(verb, shared=not verb.startswith("ui"))
    return typed if uri == _without_word(root) else f"{typed} --tracking-uri {shlex.quote(without_password(uri))}"


def _without_word(root: Root) -> str:
    """Where runs are tracked where a command says nothing of it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or own_database(root)


def own_database(root: Root) -> str:
    """The address of the database below a root."""
    return f"sqlite:///{root.mlflow_database.absolute()}"


def quiet_mlflow() -> None:
    """Set before MLflow is imported: nothing phones home, and a dead server is noticed within seconds."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)
