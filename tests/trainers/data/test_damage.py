"""Damaged and odd files through every source: one message of ours, or a data set, whatever lies there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from tests.support.damage import little_memory, spoil
from tests.trainers.data.examples import (
    cifar10_files,
    cifar100_binary_files,
    encode,
    pixels,
    structs,
    write_archive,
    write_files,
    write_folder,
    write_parquet,
    write_shard,
    write_tiny_imagenet,
)
from trainers.data import DATASETS
from trainers.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged files
TRIES = 40
TRAIN, TEST = pixels(6, 32, 1), pixels(3, 32, 2)
KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "TGA", "ICO", "PPM", "QOI", "JPEG2000")


def parquet(folder: Path) -> None:
    write_parquet(folder, TRAIN, TEST)


def parquet_of_files(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for number, image in enumerate(TRAIN):
        (folder / "images" / f"{number}.png").write_bytes(encode(image))
    write_shard(folder / "train-0.parquet", [f"images/{n}.png" for n in range(6)], [f"class {n % 3}" for n in range(6)])
    write_shard(folder / "test-0.parquet", structs(TEST), ["class 0", "class 1", "class 2"])


def pictures(folder: Path) -> None:
    write_folder(folder, {"a": TRAIN[:1], "b": TRAIN[1:2]}, {"a": TEST[:1]})
    for kind in KINDS:
        (folder / "train" / "a" / f"{kind}.png").write_bytes(encode(TRAIN[2], kind))


def cifar_10(folder: Path) -> None:
    write_files(folder / "cifar-10-batches-py", cifar10_files(pixels(10, 32), TEST))


def cifar_100(folder: Path) -> None:
    write_archive(folder / "cifar-100-binary.tar.gz", "cifar-100-binary", cifar100_binary_files(pixels(100, 32), TEST))


def tiny(folder: Path) -> None:
    train = {name: [encode(TRAIN[0], "JPEG")] for name in ("n1", "n2")}
    write_tiny_imagenet(folder / "tiny-imagenet-200", train, [(encode(TEST[0], "JPEG"), "n2")])


SETS: dict[str, tuple[str, Callable[[Path], None], dict[str, Any]]] = {
    "parquet": ("parquet", parquet, {}),
    "parquet of files": ("parquet", parquet_of_files, {}),
    "folder": ("folder", pictures, {"image_size": 16}),
    "streamed folder": ("folder", pictures, {"image_size": 16, "memory_gb": 0, "workers": 0}),
    "cifar10": ("cifar10", cifar_10, {}),
    "cifar100": ("cifar100", cifar_100, {}),
    "tiny_imagenet": ("tiny_imagenet", tiny, {}),
}


def read(name: str, folder: Path, options: dict[str, Any]) -> str | None:
    """Every pixel of a set; what was wrong, or None."""
    try:
        data = DATASETS[name].model_validate({"path": str(folder), **options}).load()
        for split in (data.train, data.test):
            for batch in split.batches(torch.arange(len(split)).split(4)):
                assert batch.images.dtype == torch.uint8
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("case", SETS)
def test_damage_is_one_message_or_none(case: str, tmp_path: Path) -> None:
    name, write, options = SETS[case]
    write(tmp_path / "whole")
    assert read(name, tmp_path / "whole", options) is None
    said = []
    with little_memory():
        for seed in range(TRIES):
            draw, folder = Random(seed), tmp_path / str(seed)
            shutil.copytree(tmp_path / "whole", folder)
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            spoil(draw.choice(files), files, draw)
            said.append(read(name, folder, options))
    messages = [message for message in said if message is not None]
    assert len(messages) > TRIES / 5
    assert all(str(tmp_path) in message and "\n" not in message and len(message) < 2000 for message in messages)
    assert not any("Traceback" in message for message in messages)
