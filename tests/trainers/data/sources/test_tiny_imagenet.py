"""Tiny ImageNet in its published layout, whose validation split lies in one folder beside a table."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.trainers.data.examples import Pixels, encode, pixels, write_tiny_imagenet
from trainers.data import ImageData
from trainers.data.pixels.mapped import MappedSplit
from trainers.data.sources.tiny_imagenet import TinyImageNet
from trainers.errors import InputError

TRAIN, VAL = pixels(6, 64, 1), pixels(3, 64, 2)
WNIDS = ["n01443537", "n02124075", "n09256479"]


def jpeg(image: Pixels, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, "JPEG", quality=95)
    return file.getvalue()


def decoded(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two training images a class, the second of each grey, and three validation images of two classes."""
    train = {wnid: [jpeg(TRAIN[2 * number]), jpeg(TRAIN[2 * number + 1], "L")] for number, wnid in enumerate(WNIDS)}
    write_tiny_imagenet(tmp_path / "tiny-imagenet-200", train, [(jpeg(VAL[n]), WNIDS[2 - n % 2]) for n in range(3)])
    return tmp_path


def opened(folder: Path, **options: Any) -> ImageData:
    return TinyImageNet(path=folder, **options).load()


def fault(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        opened(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_published_folder_is_read(folder: Path) -> None:
    data = opened(folder)
    assert isinstance(data.train, MappedSplit)
    assert isinstance(data.test, MappedSplit)
    expected = [decoded(jpeg(TRAIN[n], "L" if n % 2 else "RGB")) for n in range(6)]
    assert np.array_equal(data.train.images.permute(0, 2, 3, 1), np.stack(expected))
    assert np.array_equal(data.test.images.permute(0, 2, 3, 1), np.stack([decoded(jpeg(image)) for image in VAL]))
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test.labels.tolist() == [2, 1, 2]
    assert data.classes == tuple(f"{wnid} name of {wnid}" for wnid in WNIDS)
    assert data.image_size == (64, 64)
    grey = data.train.images[1]
    assert (grey[0] == grey[1]).all()
    assert (grey[0] == grey[2]).all()


def test_the_folder_itself_may_be_named(folder: Path) -> None:
    assert opened(folder / "tiny-imagenet-200").content == opened(folder).content
    assert TinyImageNet(path=folder).identity == {"image_size": 64}


def test_a_smaller_size_is_resized(folder: Path) -> None:
    data = opened(folder, image_size=32)
    assert isinstance(data.train, MappedSplit)
    small = Image.fromarray(decoded(jpeg(TRAIN[0]))).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(data.train.images[0].permute(1, 2, 0), np.asarray(small))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert fault(tmp_path) == (
        f"no Tiny ImageNet in {tmp_path}: it should hold the published folder tiny-imagenet-200/, or be it, with"
        " wnids.txt, words.txt, train/ and val/ (option path)"
    )


def test_faults_are_named(folder: Path) -> None:
    root = folder / "tiny-imagenet-200"
    annotations = root / "val" / "val_annotations.txt"
    whole = annotations.read_text()
    for text, message in (
        ("", "names no image"),
        (whole.replace(WNIDS[1], "n00000000"), ", line 2: 'n00000000' is no class of wnids.txt"),
        (whole.replace("val_0.JPEG", "../x.JPEG"), ", line 1: '../x.JPEG' is no file name"),
    ):
        annotations.write_text(text)
        assert fault(folder).startswith(str(annotations))
        assert fault(folder).endswith(message)
    annotations.write_text(whole.replace("val_1.JPEG", "val_9.JPEG"))
    assert fault(folder) == f"cannot read {root}/val/images/val_9.JPEG: No such file or directory"
    annotations.unlink()
    assert fault(folder) == f"cannot read {annotations}: No such file or directory"
    annotations.write_text(whole)
    image = root / "train" / WNIDS[1] / "images" / f"{WNIDS[1]}_1.JPEG"
    image.write_bytes(image.read_bytes()[:300])
    assert fault(folder).startswith(f"{image} is not a readable image: ")


def test_classes_without_images_are_named(folder: Path) -> None:
    root = folder / "tiny-imagenet-200"
    images = root / "train" / WNIDS[2] / "images"
    for image in images.iterdir():
        image.unlink()
    assert fault(folder) == f"{root}: no training image of class 'n09256479'"
    images.rmdir()
    assert fault(folder) == f"{images} is missing, though wnids.txt names the class"


def test_pngs_are_not_jpegs(folder: Path) -> None:
    """An image with the right ending and another format is still an image."""
    image = folder / "tiny-imagenet-200" / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_0.JPEG"
    image.write_bytes(encode(TRAIN[0]))
    data = opened(folder)
    assert isinstance(data.train, MappedSplit)
    assert np.array_equal(data.train.images[0].permute(1, 2, 0), TRAIN[0])


@pytest.mark.parametrize("name", ["words.txt", "val/val_annotations.txt", f"train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG"])
def test_what_is_no_file_is_named(folder: Path, name: str) -> None:
    path = folder / "tiny-imagenet-200" / name
    path.unlink()
    os.mkfifo(path)  # to read it would wait for a writer for ever
    assert fault(folder) == f"{path} is a pipe, not a file"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert fault(folder) == f"{path} is a device, not a file"


def test_a_class_of_no_folder_s_name_is_named(folder: Path) -> None:
    root = folder / "tiny-imagenet-200"
    (root / "wnids.txt").write_text("n" * 300)
    assert fault(folder) == f"cannot read {root}/train/{'n' * 300}/images: File name too long"
    (root / "wnids.txt").write_text("a\0b")
    assert fault(folder) == f"cannot read {root}/train/a\\0b/images: no file can have such a name"


def test_one_class_is_no_data_set(folder: Path) -> None:
    root = folder / "tiny-imagenet-200"
    (root / "wnids.txt").write_text(WNIDS[0])
    assert (
        fault(folder) == f"{root} has only one class, '{WNIDS[0]}'; a network learns to tell at least 2 classes apart"
    )
