"""Where runs are tracked, and how MLflow is set up before it is imported."""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

from sweep.layout import DEFAULT_ROOT, Root
from sweep.text import without_password
from trainers.errors import InputError

SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")


def tracking_uri(root: Root, given: str | None) -> str:
    """Where runs are tracked: `given`, else ``MLFLOW_TRACKING_URI``, else a database below the root.

    Raises:
        InputError: for an address that is none of MLflow's.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or own_database(root)
    try:
        scheme = urlsplit(uri).scheme.split("+")[0]
    except ValueError:
        scheme = ""
    if scheme not in SCHEMES:
        raise InputError(
            f"tracking URI '{without_password(uri)}' is not an address that MLflow reads;"
            " give http://host:port of a server, or sqlite:///path/to/mlflow.db"
        )
    return uri


def command(verb: str, root: Root, uri: str) -> str:
    """A `sweep` command as the user would type it for this root and tracking server."""
    start = "uv run sweep" if "UV" in os.environ else "sweep"
    place = f" --root {root.path}" if root.path != DEFAULT_ROOT else ""
    return f"{start} {verb}{place}" + ("" if uri == own_database(root) else f" --tracking-uri {without_password(uri)}")


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
