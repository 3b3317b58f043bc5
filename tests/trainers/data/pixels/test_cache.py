"""The decoded cache: written once, shared, and rebuilt when it is damaged."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.data.examples import pixels, structs, write_parquet, write_shard
from trainers.data import ImageData
from trainers.data.pixels import cache
from trainers.data.pixels.cache import cache_folder, channel_statistics
from trainers.data.pixels.fingerprint import fingerprint
from trainers.data.pixels.mapped import MappedSplit
from trainers.data.sources import checks
from trainers.data.sources.parquet import Parquet
from trainers.errors import InputError, StorageError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on

TRAIN, TEST = pixels(10, seed=1), pixels(4, seed=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "set", TRAIN, TEST)
    time.sleep(0.11)  # then it is old enough to be remembered
    return tmp_path / "set"


def opened(folder: Path) -> ImageData:
    return Parquet(path=folder).load()


def entries() -> list[Path]:
    return sorted(path for path in cache_folder().glob("parquet-*"))


def pixels_of(data: ImageData) -> torch.Tensor:
    assert isinstance(data.train, MappedSplit)
    return data.train.images


def test_the_cache_lies_where_the_variable_says(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("SWEEP_CACHE")
    assert cache_folder() == Path("runs/cache")
    monkeypatch.setenv("SWEEP_CACHE", "")
    assert cache_folder() == Path("runs/cache")


def test_a_second_call_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(folder)
    monkeypatch.setattr(Parquet, "_read", None)  # what decodes
    again = opened(folder)
    assert again.content == first.content
    assert torch.equal(pixels_of(again), pixels_of(first))
    assert (again.mean, again.std, again.classes) == (first.mean, first.std, first.classes)


def test_an_entry_holds_what_the_documents_say(folder: Path) -> None:
    opened(folder)
    (entry,) = entries()
    assert sorted(path.name for path in entry.iterdir()) == [
        "about.json",
        "test-images",
        "test-labels",
        "train-images",
        "train-labels",
    ]
    assert (entry / "train-images").read_bytes() == np.ascontiguousarray(TRAIN.transpose(0, 3, 1, 2)).tobytes()
    assert not list(cache_folder().glob(".*.partial"))


def test_a_moved_set_is_the_same_and_a_changed_one_another(folder: Path, tmp_path: Path) -> None:
    first = opened(folder)
    shutil.move(folder, tmp_path / "moved")
    assert opened(tmp_path / "moved").content == first.content
    shutil.copytree(tmp_path / "moved", tmp_path / "copied")
    assert opened(tmp_path / "copied").content == first.content
    assert len(entries()) == 1
    shard = tmp_path / "copied" / "test-00000-of-00001.parquet"
    write_shard(shard, structs(255 - TEST), [0, 1, 2, 0])
    assert opened(tmp_path / "copied").content != first.content
    assert len(entries()) == 2


def test_options_are_part_of_the_entry(folder: Path) -> None:
    opened(folder)
    assert Parquet(path=folder, image_size=12).load().image_size == (12, 12)
    assert len(entries()) == 2
    assert opened(folder).image_size == (8, 8)


def test_content_is_hashed_although_size_and_time_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_bytes(b"first")
    before = file.stat()
    time.sleep(0.11)
    first = fingerprint(tmp_path, [file], tmp_path / "notes")
    file.write_bytes(b"other")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert fingerprint(tmp_path, [file], tmp_path / "notes") != first
    assert len(list((tmp_path / "notes" / "hashes").iterdir())) == 1  # the second changed too short a time ago


def test_the_fingerprint_is_remembered_and_a_damaged_note_is_not_believed(folder: Path, tmp_path: Path) -> None:
    files = list(folder.iterdir())
    digest = fingerprint(folder, files, tmp_path / "notes")
    (note,) = (tmp_path / "notes" / "hashes").iterdir()
    wrong = json.loads(note.read_text())
    wrong["digest"] = "0" * 16
    for text in (json.dumps(wrong), "{", "[]", ""):
        note.write_text(text)
        assert fingerprint(folder, files, tmp_path / "notes") == digest


def test_the_note_saves_reading_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = list(folder.iterdir())
    digest = fingerprint(folder, files, cache_folder())
    monkeypatch.setattr("trainers.data.pixels.file_hashes.file_sha256", None)
    assert fingerprint(folder, files, cache_folder()) == digest


def test_a_file_that_changed_this_instant_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    fingerprint(tmp_path, [tmp_path / "one"], tmp_path / "notes")
    assert not (tmp_path / "notes").exists()


def test_weird_names_are_hashed_apart(tmp_path: Path) -> None:
    digests = set()
    for name in (b"\xff\xfe.png", b"\xff\xfd.png", 'ü\n:;".png'.encode(), b"\\xff\\xfe.png"):
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(b"same")
        digests.add(fingerprint(tmp_path, [path], tmp_path / "notes"))
    assert len(digests) == 4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*gone\.png: No such file"):
        fingerprint(tmp_path, [tmp_path / "gone.png"], tmp_path / "notes")


@pytest.mark.parametrize("name", ["train-images", "test-images", "train-labels", "test-labels", "about.json"])
@pytest.mark.parametrize("damage", ["cut", "bit", "gone", "empty"])
def test_a_damaged_entry_is_decoded_again(
    folder: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened(folder)
    (entry,) = entries()
    content = bytearray((entry / name).read_bytes())
    content[len(content) // 2] ^= 4
    if damage == "gone":
        (entry / name).unlink()
    else:
        (entry / name).write_bytes({"cut": content[: len(content) // 2], "bit": content, "empty": b""}[damage])
    again = opened(folder)
    assert "is damaged and will be decoded again" in caplog.text
    assert again.content == first.content
    assert np.array_equal(pixels_of(again).permute(0, 2, 3, 1), TRAIN)
    assert again.mean == first.mean
    caplog.clear()
    assert opened(folder).content == first.content
    assert not caplog.text


def test_an_open_set_survives_the_rebuilding(folder: Path) -> None:
    first = opened(folder)
    (entry,) = entries()
    content = bytearray((entry / "about.json").read_bytes())
    content[20] ^= 1
    (entry / "about.json").write_bytes(content)
    opened(folder)
    assert np.array_equal(pixels_of(first).permute(0, 2, 3, 1), TRAIN)
    shutil.rmtree(cache_folder())
    assert np.array_equal(pixels_of(first).permute(0, 2, 3, 1), TRAIN)


def test_a_write_to_the_mapping_stays_in_the_process(folder: Path) -> None:
    first = opened(folder)
    assert isinstance(first.train, MappedSplit)
    first.train.store[0] = 0
    assert np.array_equal(pixels_of(opened(folder)).permute(0, 2, 3, 1), TRAIN)


def test_left_overs_of_a_killed_process_are_removed(folder: Path) -> None:
    opened(folder)
    (entry,) = entries()
    shutil.rmtree(entry)
    left_over = cache_folder() / f".{entry.name}.abc.partial"
    left_over.mkdir()
    (left_over / "train-images").write_bytes(b"half")
    opened(folder)
    assert not left_over.exists()


def test_a_fault_leaves_nothing_behind(folder: Path) -> None:
    write_shard(folder / "test-00000-of-00001.parquet", [b"no image"], [0])
    with pytest.raises(InputError, match="row 0 is not a readable image"):
        opened(folder)
    assert entries() == []
    assert not list(cache_folder().glob(".*.partial"))


def test_a_cache_that_cannot_be_written_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "file"
    file.write_bytes(b"")
    monkeypatch.setenv("SWEEP_CACHE", str(file / "cache"))
    with pytest.raises(StorageError, match="file/cache"):
        opened(folder)


def test_a_full_disk_is_an_error_not_a_crash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"cannot write .*: No space left on device"):
        opened(folder)
    assert entries() == []


def test_without_reservation_the_place_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ZEROS", 100)
    monkeypatch.delattr(cache.os, "posix_fallocate")
    assert np.array_equal(pixels_of(opened(folder)).permute(0, 2, 3, 1), TRAIN)


def test_processes_that_open_at_once_decode_once_and_agree(folder: Path) -> None:
    context = multiprocessing.get_context("fork")  # torch is imported already
    found, start = context.Queue(), context.Barrier(3)
    running = [context.Process(target=_open_at, args=(start, folder, found)) for _ in range(3)]
    for process in running:
        process.start()
    results = [found.get(timeout=60) for _ in running]
    for process in running:
        process.join()
    assert {content for content, _ in results} == {opened(folder).content}
    assert sorted(decoded for _, decoded in results) == [0, 0, 1]
    assert len(entries()) == 1


def _open_at(start: Any, folder: Path, found: Any) -> None:
    """In another process: open the set when all are ready, and tell its content and how often it was decoded."""
    logger, records = logging.getLogger("trainers.data.pixels.cache"), []
    logger.setLevel(logging.INFO)
    logger.addFilter(lambda record: bool(records.append(record.msg)) or True)
    start.wait()
    content = opened(folder).content
    found.put((content, sum(record.startswith("decoded") for record in records)))


def test_whoever_waited_takes_what_the_other_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(folder)
    known, calls = cache._opened, []

    def blind_at_first(entry: Path, source: str) -> ImageData | None:
        calls.append(entry)
        return None if len(calls) == 1 else known(entry, source)

    monkeypatch.setattr(cache, "_opened", blind_at_first)
    monkeypatch.setattr(Parquet, "_read", None)
    opened(folder)
    assert len(calls) == 2


def test_subsets_hold_places_not_pixels(folder: Path) -> None:
    data = opened(folder)
    some = data.train.take(torch.tensor([7, 2])).take(torch.tensor([1]))
    assert isinstance(some, MappedSplit)
    assert isinstance(data.train, MappedSplit)
    assert some.store.data_ptr() == data.train.store.data_ptr()
    assert (some.labels.tolist(), some.index.tolist(), len(some)) == ([2], [2], 1)
    assert np.array_equal(some.images[0].permute(1, 2, 0), TRAIN[2])
    assert some.to(torch.device("cpu")) is some
    (batch,) = data.train.batches([torch.tensor([3, 1])])
    assert np.array_equal(batch.images.permute(0, 2, 3, 1), TRAIN[[3, 1]])
    assert batch.labels.tolist() == [0, 1]
    assert batch.index.tolist() == [3, 1]


def test_statistics_of_more_images_than_are_counted_at_a_time() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1500, 3, 4, 4), dtype=np.uint8))
    mean, std = channel_statistics(images)
    scaled = images.double() / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist(), rel=1e-12)


def test_a_disk_without_locks_is_named_with_the_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=rf"cache at {cache} has no file locks \(Function not impl.*choose a --root"):
        opened(folder)


def test_one_class_is_refused_where_an_older_release_has_decoded_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.parquet", structs(TRAIN), [0] * 10)
    with pytest.MonkeyPatch.context() as older:
        older.setattr(checks, "several_classes", lambda classes, what: None)
        older.setattr(cache, "several_classes", lambda classes, what: None)
        assert opened(tmp_path).classes == ("0",)
    with pytest.MonkeyPatch.context() as nothing:
        nothing.setattr(Parquet, "_read", None)  # what decodes
        with pytest.raises(InputError, match=rf"^{tmp_path} has only one class, '0'; a network learns"):
            opened(tmp_path)
