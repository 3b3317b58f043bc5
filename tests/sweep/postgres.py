"""A real PostgreSQL server, where this machine has the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

USER = "postgres"
"""Whom the server runs as where the tests run as root, which it refuses."""
DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where there is none."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(DEBIAN.glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


class Postgres:
    """A server of its own, on a socket in a temporary folder, without a port.

    Raises:
        OSError, subprocess.CalledProcessError: when it cannot be set up.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._as = {"user": USER} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not pytest's: a socket's path has 107 characters
        if self._as:
            shutil.chown(self._folder, USER)
        self._do("initdb", "-D", str(self._data), "-A", "trust", "-U", "somebody", "--no-sync")
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        self._do("pg_ctl", "-D", str(self._data), "-l", str(self._folder / "log.txt"), "-o", options, "-w", "start")

    @property
    def uri(self) -> str:
        """With a password, which the server does not ask for."""
        return f"postgresql://somebody:secret@/postgres?host={self._folder}"

    def close(self) -> None:
        self._do("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _do(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, **self._as)  # type: ignore[call-overload]
