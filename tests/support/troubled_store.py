"""A server that speaks S3, and is slow or refuses to store when a file says so.

    python -m tests.support.troubled_store ADDRESS PORT FILE

The file holds ``{"seconds": 0.2, "refused": ["UploadPart"]}``: how much longer each answer takes, and for which steps
of an upload there is no room.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

UPLOAD = ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
"""The steps in which Arrow stores a file, of whatever size."""
FULL = "507 Insufficient Storage"
NO_ROOM = b"<Error><Code>XMinioStorageFull</Code><Message>No space is left.</Message></Error>"
"""What MinIO answers then."""
REFUSED = "no room:"
"""Begins a line on standard error for each request that was refused."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def step(asked: dict[str, Any]) -> str | None:
    """Which of :data:`UPLOAD` a request is."""
    query = parse_qs(asked["QUERY_STRING"], keep_blank_values=True)
    if asked["REQUEST_METHOD"] == "PUT" and "partNumber" in query:
        return "UploadPart"
    if asked["REQUEST_METHOD"] == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    return None


def troubled(store: Application, trouble: Path) -> Application:
    """A store with what the file says is wrong with it."""

    def answer(asked: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
        now = json.loads(trouble.read_text())
        time.sleep(now["seconds"])
        if step(asked) not in now["refused"]:
            return store(asked, begin)
        asked["wsgi.input"].read(int(asked.get("CONTENT_LENGTH") or 0))
        print(REFUSED, step(asked), asked["PATH_INFO"], file=sys.stderr)
        begin(FULL, [("Content-Type", "application/xml"), ("Content-Length", str(len(NO_ROOM)))])
        return [NO_ROOM]

    return answer


def tell(trouble: Path, *, seconds: float = 0, refused: Sequence[str] = ()) -> None:
    """Write the file."""
    new = trouble.with_suffix(".new")
    new.write_text(json.dumps({"seconds": seconds, "refused": refused}))
    new.replace(trouble)


def main(address: str, port: str, trouble: str) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    store = troubled(DomainDispatcherApplication(create_backend_app), Path(trouble))
    run_simple(address, int(port), store, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main(*sys.argv[1:])
