"""The small world of these tests: specs on digits at 8 × 8 pixels, ledgers with made-up results, nothing outside a
temporary folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support import command
from tests.support.examples import small_spec


@pytest.fixture(scope="session", autouse=True)
def contained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches go to a temporary folder, and the environment names no root and no server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        for name in ("MLFLOW_TRACKING_URI", "SWEEP_ROOT", "SWEEP_STORAGE", "SWEEP_ADDRESS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "runs")


@pytest.fixture(scope="session")
def small_plan() -> Plan:
    """One teacher; scratch, kd, and dhkd with two values of alpha; two seeds."""
    return build_plan(small_spec())


@pytest.fixture
def paths(root: Root, small_plan: Plan) -> SweepPaths:
    """Of the sweep that `small_plan` plans."""
    return root.sweep(small_plan.name)


@pytest.fixture
def ledger(paths: SweepPaths) -> Iterator[Ledger]:
    """An empty ledger at its place below the root."""
    with Ledger(paths.ledger) as opened:
        yield opened


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See :func:`tests.support.command.empty_store`."""
    return command.empty_store(tmp_path_factory)


@pytest.fixture(scope="session")
def opened_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this process's own, which MLflow has opened once: what it is imported with is behind it."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    shutil.copyfile(empty_store, path)
    command.open_store(path)
    return path


@pytest.fixture
def new_store(opened_store: Path, tmp_path: Path) -> Callable[[str], str]:
    """Makes a tracking store of the given name; returns its URI."""

    def make(name: str = "mlflow.db") -> str:
        shutil.copyfile(opened_store, tmp_path / name)
        return f"sqlite:///{tmp_path / name}"

    return make
