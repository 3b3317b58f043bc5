"""A storage that is away for a while is waited for by who cannot go on without it."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Timer

import pytest

from tests.support.object_store import BUCKET, serving
from trainers.errors import AwayError, StorageError
from trainers.storage import patient as module
from trainers.storage.patient import patient, while_waiting
from trainers.storage.shared import NOWHERE, Storage, storage_at


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that is the storage; :func:`away` takes it away."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "root" / "some.bin"
    path.parent.mkdir()
    path.write_bytes(b"some")
    return path


@pytest.fixture
def storage(shared: Path, file: Path) -> Storage:
    return patient(storage_at(str(shared), file.parent))


def away(shared: Path) -> None:
    shared.rename(shared.with_name("away"))
    shared.write_text("no folder")


def back(shared: Path) -> None:
    shared.unlink()
    shared.with_name("away").rename(shared)


def test_it_is_waited_for_with_one_warning(
    shared: Path, file: Path, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    away(shared)
    timer = Timer(1.5, back, [shared])
    timer.start()
    with caplog.at_level(logging.WARNING):
        storage.push(file)
    timer.join()
    assert (shared / "some.bin").read_bytes() == b"some"
    assert [record.message.partition(" failed: ")[0] for record in caplog.records] == [f"the storage {shared}"]
    assert caplog.records[0].message.endswith("; asking again for 10 minutes")


def test_patience_has_an_end(
    shared: Path, file: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    away(shared)
    with pytest.raises(AwayError, match=f"the storage {shared} failed"):
        storage.push(file)
    assert len(caplog.records) == 1


def test_who_looks_up_may_end_the_wait(shared: Path, file: Path, storage: Storage) -> None:
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise InterruptedError("enough")

    away(shared)
    with while_waiting(look), pytest.raises(InterruptedError, match="enough"):
        storage.push(file)
    back(shared)
    storage.push(file)
    assert len(looks) == 3


def test_what_somebody_has_to_mend_is_an_error_at_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as store:
        absent = patient(storage_at(store.uri("x", "nobodys"), file.parent))
        with pytest.raises(StorageError, match="has no such bucket"):
            absent.push(file)
    with serving(strict=True) as store, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        stranger = patient(storage_at(store.uri("x", BUCKET), file.parent))
        with pytest.raises(StorageError, match="refuses this machine's credentials"):
            stranger.push(file)
    with pytest.raises(StorageError, match="does not lie below"):
        patient(storage_at(str(file.parent.with_name("shared")), file.parent)).push(Path("/elsewhere"))
    assert caplog.records == []


def test_it_answers_as_the_storage_behind_it(shared: Path, file: Path, storage: Storage) -> None:
    storage.check_writable()
    storage.push(file)
    assert (storage.uri, storage.sizes(file.parent)) == (str(shared), {"some.bin": 4})
    assert (storage.has(file), storage.read(file)) == (True, b"some")
    (shared / "some.bin").write_bytes(b"other")
    storage.pull(file.parent, "*.none")
    assert file.read_bytes() == b"some"
    storage.pull(file)
    assert file.read_bytes() == b"other"
    file.write_bytes(b"thing")
    storage.pull(file, anew=True)
    assert file.read_bytes() == b"other"
    file.unlink()
    storage.mirror(file.parent)
    assert not storage.has(file)
    file.write_bytes(b"some")
    storage.push(file, anew=True)
    storage.remove(file)
    assert storage.read(file) is None
    storage.release(file.parent)
    assert not file.parent.exists()


def test_no_storage_needs_no_patience() -> None:
    assert patient(NOWHERE) is NOWHERE
