"""Every path that a sweep writes, below one root. See ``docs/layout-on-disk.md``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trainers.errors import InputError, StorageError
from trainers.storage.files import write_atomically
from trainers.storage.shared import NOWHERE, Storage, storage_at

DEFAULT_ROOT = Path("runs")
PACK = ".sweep.zip"
"""How the name of a pack's file ends (:mod:`sweep.packs`)."""
IGNORED = b"# Made by sweep, so that git leaves out all that lies here.\n*\n"
"""What stands in the `.gitignore` of a root."""


@dataclass(frozen=True)
class Root:
    """What all sweeps share: a folder of this machine and, where there is one, the storage that it is a copy of."""

    path: Path
    storage: Storage = NOWHERE

    @classmethod
    def at(cls, path: Path, uri: str | None) -> Root:
        """The root at `path`, in front of the storage that `uri` names. Raises InputError where it names none."""
        return cls(path, storage_at(uri, path))

    def typed(self, verb: str, *, shared: bool = True) -> str:
        """A `sweep` command as one types it for this root; it can be pasted into a shell.

        Args:
            verb: with its arguments.
            shared: whether the verb takes the storage, too.
        """
        start = "uv run sweep" if "UV" in os.environ else "sweep"
        usual = self.path == DEFAULT_ROOT and "SWEEP_ROOT" not in os.environ
        place = "" if usual else f" --root {shlex.quote(str(self.path))}"
        storage = f" --storage {shlex.quote(self.storage.uri)}" if shared and self.storage.uri else ""
        return f"{start} {verb}{place}{storage}"

    @property
    def teachers(self) -> Path:
        """Trained teachers, by content hash."""
        return self.path / "teachers"

    @property
    def bank(self) -> Path:
        """The teachers' logits, shared by all sweeps; can be removed at any time."""
        return self.path / "bank"

    def code(self, key: str) -> Path:
        """A sweep's own code, by its content (:attr:`trainers.code.Code.key`), as every worker reads it."""
        return self.path / "code" / f"{key}.json"

    @property
    def calibration(self) -> Path:
        """How trials train fastest side by side, as measured, by machine."""
        return self.path / "calibration.json"

    @property
    def latency(self) -> Path:
        """How long students take for their images, as measured, by machine."""
        return self.path / "latency.json"

    @property
    def compiling(self) -> Path:
        """Where it pays to compile students, as measured: decided once for all sweeps of the root, whose keys it is
        part of."""
        return self.path / "compiling.json"

    @property
    def mlflow_database(self) -> Path:
        """The local tracking store, used when no server is named."""
        return self.path / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Artifacts of the local tracking store."""
        return self.path / "mlartifacts"

    @property
    def cache(self) -> Path:
        """Decoded data sets, which any process may map into its memory, and which can be removed at any time."""
        return self.path / "cache"

    def offer_cache(self) -> None:
        """Tell the data sources of this process, and of those that it starts, where the cache lies; torch's compilers
        too, which else write to the system's temporary folder and the user's home."""
        os.environ["SWEEP_CACHE"] = str(self.cache.absolute())
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((self.cache / "inductor").absolute()))
        os.environ.setdefault("TRITON_CACHE_DIR", str((self.cache / "triton").absolute()))

    @contextmanager
    def newly_made(self) -> Iterator[None]:
        """Have git ignore the root where it is made meanwhile; a folder that was there before is its owner's."""
        new = not self.path.exists()
        try:
            yield
        finally:
            if new and self.path.is_dir() and not self.git_ignores.exists():
                with suppress(StorageError):  # whoever needs room says that there is none
                    write_atomically(self.git_ignores, IGNORED, durable=False)

    @property
    def git_ignores(self) -> Path:
        """Has git ignore the root, itself included; only in a root that was made by us."""
        return self.path / ".gitignore"

    @property
    def matplotlib(self) -> Path:
        """Matplotlib's font cache."""
        return self.path / ".matplotlib"

    def slurm(self, name: str) -> Path:
        """The script with which Slurm runs a sweep; beside it lie its jobs' logs, ``NAME-JOB.log``."""
        return self.path / "slurm" / f"{name}.sh"

    def slurm_job(self, name: str) -> Path:
        """The number of the last job of Slurm's that runs, or ran, a sweep."""
        return self.slurm(name).with_suffix(".job")

    @property
    def sweeps(self) -> Path:
        """A folder for each sweep, by its name."""
        return self.path / "sweeps"

    def sweep(self, name: str) -> SweepPaths:
        """The paths of one sweep."""
        return SweepPaths(self.sweeps / name, self.storage)

    def names(self) -> list[str]:
        """Sweeps that have a ledger, the one written to last first."""
        there = [ledger for ledger in self.sweeps.glob("*/ledger.db") if ledger.is_file()]  # no foreign folder
        ledgers = sorted(there, key=_last_written, reverse=True)
        return [ledger.parent.name for ledger in ledgers]

    def choose(self, name: str | None) -> str:
        """`name` if there is such a sweep, or the latest one.

        Raises:
            InputError: when there is none.
        """
        names = self.names()
        if name is None and names:
            return names[0]
        if name in names:
            return str(name)
        known = f"sweeps there: {', '.join(sorted(names))}" if names else "no sweep has run there yet"
        wanted = f"no sweep '{name}'" if name else "no sweep"
        raise InputError(f"there is {wanted} below {self.path}; {known}")

    def check_writable(self) -> None:
        """Raises StorageError when nothing can be written below the root, or to the storage."""
        probe = self.path / f".probe-{os.getpid()}"
        with self.newly_made():
            write_atomically(probe, b"room?" * 1000)
        probe.unlink()
        self.storage.check_writable()


@dataclass(frozen=True)
class SweepPaths:
    """What one sweep writes."""

    folder: Path
    storage: Storage = NOWHERE
    """The root's."""

    @property
    def ledger(self) -> Path:
        """Every event, SQLite."""
        return self.folder / "ledger.db"

    @property
    def root(self) -> Root:
        """Which the sweep lies below."""
        return Root(self.folder.parent.parent, self.storage)

    @property
    def snapshots(self) -> Path:
        """Copies of the ledger, on their way to and from the storage."""
        return self.folder / "snapshots"

    @property
    def snapshot_label(self) -> Path:
        """Which of them is the latest, how far it goes, and whose driver made it."""
        return self.snapshots / "label.json"

    @property
    def divided(self) -> Path:
        """What several drivers that divide the sweep tell each other."""
        return self.folder / "divided"

    @property
    def drivers(self) -> Path:
        """The claims of those who drive the sweep, or want to, on their way to the storage."""
        return self.folder / "drivers"

    @property
    def epochs(self) -> Path:
        """Every epoch of every trial, where `sweep export` was asked for it."""
        return self.folder / "epochs.parquet"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the sweep."""
        return self.folder / "run.lock"

    @property
    def spec(self) -> Path:
        """The spec as it was last run."""
        return self.folder / "spec.yaml"

    @property
    def code(self) -> Path:
        """The user's files as they were last run, to read."""
        return self.folder / "code"

    @property
    def figure(self) -> Path:
        """The accuracies as a picture, made with the leaderboard."""
        return self.folder / "figure.png"

    @property
    def report(self) -> Path:
        """The page with everything."""
        return self.folder / "report.html"

    @property
    def figures(self) -> Path:
        """The report's figures, for print."""
        return self.folder / "figures"

    @property
    def leaderboard(self) -> Path:
        """The table, as Markdown."""
        return self.folder / "leaderboard.md"

    def trial(self, key: str) -> Path:
        """One trial's checkpoints, weights and log."""
        return self.folder / "trials" / key


def _last_written(ledger: Path) -> float:
    files = [ledger, ledger.with_name(ledger.name + "-wal")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
