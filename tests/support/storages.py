"""Storages of both kinds, and machines in front of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.object_store import ObjectStore, serving
from trainers.storage.shared import Storage, storage_at

Machine = Callable[[str], tuple[Storage, Path]]
"""A machine by its name: the storage, as it sees it, and its own root."""


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A server that speaks S3."""
    with serving() as store:
        yield store


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new storage: a shared folder, or a prefix in an object store."""
    if request.param == "folder":
        return (tmp_path / "shared").as_uri()
    store: ObjectStore = request.getfixturevalue("object_store")
    return store.uri(f"{tmp_path.parent.name}/{tmp_path.name}")


@pytest.fixture
def machine(uri: str, tmp_path: Path) -> Machine:
    def make(name: str) -> tuple[Storage, Path]:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        return storage_at(uri, root), root

    return make
