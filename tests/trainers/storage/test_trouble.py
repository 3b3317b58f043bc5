"""What a storage did not take whole is never taken for given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.object_store import serving
from tests.support.storages import Machine
from tests.support.troubled_store import UPLOAD, tell
from trainers.errors import AwayError
from trainers.storage.shared import Storage, storage_at

PART = 10 * 1024 * 1024
"""Of an upload, in Arrow; a file of so many bytes and more has several."""


@pytest.fixture(scope="session")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("troubled") / "trouble.json"


@pytest.fixture(scope="session")  # as the other store: the keys to both are in the environment until the end
def troubled(trouble: Path) -> Iterator[str]:
    tell(trouble)
    with serving(trouble=trouble) as store:
        yield store.uri("troubled")


@pytest.fixture
def storage(troubled: str, tmp_path: Path) -> Storage:
    return storage_at(troubled, tmp_path)


@pytest.mark.slow(3)
@pytest.mark.parametrize("size", [0, 10, PART + 10])
@pytest.mark.parametrize("refused", UPLOAD)
def test_a_store_without_room_is_an_error_at_whatever_step(
    refused: str, size: int, storage: Storage, trouble: Path, tmp_path: Path
) -> None:
    folder = tmp_path / f"{refused}-{size}"
    folder.mkdir()
    (folder / "new.bin").write_bytes(bytes(size))
    tell(trouble, refused=[refused])
    try:
        with pytest.raises(AwayError, match=r"the storage s3:.* No space is left\."):
            storage.push(folder / "new.bin")
        with pytest.raises(AwayError, match=f"during {refused}"):
            storage.mirror(folder)
    finally:
        tell(trouble)
    assert storage.sizes(folder) == {}
    storage.mirror(folder)
    assert storage.sizes(folder) == {"new.bin": size}


@pytest.mark.slow(3)
@pytest.mark.parametrize("refused", UPLOAD)
def test_what_was_there_stays_until_the_next_is_there(
    refused: str, storage: Storage, trouble: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"claim-{refused}.json"
    path.write_bytes(b"one")
    storage.push(path)
    path.write_bytes(b"another")
    tell(trouble, refused=[refused])
    try:
        with pytest.raises(AwayError):
            storage.push(path, anew=True)
    finally:
        tell(trouble)
    assert storage.read(path) == b"one"


@pytest.mark.slow(3)
def test_a_file_that_is_given_halfway_is_not_there(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, root = machine("one")

    def interrupted(source: IO[bytes], target: IO[bytes], length: int) -> None:
        target.write(source.read(length))
        raise KeyboardInterrupt

    (root / "some.bin").write_bytes(bytes(PART))
    monkeypatch.setattr(shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.push(root / "some.bin")
    assert not storage.has(root / "some.bin")
    assert storage.sizes(root) == {}
