"""Class folders that nobody has split: what each file holds decides on which side it is."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.trainers.data.examples import Pixels, encode, pixels, write_shard
from trainers.config import DatasetConfig
from trainers.data import ImageData
from trainers.data.pixels import file_hashes
from trainers.data.pixels.streaming import StreamedSplit
from trainers.data.sources.folder import Folder, ImageNet
from trainers.data.sources.parquet import Parquet
from trainers.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on

IMAGES = pixels(30, 16, seed=5)
LABELS = [number % 3 for number in range(30)]
NAMES = ("ant", "bee", "cow")
MEMORY = pytest.mark.parametrize("memory_gb", [4.0, 0.0])


def write(root: Path, images: Pixels = IMAGES, start: int = 0) -> Path:
    """Class folders; file names say nothing of the order."""
    for number, image in enumerate(images, start=start):
        path = root / NAMES[number % 3] / f"{number * 7 % 31:02}-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(image))
    return root


def opened(root: Path, source: type[Folder] = Folder, **options: Any) -> ImageData:
    return source(path=root, **({"image_size": 16, "resize": 16, "workers": 0, "test_fraction": 0.2} | options)).load()


def fault(root: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        opened(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def sides(data: ImageData) -> tuple[set[tuple[bytes, int]], set[tuple[bytes, int]]]:
    """Training and test images, each with its label."""
    both = []
    for split in (data.train, data.test):
        (batch,) = split.batches([torch.arange(len(split))])
        both.append(
            {(image.numpy().tobytes(), int(label)) for image, label in zip(batch.images, batch.labels, strict=True)}
        )
    return both[0], both[1]


@MEMORY
def test_each_class_gives_its_share_whatever_the_files_are_called(tmp_path: Path, memory_gb: float) -> None:
    data = opened(write(tmp_path / "a"), memory_gb=memory_gb)
    assert data.classes == NAMES
    assert isinstance(data.train, StreamedSplit) == (memory_gb == 0)
    assert torch.bincount(data.train.labels).tolist() == [8, 8, 8]
    assert torch.bincount(data.test.labels).tolist() == [2, 2, 2]
    assert data.train.index.tolist() + data.test.index.tolist() == list(range(30))
    train, test = sides(data)
    assert train | test == {(image.transpose(2, 0, 1).tobytes(), n) for image, n in zip(IMAGES, LABELS, strict=True)}
    for name in NAMES:
        for number, path in enumerate(sorted((tmp_path / "a" / name).iterdir(), reverse=True)):
            path.rename(path.with_name(f"new{number:02}.png"))
    assert sides(opened(tmp_path / "a", memory_gb=memory_gb)) == (train, test)


def test_decoded_and_streamed_and_in_parquet_the_split_is_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    expected = sides(opened(folder))
    assert sides(opened(folder, memory_gb=0)) == expected
    write_shard(tmp_path / "b" / "all.parquet", [encode(image) for image in IMAGES], LABELS)
    assert sides(Parquet(path=tmp_path / "b", test_fraction=0.2).load()) == expected


@MEMORY
def test_the_classes_may_lie_in_a_training_folder(tmp_path: Path, memory_gb: float) -> None:
    alone, inside = opened(write(tmp_path / "a"), memory_gb=memory_gb), write(tmp_path / "b" / "train")
    assert opened(inside.parent, memory_gb=memory_gb).content == alone.content
    (inside.parent / "val").mkdir()  # an empty one is no split
    assert opened(inside.parent, memory_gb=memory_gb).content == alone.content


@MEMORY
@pytest.mark.parametrize("train", ["Train", "TRAIN", "training", "Training"])
def test_the_training_folder_may_be_spelled_otherwise(tmp_path: Path, train: str, memory_gb: float) -> None:
    alone, inside = opened(write(tmp_path / "a"), memory_gb=memory_gb), write(tmp_path / "b" / train).parent
    assert opened(inside, memory_gb=memory_gb).content == alone.content
    for name in ("valid", "testing"):
        write(inside / name)
    data = opened(inside, memory_gb=memory_gb)
    assert (data.content, data.classes) == (alone.content, NAMES)
    assert data.remarks == (f"the images are those of {inside / train}/; not used: testing/, valid/",)
    write(inside / "Test")
    assert fault(inside, memory_gb=memory_gb).startswith(f"{inside}/Test is a test split already: ")


def test_what_lies_beside_a_training_folder_is_told(tmp_path: Path) -> None:
    alone, inside = opened(write(tmp_path / "a")), write(tmp_path / "b" / "train").parent
    for name in ("valid", "dog"):
        write(inside / name)
    data = opened(inside)
    assert data.content == alone.content
    assert data.remarks == (f"the images are those of {inside}/train/; not used: dog/, valid/",)


@MEMORY
@pytest.mark.parametrize("below", ["", "steam"])
def test_a_train_may_be_the_class_beside_another(tmp_path: Path, below: str, memory_gb: float) -> None:
    write(tmp_path / "a")
    usual = opened(tmp_path / "a", memory_gb=memory_gb)
    shutil.copytree(tmp_path / "a" / "ant", tmp_path / "b" / "Bus")
    shutil.copytree(tmp_path / "a" / "bee", tmp_path / "b" / "Car")
    shutil.copytree(tmp_path / "a" / "cow", tmp_path / "b" / "Train" / below)
    data = opened(tmp_path / "b", memory_gb=memory_gb)
    assert data.classes == ("Bus", "Car", "Train")
    assert sides(data) == sides(usual)
    told = f"{tmp_path}/b/Train is a class, as class folders lie beside it"
    assert data.remarks == ((told,) if below else ())


def test_what_macos_packs_beside_and_between_class_folders_is_passed_over(tmp_path: Path) -> None:
    plain, packed = write(tmp_path / "a"), write(tmp_path / "b")
    for folder in (packed, packed / "ant"):
        (folder / "__MACOSX" / "ant").mkdir(parents=True)
        (folder / "__MACOSX" / "ant" / "._0.png").write_bytes(b"of the Finder")
        (folder / "__MACOSX" / "ant" / "0.png").write_bytes(b"of the Finder")
    assert (opened(packed).content, opened(packed).remarks) == (opened(plain).content, ())
    for split, count in (("train", 0), ("val", 15)):
        write(tmp_path / "c" / split, IMAGES[count : count + 15])
        (tmp_path / "c" / split / "__MACOSX" / "ant").mkdir(parents=True)
    assert opened(tmp_path / "c", test_fraction=None).classes == NAMES


@MEMORY
def test_a_set_that_grows_moves_few_images(tmp_path: Path, memory_gb: float) -> None:
    many = pixels(150, 16, seed=6)
    before = sides(opened(write(tmp_path / "a", many[:120]), memory_gb=memory_gb))[1]
    after = sides(opened(write(tmp_path / "a", many[120:], start=120), memory_gb=memory_gb))[1]
    assert (len(before), len(after)) == (24, 30)
    assert len(before & after) >= 18


@MEMORY
def test_equal_images_are_on_one_side(tmp_path: Path, memory_gb: float) -> None:
    write(tmp_path / "a")
    for path in list((tmp_path / "a" / "bee").iterdir()):
        for copy in range(3):
            shutil.copy(path, path.with_name(f"{copy}-{path.name}"))
    train, test = sides(opened(tmp_path / "a", memory_gb=memory_gb))
    assert not train & test
    assert len(train) + len(test) == 30


def test_the_share_is_in_the_content_and_the_key_and_no_share_is_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    for memory_gb in (4, 0):
        assert len({opened(folder, memory_gb=memory_gb, test_fraction=share).content for share in (0.2, 0.4)}) == 2
    for source in (Folder, ImageNet):
        for share in (None, 0.2):
            identity = source(path=folder, test_fraction=share).identity
            options = DatasetConfig(name=source.name, options=identity, content="00").key_content()["options"]
            assert options.get("test_fraction") == share
            assert ("test_fraction" in options) == (share is not None)


@MEMORY
def test_another_process_reads_no_file(tmp_path: Path, memory_gb: float, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "a")
    time.sleep(0.11)
    first = opened(folder, memory_gb=memory_gb)
    monkeypatch.setattr(file_hashes, "file_sha256", None)
    again = opened(folder, memory_gb=memory_gb)
    assert again.content == first.content
    assert again.test.labels.tolist() == first.test.labels.tolist()


def test_one_pass_serves_the_key_and_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "a")
    time.sleep(0.11)
    read: list[Path] = []
    real = file_hashes.file_sha256
    monkeypatch.setattr(file_hashes, "file_sha256", lambda path: (read.append(path), real(path))[1])
    for memory_gb in (4, 0):
        opened(folder, memory_gb=memory_gb)
        assert len(read) == len(set(read)) == 30
        read.clear()


# -- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_share_lies_between_nothing_and_all(share: float) -> None:
    with pytest.raises(ValidationError, match="test_fraction"):
        Folder(path=Path("x"), test_fraction=share)


@MEMORY
def test_a_class_too_small_to_be_split_is_named(tmp_path: Path, memory_gb: float) -> None:
    folder = write(tmp_path / "a")
    first, *rest = sorted((folder / "bee").iterdir())
    for path in rest:
        path.unlink()
    message = (
        f"{folder}: no two different images of class 'bee'; test_fraction takes one of each class to test on, and"
        " leaves one to train on"
    )
    assert fault(folder, memory_gb=memory_gb) == message
    shutil.copy(first, first.with_name("again.png"))
    assert fault(folder, memory_gb=memory_gb) == message


@MEMORY
@pytest.mark.parametrize("name", ["val", "test", "validation", "Val", "TEST", "Validation"])
def test_a_test_split_that_is_there_is_named(tmp_path: Path, memory_gb: float, name: str) -> None:
    for folder in (write(tmp_path / "a"), write(tmp_path / "b" / "train").parent):
        write(folder / name)
        assert fault(folder, memory_gb=memory_gb) == (
            f"{folder}/{name} is a test split already: leave test_fraction out, or move that folder away"
        )


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert fault(tmp_path / "none") == (
        f"no folder {tmp_path}/none: expected a folder of images for each class (option path)"
    )
    (tmp_path / "empty" / "val").mkdir(parents=True)
    assert fault(tmp_path / "empty") == f"{tmp_path}/empty holds no class folder"
    folder = write(tmp_path / "a")
    (folder / "dog").mkdir()
    assert fault(folder) == f"{folder}: no training image of class 'dog'"
    assert "or class folders alone and the option test_fraction" in fault(folder, test_fraction=None)


@MEMORY
def test_a_damaged_image_is_named(tmp_path: Path, memory_gb: float) -> None:
    folder = write(tmp_path / "a")
    (folder / "bee" / "odd.png").write_bytes(b"no image")
    assert fault(folder, memory_gb=memory_gb).startswith(f"{folder}/bee/odd.png is not a readable image: ")
