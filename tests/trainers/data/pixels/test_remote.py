"""Data sets in an object store: fetched once, the same as those on a disk."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest
import torch

from tests.support.object_store import ObjectStore, serving
from tests.trainers.data.examples import encode, pixels, write_parquet
from trainers.data import DATASETS, ImageData
from trainers.data.pixels.cache import VARIABLE
from trainers.errors import InputError
from trainers.storage.copying import give
from trainers.storage.shared import connected

TRAIN, TEST = pixels(10, seed=1), pixels(4, seed=2)


def upload(folder: Path, uri: str) -> None:
    """Give every file of a folder, by the way a user has: not the project's."""
    files, base = connected(uri)
    for path in folder.rglob("*"):
        if path.is_file():
            give(path, files, f"{base}/{path.relative_to(folder).as_posix()}")


def load(kind: str, place: str, cache: Path, **options: object) -> ImageData:
    """As a spec names it, on a machine whose cache is `cache`."""
    os.environ[VARIABLE] = str(cache)
    return DATASETS[kind].model_validate({"path": place} | options).load()


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "published", TRAIN, TEST)
    return tmp_path / "published"


def fetched(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "fetched").rglob("*.parquet"))


@pytest.mark.parametrize("file", ["", "/train-00000-of-00002.parquet"])
def test_parquet_is_the_same_from_an_object_store(
    published: Path, object_store: ObjectStore, tmp_path: Path, file: str
) -> None:
    prefix = f"{tmp_path.name}/data"
    upload(published, object_store.uri(prefix))
    options = {} if not file else {"test": "test-*.parquet"}
    near = load("parquet", f"{published}{file}", tmp_path / "near", **options)
    far = load("parquet", object_store.uri(prefix + file), tmp_path / "far", **options)
    assert far.content == near.content
    assert far.classes == near.classes
    source = DATASETS["parquet"].model_validate({"path": object_store.uri(prefix)})
    assert source.identity == DATASETS["parquet"].model_validate({"path": published}).identity
    assert source.model_dump(mode="json")["path"] == object_store.uri(prefix)


def test_class_folders_are_the_same_from_an_object_store(object_store: ObjectStore, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number, image in enumerate(TRAIN):
            path = tmp_path / "published" / split / f"class-{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(image))
    upload(tmp_path / "published", object_store.uri(f"{tmp_path.name}/folders"))
    near = load("folder", str(tmp_path / "published"), tmp_path / "near", image_size=8)
    far = load("folder", object_store.uri(f"{tmp_path.name}/folders"), tmp_path / "far", image_size=8)
    assert far.content == near.content
    assert torch.equal(far.train.labels, near.train.labels)


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_class_folders_that_nobody_has_split_are_split_alike(
    object_store: ObjectStore, tmp_path: Path, memory_gb: float
) -> None:
    for number, image in enumerate(TRAIN):
        path = tmp_path / "published" / f"class-{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(image))
    place = f"{tmp_path.name}/{memory_gb}"
    upload(tmp_path / "published", object_store.uri(place))
    options = {"image_size": 8, "test_fraction": 0.4, "memory_gb": memory_gb, "workers": 0}
    near = load("folder", str(tmp_path / "published"), tmp_path / "near", **options)
    far = load("folder", object_store.uri(place), tmp_path / "far", **options)
    assert (far.content, far.test.labels.tolist()) == (near.content, near.test.labels.tolist())
    assert sorted(near.test.labels.tolist()) == [0, 0, 1, 1]


def test_a_class_that_is_gone_from_the_store_is_gone_here(object_store: ObjectStore, tmp_path: Path) -> None:
    for number, image in enumerate(TRAIN[:9]):
        path = tmp_path / "published" / f"class-{number % 3}" / "deep" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(image))
    uri = object_store.uri(f"{tmp_path.name}/shrinking")
    upload(tmp_path / "published", uri)
    options = {"image_size": 8, "test_fraction": 0.4}
    assert load("folder", uri, tmp_path / "far", **options).classes == ("class-0", "class-1", "class-2")
    files, base = connected(uri)
    files.delete_dir(f"{base}/class-1")
    assert load("folder", uri, tmp_path / "far", **options).classes == ("class-0", "class-2")


def test_what_is_here_is_not_fetched_again_and_what_has_changed_is(
    published: Path, object_store: ObjectStore, tmp_path: Path
) -> None:
    uri, cache = object_store.uri(f"{tmp_path.name}/data"), tmp_path / "cache"
    upload(published, uri)
    first = load("parquet", uri, cache)
    before = {path: path.stat().st_mtime_ns for path in fetched(cache)}
    assert load("parquet", uri, cache).content == first.content
    assert {path: path.stat().st_mtime_ns for path in fetched(cache)} == before
    fetched(cache)[0].write_bytes(b"cut")
    assert load("parquet", uri, cache).content == first.content
    write_parquet(published, pixels(10, seed=3), TEST)
    time.sleep(1)  # the store's clock ticks in seconds, and these files have the sizes of those
    upload(published, uri)
    changed = load("parquet", uri, cache)
    assert changed.content == load("parquet", str(published), tmp_path / "near").content != first.content


def test_a_file_uri_is_a_path(published: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert load("parquet", published.as_uri(), cache).content == load("parquet", str(published), cache).content
    assert fetched(cache) == []


@pytest.mark.slow(1)
def test_a_store_that_is_away_is_no_harm_to_what_was_fetched(
    published: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as store:
        uri = store.uri("data")
        upload(published, uri)
        first = load("parquet", uri, tmp_path / "cache")
        with pytest.raises(InputError, match=r"there is nothing at s3://sweeps/nothing\?.* \(option path\)"):
            load("parquet", store.uri("nothing"), tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        assert load("parquet", uri, tmp_path / "cache").content == first.content
    assert "does not answer" in caplog.text


def test_credentials_in_a_spec_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a password or a key") as error:
        load("parquet", "s3://me:opensesame@bucket/data", tmp_path / "cache")
    assert "opensesame" not in str(error.value)
