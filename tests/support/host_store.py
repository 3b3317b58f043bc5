"""An object store on a host called `store`, which may be slow, or full."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.support.hosts import HOME, Host, wait_for
from tests.support.object_store import BUCKET
from tests.support.troubled_store import UPLOAD, tell

PORT = 9000
URI = f"s3://{BUCKET}/hosts?endpoint_override=store:{PORT}&scheme=http&region=us-east-1"
"""For hosts whose environment has its :data:`~tests.support.object_store.KEYS`."""
MAKE = f"import urllib.request as u; u.urlopen(u.Request('http://store:{PORT}/{BUCKET}', method='PUT'))"
TROUBLE = HOME / "trouble.json"
"""On the store's disk: what is wrong with it, see :func:`trouble`."""


def serve(store: Host, logs: Path) -> None:
    """Begin it, with one empty bucket.

    Args:
        store: the host.
        logs: a folder for what it prints.
    """
    trouble(store)
    with (logs / "store.txt").open("ab") as log:
        words = ["python", "-m", "tests.support.troubled_store", "0.0.0.0", str(PORT), str(TROUBLE)]
        process = store.start(*words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    answers(store, "store", PORT, process)
    store.ask("python", "-c", MAKE)


def trouble(store: Host, *, seconds: float = 0, full: bool = False) -> None:
    """From now on each answer takes so many seconds more, and nothing more is stored where it is `full`."""
    tell(store.outside(TROUBLE), seconds=seconds, refused=UPLOAD if full else ())


def answers(who: Host, name: str, port: int, *processes: subprocess.Popen[Any]) -> None:
    """Wait until a host reaches something that takes connections on another; the `processes` must live meanwhile."""
    knock = ["bash", "-c", f"exec 3<>/dev/tcp/{name}/{port}"]
    quiet = subprocess.DEVNULL
    wait_for(f"{name} answers at {port}", lambda: who.start(*knock, stdout=quiet, stderr=quiet).wait() == 0, *processes)
