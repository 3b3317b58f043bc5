"""MLflow's own web application in this process, behind a proxy that forbids some of its routes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Forbid = Callable[[str], int | None]
"""The status with which a path is answered; None where the application answers."""


@contextmanager
def served(database: str, artifacts: Path, forbid: Forbid) -> Iterator[str]:
    """The address of a server over a database, which takes artifacts too (``--serve-artifacts``).

    Args:
        database: its URI.
        artifacts: where it puts files.
        forbid: what its proxy does not let through.
    """
    with pytest.MonkeyPatch.context() as patch:
        application = _application(patch, database, artifacts)

        class Proxy(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path
                status = forbid(path.partition("?")[0])
                if status is not None:
                    self._say(status, [("Content-Type", "text/html")], b"<title>Not here</title>")
                    return
                headers = [(name, value) for name, value in self.headers.items() if name != "Host"]
                answer = application.test_client().open(path, method=self.command, headers=headers, data=body)
                self._say(answer.status_code, [("Content-Type", answer.content_type)], answer.data)

            def _say(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response(status)
                for name, value in [*headers, ("Content-Length", str(len(body)))]:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
            serving = threading.Thread(target=server.serve_forever, args=(0.01,))
            serving.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                serving.join()


def _application(patch: pytest.MonkeyPatch, database: str, artifacts: Path) -> Any:
    """MLflow's application, told where its stores are as ``mlflow server`` tells it."""
    with warnings.catch_warnings(action="ignore"):
        import mlflow.server
        import mlflow.server.auth  # by a handler, which would hear the warnings
        from mlflow.server import handlers
        from mlflow.server.constants import (
            ARTIFACT_ROOT_ENV_VAR,
            ARTIFACTS_DESTINATION_ENV_VAR,
            BACKEND_STORE_URI_ENV_VAR,
            REGISTRY_STORE_URI_ENV_VAR,
            SERVE_ARTIFACTS_ENV_VAR,
        )

    for name in (BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR):
        patch.setenv(name, database)
    patch.setenv(ARTIFACT_ROOT_ENV_VAR, "mlflow-artifacts:/")
    patch.setenv(ARTIFACTS_DESTINATION_ENV_VAR, artifacts.as_uri())
    patch.setenv(SERVE_ARTIFACTS_ENV_VAR, "true")
    for store in ("_tracking_store", "_model_registry_store", "_artifact_repo"):
        patch.setattr(handlers, store, None)
    # a server sets what follows for its whole process, which here is its client's too
    patch.setattr(handlers.utils, "_tracking_uri", None)
    patch.setenv("MLFLOW_TRACKING_URI", database)
    patch.setattr(handlers.registry_utils, "set_registry_uri", lambda uri: None)
    patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    return mlflow.server.app
