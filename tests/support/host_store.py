"""An object store on a host called `store`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.hosts import Host, wait_for
from tests.support.object_store import BUCKET

PORT = 9000
URI = f"s3://{BUCKET}/hosts?endpoint_override=store:{PORT}&scheme=http&region=us-east-1"
"""For hosts whose environment has its :data:`~tests.support.object_store.KEYS`."""
MAKE = f"import urllib.request as u; u.urlopen(u.Request('http://store:{PORT}/{BUCKET}', method='PUT'))"


def serve(store: Host, logs: Path) -> None:
    """Begin it, with one empty bucket.

    Args:
        store: the host.
        logs: a folder for what it prints.
    """
    with (logs / "store.txt").open("ab") as log:
        words = ["python", "-m", "moto.server", "-H", "0.0.0.0", "-p", str(PORT)]
        store.start(*words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    answers(store, "store", PORT)
    store.ask("python", "-c", MAKE)


def answers(who: Host, name: str, port: int) -> None:
    """Wait until a host reaches something that takes connections on another."""
    knock = ["bash", "-c", f"exec 3<>/dev/tcp/{name}/{port}"]
    quiet = subprocess.DEVNULL
    wait_for(f"{name} answers at {port}", lambda: who.start(*knock, stdout=quiet, stderr=quiet).wait() == 0)
