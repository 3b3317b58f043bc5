"""CIFAR in all its published forms."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainers.data.examples import (
    Pixels,
    cifar10_binary_files,
    cifar10_files,
    cifar100_binary_files,
    cifar100_files,
    old_pickle,
    pixels,
    planes,
    write_archive,
    write_files,
)
from trainers.data import DATASETS, ImageData
from trainers.data.pixels.mapped import MappedSplit
from trainers.data.sources import cifar
from trainers.data.sources.cifar import LARGEST, Cifar100, Store
from trainers.data.sources.inert import read_pickle
from trainers.errors import InputError

TRAIN10, TRAIN100, TEST = pixels(20, 32, 1), pixels(103, 32, 2), pixels(7, 32, 3)
FORMS = {
    "cifar10": {
        "cifar-10-batches-py": (cifar10_files(TRAIN10, TEST), "cifar-10-python.tar.gz"),
        "cifar-10-batches-bin": (cifar10_binary_files(TRAIN10, TEST), "cifar-10-binary.tar.gz"),
    },
    "cifar100": {
        "cifar-100-python": (cifar100_files(TRAIN100, TEST), "cifar-100-python.tar.gz"),
        "cifar-100-binary": (cifar100_binary_files(TRAIN100, TEST), "cifar-100-binary.tar.gz"),
    },
}
CASES = [(name, folder) for name, forms in FORMS.items() for folder in forms]


def opened(name: str, path: Path, **options: Any) -> ImageData:
    return DATASETS[name].model_validate({"path": str(path), **options}).load()


def fault(name: str, path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        opened(name, path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def check(name: str, data: ImageData) -> None:
    """Whether everything is as it was written."""
    train: Pixels = TRAIN10 if name == "cifar10" else TRAIN100
    classes = 10 if name == "cifar10" else 100
    assert isinstance(data.train, MappedSplit)
    assert isinstance(data.test, MappedSplit)
    assert np.array_equal(data.train.images.permute(0, 2, 3, 1), train)
    assert np.array_equal(data.test.images.permute(0, 2, 3, 1), TEST)
    assert data.train.labels.tolist() == [number % classes for number in range(len(train))]
    assert data.test.labels.tolist() == list(range(7))
    assert data.classes == tuple(f"{'class' if classes == 10 else 'fine'}{number}" for number in range(classes))
    assert data.image_size == (32, 32)


@pytest.mark.parametrize(("name", "folder"), CASES)
def test_the_published_folder_is_read(tmp_path: Path, name: str, folder: str) -> None:
    write_files(tmp_path / "data" / folder, FORMS[name][folder][0])
    above, itself = opened(name, tmp_path / "data"), opened(name, tmp_path / "data" / folder)
    check(name, above)
    assert itself.content == above.content


@pytest.mark.parametrize(("name", "folder"), CASES)
def test_the_archive_is_read_without_unpacking(tmp_path: Path, name: str, folder: str) -> None:
    files, archive = FORMS[name][folder]
    write_archive(tmp_path / "data" / archive, folder, files)
    check(name, opened(name, tmp_path / "data"))
    assert [path.name for path in (tmp_path / "data").iterdir()] == [archive]


@pytest.mark.parametrize("name", FORMS)
def test_all_forms_have_one_content(tmp_path: Path, name: str) -> None:
    contents = set()
    for folder, (files, _) in FORMS[name].items():
        write_files(tmp_path / folder / folder, files)
        contents.add(opened(name, tmp_path / folder).content)
    assert len(contents) == 1


def test_pickles_of_today_s_numpy_are_read(tmp_path: Path) -> None:
    write_files(tmp_path / "cifar-100-python", cifar100_files(TRAIN100, TEST, modern=True))
    check("cifar100", opened("cifar100", tmp_path))


def test_statistics_are_those_that_the_field_uses(tmp_path: Path) -> None:
    for name, folder in (("cifar10", "cifar-10-batches-bin"), ("cifar100", "cifar-100-binary")):
        write_files(tmp_path / folder, FORMS[name][folder][0])
    ten, hundred = opened("cifar10", tmp_path), opened("cifar100", tmp_path)
    assert (ten.mean, ten.std) == ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    assert (hundred.mean, hundred.std) == ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))


def test_where_the_files_lie_is_no_part_of_the_key() -> None:
    for name in FORMS:
        assert DATASETS[name].model_validate({"path": "x", "download": True}).identity == {}
        assert DATASETS[name].model_validate({}).model_dump(mode="json") == {"path": "data", "download": False}


# -- faults ---------------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_named_with_all_that_would_do(tmp_path: Path) -> None:
    assert fault("cifar100", tmp_path) == (
        f"no cifar100 in {tmp_path}: it should hold one of cifar-100-python/ or cifar-100-python.tar.gz,"
        " cifar-100-binary/ or cifar-100-binary.tar.gz (option path); or set download: true"
    )
    assert "cifar-10-batches-py/ or cifar-10-python.tar.gz" in fault("cifar10", tmp_path / "none")


def test_class_folders_are_not_taken_for_cifar_100(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    assert fault("cifar100", tmp_path).startswith("no cifar100 in")


@pytest.mark.parametrize("folder", ["cifar-10-batches-py", "cifar-10-batches-bin"])
def test_a_missing_batch_is_named(tmp_path: Path, folder: str) -> None:
    files, archive = FORMS["cifar10"][folder]
    third = next(name for name in files if name.startswith("data_batch_3"))
    rest = {name: content for name, content in files.items() if name != third}
    write_archive(tmp_path / "a" / archive, folder, rest)
    assert fault("cifar10", tmp_path / "a") == (
        f"{tmp_path}/a/{archive} has no {folder}/{third}: the archive is incomplete"
    )
    write_files(tmp_path / "b" / folder, rest)
    assert fault("cifar10", tmp_path / "b") == f"cannot read {tmp_path}/b/{folder}/{third}: No such file or directory"


@pytest.mark.parametrize(("name", "folder"), CASES)
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, name: str, folder: str) -> None:
    files, archive = FORMS[name][folder]
    test = next(file for file in files if file.startswith("test"))
    write_files(tmp_path / folder, files | {test: files[test][:-100]})
    assert fault(name, tmp_path).startswith(f"{tmp_path}/{folder}/{test}")
    (tmp_path / folder / test).unlink()
    write_archive(tmp_path / archive, folder, files)
    whole = (tmp_path / archive).read_bytes()
    (tmp_path / archive).write_bytes(whole[: len(whole) // 2])
    assert fault(name, tmp_path).startswith(f"{tmp_path}/{archive} is not a readable archive: ")


def test_labels_out_of_range_are_named(tmp_path: Path) -> None:
    files = FORMS["cifar10"]["cifar-10-batches-bin"][0]
    broken = bytearray(files["data_batch_2.bin"])
    broken[3073 * 2] = 10
    write_files(tmp_path / "cifar-10-batches-bin", files | {"data_batch_2.bin": bytes(broken)})
    assert fault("cifar10", tmp_path) == (
        f"{tmp_path}/cifar-10-batches-bin/data_batch_2.bin, record 2: label 10 is not one of 0 to 9"
    )
    python = FORMS["cifar100"]["cifar-100-python"][0]
    test = old_pickle({"data": planes(TEST), "fine_labels": [0, 1, -1, 3, 4, 5, 6]})
    write_files(tmp_path / "cifar-100-python", python | {"test": test})
    assert fault("cifar100", tmp_path) == (
        f"{tmp_path}/cifar-100-python/test, record 2: label -1 is not one of 0 to 99"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": planes(TEST)[:, :-1], "fine_labels": [0] * 7}, "'data' is no array of N × 3072 bytes"),
        ({"fine_labels": [0] * 7}, "'data' is no array of N × 3072 bytes"),
        ({"data": [1, 2, 3], "fine_labels": [0] * 3}, "'data' is no array of N × 3072 bytes"),
        ({"data": planes(TEST), "fine_labels": [0] * 6}, "'fine_labels' is no list of 7 labels, one for each image"),
        ({"data": planes(TEST), "labels": [0] * 7}, "'fine_labels' is no list of 7 labels, one for each image"),
    ],
)
def test_files_of_another_make_are_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    files = FORMS["cifar100"]["cifar-100-python"][0]
    write_files(tmp_path / "cifar-100-python", files | {"test": old_pickle(content)})
    assert fault("cifar100", tmp_path) == f"{tmp_path}/cifar-100-python/test: {message}"


def test_class_names_must_be_there(tmp_path: Path) -> None:
    files = FORMS["cifar100"]["cifar-100-python"][0]
    write_files(tmp_path / "cifar-100-python", files | {"meta": old_pickle({"coarse_label_names": ["a"]})})
    assert fault("cifar100", tmp_path) == (
        f"{tmp_path}/cifar-100-python/meta holds no list 'fine_label_names' of class names"
    )


def test_a_class_without_a_training_image_is_named(tmp_path: Path) -> None:
    write_files(tmp_path / "cifar-100-python", cifar100_files(TRAIN100[:98], TEST))
    assert fault("cifar100", tmp_path) == (
        f"{tmp_path}/cifar-100-python: no training image of class 'fine98', 'fine99'"
    )


# -- nothing is unpickled -------------------------------------------------------------------------------------------


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch evil",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_cannot_run_anything(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = FORMS["cifar100"]["cifar-100-python"][0]
    evil = pickle.dumps({b"data": Evil(), b"fine_labels": [0]}, protocol=protocol)
    write_files(tmp_path / "cifar-100-python", files | {"test": evil})
    assert fault("cifar100", tmp_path).startswith(
        f"{tmp_path}/cifar-100-python/test is not a readable CIFAR file: it asks for posix.system"
    )
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x14ndarray.__subclasses__\x93)R.",
        b"(S'builtins'\nios\nsystem\n.",
        b"\x80\x02\x82\x01.",
        b"I1\n.",
        b"",
        b"\x80",
        b"\x80\x02]q\x00.",
    ],
)
def test_other_names_and_other_things_are_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="x is not a readable CIFAR file: "):
        read_pickle(content, "x")


def test_arrays_of_anything_but_bytes_are_refused() -> None:
    for array in (np.zeros(3), np.array([object()]), np.zeros(2, "u1,u1")):
        with pytest.raises(InputError, match="x is not a readable CIFAR file"):
            read_pickle(pickle.dumps({"data": array}, protocol=2), "x")


def test_an_array_in_the_other_order_is_read() -> None:
    array = np.asfortranarray(pixels(1, 4)[0, :, :, 0])
    assert np.array_equal(read_pickle(pickle.dumps({"a": array}, protocol=2), "x")["a"], array)


# -- downloading ----------------------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The archive behind the address that torchvision knows, which here is on this machine."""
    from torchvision import datasets

    archive = tmp_path / "server" / "cifar-100-python.tar.gz"
    write_archive(archive, "cifar-100-python", FORMS["cifar100"]["cifar-100-python"][0])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(archive.parent))) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(datasets.CIFAR100, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        monkeypatch.setattr(datasets.CIFAR100, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
        yield archive
        server.shutdown()


def test_it_is_fetched_only_when_asked(tmp_path: Path, published: Path) -> None:
    assert "or set download: true" in fault("cifar100", tmp_path / "data")
    assert not (tmp_path / "data").exists()
    check("cifar100", opened("cifar100", tmp_path / "data", download=True))
    assert tarfile.is_tarfile(tmp_path / "data" / "cifar-100-python.tar.gz")
    published.unlink()
    check("cifar100", opened("cifar100", tmp_path / "data", download=True))  # it is there: nothing is fetched


def test_without_a_network_there_is_one_clear_error(tmp_path: Path, published: Path) -> None:
    published.unlink()
    text = fault("cifar100", tmp_path / "data", download=True)
    assert text.startswith("cannot download cifar100 from http://127.0.0.1:")
    assert text.endswith(f"fetch the archive yourself and put it into {tmp_path}/data")
    assert list((tmp_path / "data").iterdir()) == []


def test_another_archive_than_the_published_one_is_refused(tmp_path: Path, published: Path) -> None:
    published.write_bytes(published.read_bytes() + b"more")
    assert fault("cifar100", tmp_path / "data", download=True).startswith("cannot download cifar100")
    assert list((tmp_path / "data").iterdir()) == []


# -- files that are not what they seem ------------------------------------------------------------------------------


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    write_files(folder, FORMS["cifar10"]["cifar-10-batches-bin"][0])
    (folder / "data_batch_2.bin").unlink()
    os.mkfifo(folder / "data_batch_2.bin")  # to read it would wait for a writer for ever
    assert fault("cifar10", tmp_path) == f"{folder}/data_batch_2.bin is a pipe, not a file"


def test_a_file_larger_than_any_published_one_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "train"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)  # a hole: no place on the disk
    store = Store(Cifar100.layouts[0], tmp_path)
    with pytest.raises(InputError) as error:
        store.read("train")
    assert str(error.value) == f"{path} has 500,000,001 bytes; such a file has at most 500,000,000"


@pytest.mark.parametrize("sparse", [False, True], ids=["zeros", "a hole"])
def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparse: bool
) -> None:
    """A kilobyte of gzip holds a megabyte of zeros, and a hole in a file of a tar archive has any size at all."""
    monkeypatch.setattr(cifar, "LARGEST", 10_000_000)
    path = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("cifar-100-binary/train.bin")
        member.size = 0 if sparse else 20_000_000
        if sparse:
            member.pax_headers = {"GNU.sparse.size": str(10**12), "GNU.sparse.map": f"{10**12},0"}
        tar.addfile(member, None if sparse else io.BytesIO(bytes(member.size)))
    assert path.stat().st_size < 50_000
    what = (
        "cifar-100-binary/train.bin claims 1,000,000,000,000 bytes" if sparse else "it unpacks to more than 10,000,000"
    )
    assert fault("cifar100", tmp_path).startswith(f"{path} is not a readable archive: {what}")


@pytest.mark.parametrize(
    "content",
    [b"\x80\x02}r\x00\x00\x00\x040N.", b"\x80\x05\x96" + (10**9).to_bytes(8, "little")],
    ids=["notes", "array"],
)
def test_a_pickle_of_a_few_bytes_takes_no_room(content: bytes) -> None:
    """Python's unpickler in C makes room for all notes up to the number of the first: here a gigabyte."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="x is not a readable CIFAR file: "):
            read_pickle(content, "x")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    files = FORMS["cifar100"]["cifar-100-python"][0]
    names: Any = "name"
    for _ in range(100):
        names = [names, names]  # as text it has more letters than the universe has atoms
    for wrong in (names, [names], [b"\xff"]):
        meta = pickle.dumps({"fine_label_names": wrong}, protocol=2)
        write_files(tmp_path / "cifar-100-python", files | {"meta": meta})
        assert fault("cifar100", tmp_path) == (
            f"{tmp_path}/cifar-100-python/meta holds no list 'fine_label_names' of class names"
        )
    for label, said in ((names, "of type list"), (10**5000, "of type int"), ("x" * 1000, f"{'x' * 80}…")):
        test = pickle.dumps({"data": planes(TEST), "fine_labels": [0, 1, 2, 3, 4, 5, label]}, protocol=2)
        write_files(tmp_path / "cifar-100-python", files | {"test": test})
        assert fault("cifar100", tmp_path) == (
            f"{tmp_path}/cifar-100-python/test, record 6: label {said} is not one of 0 to 99"
        )
