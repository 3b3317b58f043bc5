"""An object store on this machine: a server that speaks S3, in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port

BUCKET = "sweeps"
KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "opensesame", "AWS_EC2_METADATA_DISABLED": "true"}
"""What the environment of a machine holds that may write there."""
LONGEST = 60


class ObjectStore:
    """A running server with one empty bucket.

    Args:
        strict: whether it asks who is there; else it takes any key.
        trouble: the file that says what is wrong with it (:mod:`tests.support.troubled_store`); by default nothing is.
    """

    def __init__(self, *, strict: bool = False, trouble: Path | None = None) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        if trouble is not None:
            command = [sys.executable, "-m", "tests.support.troubled_store", "127.0.0.1", str(self.port), str(trouble)]
        known = {"INITIAL_NO_AUTH_ACTION_COUNT": "1"} if strict else {}
        self._process = subprocess.Popen(
            command, env=os.environ | known, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait()
        except OSError:
            self.close()
            raise
        bucket = urllib.request.Request(f"http://127.0.0.1:{self.port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(bucket).close()

    def uri(self, prefix: str, bucket: str = BUCKET) -> str:
        return f"s3://{bucket}/{prefix}?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + LONGEST
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


@contextmanager
def serving(*, strict: bool = False, trouble: Path | None = None) -> Iterator[ObjectStore]:
    """A server for the time of the block, and in this process's environment the keys to it.

    Without keys nothing is signed, and this server then keeps an upload's frame of checksums as if it were the file's.
    """
    store = ObjectStore(strict=strict, trouble=trouble)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in KEYS.items():
                patch.setenv(name, value)
            yield store
    finally:
        store.close()
