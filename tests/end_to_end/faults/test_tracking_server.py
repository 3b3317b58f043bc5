"""An MLflow server that dies again and again while a finished sweep is delivered to it."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sweep.layout import Root
from sweep.tracking import delivery, mlflow_internals
from sweep.tracking.projector import Projector
from sweep.tracking.sync import sync
from tests.end_to_end.faults.conftest import Undisturbed
from tests.support.mlflow_server import TrackingServer
from tests.support.tracked import forget, picture
from trainers.errors import StorageError

pytestmark = pytest.mark.slow(60)

LONGEST = 600
"""Seconds after which a delivery is taken for stuck."""


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[TrackingServer]:
    started = TrackingServer(tmp_path, empty_store)
    yield started
    started.kill()


@pytest.fixture
def root(undisturbed: Undisturbed, tmp_path: Path) -> Root:
    """A copy of a finished sweep."""
    copy = Root(tmp_path / "runs")
    shutil.copytree(undisturbed.root.path, copy.path)
    return copy


def kill_when(server: TrackingServer, enough: Callable[[], bool]) -> None:
    """Kill the server when it has taken enough."""
    deadline = time.monotonic() + LONGEST
    while not enough():
        assert time.monotonic() < deadline, server.stored()
        time.sleep(0.005)
    server.kill()


def content(uri: str) -> dict[str, Any]:
    """All that a server holds, less what it draws by lot: the ids of runs, and links that hold them."""
    found = {}
    for key, (_, name, status, start, end, params, tags, points, datasets) in picture(uri).items():
        own = {tag: value for tag, value in tags.items() if tag not in ("mlflow.parentRunId", mlflow_internals.NOTE)}
        found[key] = (name, status, start, end, params, own, points, datasets)
    return found


def test_a_server_killed_three_times_while_it_is_told_holds_everything_once(
    server: TrackingServer, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(0)
    monkeypatch.setattr(delivery, "BATCH", 20)  # so that it also dies between two deliveries, and not in the first only
    paths = root.sweep("small")
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            goal = server.stored() + draw.randint(20, 200)
            told = pool.submit(sync, root, "small", server.uri)
            kill_when(server, lambda: server.stored() >= goal)  # noqa: B023
            with pytest.raises(StorageError, match=r"does not answer .*; try again later"):
                told.result(LONGEST)
            server.start()
    notes: list[str] = []
    projector = Projector(root, paths, server.uri, notes.append)  # as during a run: it waits until the server is back
    goal = server.stored() + draw.randint(20, 200)
    projector.start()
    kill_when(server, lambda: server.stored() >= goal)
    server.start()
    assert projector.close() == 0
    assert sync(root, "small", server.uri) == 0
    assert content(server.uri) == content(f"sqlite:///{root.mlflow_database}")
    forget(paths)
    assert sync(root, "small", server.uri) > 0  # all of it once more
    assert content(server.uri) == content(f"sqlite:///{root.mlflow_database}")
