"""What a server answered is told as it was: nobody there, not let in, refused."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.tracking import projector as projector_module
from sweep.tracking import read_back
from sweep.tracking.projector import Projector
from sweep.tracking.sync import sync
from tests.support.boards import tell
from trainers.errors import StorageError

PAGE = (
    "<!DOCTYPE html>\n<html><head><title>\n Sign in &amp; go on</title></head><body>" + "no " * 5000 + "</body></html>"
)


@contextmanager
def answering(status: int, body: str = "", location: str = "") -> Iterator[str]:
    """The address of a server that answers every request in the same way."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


LOGIN = "; check the user and the password: MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD"
ANSWERS = [
    ((200, PAGE), "answers not as MLflow does, but with a page, 'Sign in & go on'"),
    ((200, '[{"a": 1}]'), "answers not as MLflow does, but with '[{\"a\": 1}]'"),
    ((200, "{}"), "answers, but not as MLflow does: is it another service?"),
    ((401, "You are not authenticated."), f"answers 401 (Unauthorized): 'You are not authenticated.'{LOGIN}"),
    ((403, "Permission denied"), f"answers 403 (Forbidden): 'Permission denied'{LOGIN}"),
    ((404, PAGE), "answers 404 (Not Found): a page, 'Sign in & go on'"),
    ((413, "<h1>413</h1>"), "answers 413 (Request Entity Too Large): a page, '<h1>413</h1>'"),
    ((302, "", "/"), "answers every request by sending it on to another address, without end"),
    ((500, "oh"), "answers 500 (Internal Server Error); try again later"),
    ((503, "later"), "answers 503 (Service Unavailable); try again later"),
]


@pytest.mark.parametrize(("answer", "told"), ANSWERS)
def test_an_answer_is_told_as_it_was(
    root: Root, ledger: Ledger, small_plan: Plan, opened_store: object, answer: tuple[int, str], told: str
) -> None:
    tell(ledger, small_plan)
    with answering(*answer) as uri:
        with pytest.raises(StorageError, match=re.escape(f"MLflow at {uri} {told}") + "$"):
            sync(root, "small", uri)
        if answer != (200, "{}"):
            with pytest.raises(StorageError, match=re.escape(f"MLflow at {uri} {told}") + "$"):
                read_back.read("small", uri)


def test_of_a_server_that_is_not_there_the_cause_is_told(root: Root, ledger: Ledger) -> None:
    cause = re.escape("MLflow at http://127.0.0.1:9 does not answer (ConnectionRefusedError: [Errno 111] ")
    with pytest.raises(StorageError, match=rf"^{cause}Connection refused\); try again later$"):
        sync(root, "small", "http://127.0.0.1:9")


def test_one_that_hangs_is_away(
    root: Root, ledger: Ledger, opened_store: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr("sweep.tracking.patience.LONGEST", 0.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with pytest.raises(StorageError, match=r"does not answer \(TimeoutError: timed out\); try again later"):
            sync(root, "small", f"http://127.0.0.1:{deaf.getsockname()[1]}")


def test_a_password_is_not_told(root: Root, ledger: Ledger) -> None:
    with pytest.raises(StorageError) as told:
        sync(root, "small", "http://me:secret@127.0.0.1:9")
    assert "secret" not in str(told.value)


def test_a_database_that_is_away_is_told_with_its_cause(root: Root, ledger: Ledger, opened_store: object) -> None:
    uri = f"sqlite:///{root.path}/there/is/no/folder/mlflow.db"
    (root.path / "there").write_text("no folder")
    with pytest.raises(StorageError, match=r"unable to open database file|Not a directory"):
        sync(root, "small", uri)


def test_while_a_sweep_runs_it_is_told_the_same_way_and_goes_on(
    root: Root, ledger: Ledger, paths: SweepPaths, small_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "POLL_SECONDS", 0.01)
    tell(ledger, small_plan)
    notes: list[str] = []
    with answering(200, PAGE) as uri:
        projector = Projector(root, paths, uri, notes.append)
        projector.start()
        assert projector.close() == ledger.last_seq()
    assert notes == [f"MLflow at {uri} answers not as MLflow does, but with a page, 'Sign in & go on'; going on"]
