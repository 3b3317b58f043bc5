"""Small data sets on the disk, in every layout: real files, whose pixels are known."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def pixels(count: int, side: int = 8, seed: int = 0) -> Pixels:
    """Random images ``[N, side, side, 3]``."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def encode(image: Pixels, kind: str = "PNG") -> bytes:
    """One image as a file's bytes; PNG keeps every pixel."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


# -- Parquet --------------------------------------------------------------------------------------------------------


def write_shard(
    path: Path, images: list[Any], labels: list[Any], names: list[str] | None = None, *, columns: str = "image label"
) -> None:
    """One Parquet file, with the hub's metadata when there are class names."""
    image, label = columns.split()
    table = pa.table({image: images, label: labels})
    if names is not None:
        features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": names}}
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": text})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def structs(images: Pixels, kind: str = "PNG") -> list[dict[str, Any]]:
    """Images as the hub stores them."""
    return [{"bytes": encode(image, kind), "path": None} for image in images]


NAMES = ["ant", "bee", "cow"]


def write_parquet(folder: Path, train: Pixels, test: Pixels, classes: int = 3) -> None:
    """Two training shards and one test shard; labels 0, 1, 2, 0, 1, ..."""
    half = len(train) // 2
    labels = [number % classes for number in range(len(train))]
    names = NAMES[:classes]
    write_shard(folder / "train-00000-of-00002.parquet", structs(train[:half]), labels[:half], names)
    write_shard(folder / "train-00001-of-00002.parquet", structs(train[half:]), labels[half:], names)
    write_shard(folder / "test-00000-of-00001.parquet", structs(test), [n % classes for n in range(len(test))], names)


# -- CIFAR ----------------------------------------------------------------------------------------------------------


def old_pickle(content: dict[str, Any]) -> bytes:
    """A dict in protocol 2, its text and arrays written as Python 2 wrote them."""
    out = io.BytesIO()
    out.write(b"\x80\x02}(")
    for key, value in content.items():
        _old_value(out, key)
        _old_value(out, value)
    out.write(b"u.")
    return out.getvalue()


def _old_value(out: io.BytesIO, value: Any) -> None:
    if isinstance(value, str | bytes):
        data = value if isinstance(value, bytes) else value.encode()
        out.write(b"T" + len(data).to_bytes(4, "little") + data)  # BINSTRING
    elif isinstance(value, int):
        out.write(b"J" + value.to_bytes(4, "little", signed=True))  # BININT
    elif isinstance(value, list):
        out.write(b"](")
        for one in value:
            _old_value(out, one)
        out.write(b"e")
    else:
        _old_array(out, value)


def _old_array(out: io.BytesIO, array: Pixels) -> None:
    out.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01")
    for side in array.shape:
        out.write(b"J" + side.to_bytes(4, "little"))
    out.write(b"\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
    _old_value(out, array.tobytes())
    out.write(b"tb")


def planes(images: Pixels) -> Pixels:
    """``[N, 32, 32, 3]`` as CIFAR's rows: ``[N, 3072]``, red first."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


def cifar10_files(train: Pixels, test: Pixels) -> dict[str, bytes]:
    """The Python version: `train` in five equal batches, labels 0 ... 9, 0 ..."""
    files = {"batches.meta": old_pickle({"label_names": [f"class{n}" for n in range(10)], "num_vis": 3072})}
    for number, part in enumerate(np.array_split(np.arange(len(train)), 5), start=1):
        labels = [int(place) % 10 for place in part]
        files[f"data_batch_{number}"] = old_pickle({"data": planes(train[part]), "labels": labels, "batch_label": "b"})
    labels = [place % 10 for place in range(len(test))]
    return files | {"test_batch": old_pickle({"data": planes(test), "labels": labels})}


def cifar10_binary_files(train: Pixels, test: Pixels) -> dict[str, bytes]:
    """The binary version of the same."""
    files = {"batches.meta.txt": "".join(f"class{n}\n" for n in range(10)).encode() + b"\n"}
    for number, part in enumerate(np.array_split(np.arange(len(train)), 5), start=1):
        files[f"data_batch_{number}.bin"] = b"".join(
            bytes([place % 10]) + planes(train[place : place + 1]).tobytes() for place in part.tolist()
        )
    rows = [bytes([place % 10]) + planes(test[place : place + 1]).tobytes() for place in range(len(test))]
    return files | {"test_batch.bin": b"".join(rows)}


def cifar100_files(train: Pixels, test: Pixels, *, modern: bool = False) -> dict[str, bytes]:
    """The Python version, by hand, or (`modern`) as today's Python and NumPy pickle it in the same protocol."""
    dump = (lambda content: pickle.dumps(content, protocol=2)) if modern else old_pickle
    names = {
        "fine_label_names": [f"fine{n}" for n in range(100)],
        "coarse_label_names": [f"group{n}" for n in range(20)],
    }
    files = {"meta": dump(names)}
    for name, images in (("train", train), ("test", test)):
        fine = [place % 100 for place in range(len(images))]
        coarse = [place % 20 for place in range(len(images))]
        files[name] = dump(
            {"data": planes(images), "fine_labels": fine, "coarse_labels": coarse, "filenames": ["a.png"]}
        )
    return files


def cifar100_binary_files(train: Pixels, test: Pixels) -> dict[str, bytes]:
    """The binary version of the same."""
    files = {"fine_label_names.txt": "".join(f"fine{n}\n" for n in range(100)).encode()}
    for name, images in (("train.bin", train), ("test.bin", test)):
        rows = planes(images)
        files[name] = b"".join(bytes([n % 20, n % 100]) + rows[n].tobytes() for n in range(len(images)))
    return files


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def write_archive(path: Path, folder: str, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


# -- folders --------------------------------------------------------------------------------------------------------


def write_folder(root: Path, train: dict[str, Pixels], test: dict[str, Pixels], tests: str = "val") -> None:
    """Class folders of PNG files."""
    for split, classes in (("train", train), (tests, test)):
        for name, images in classes.items():
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for number, image in enumerate(images):
                (root / split / name / f"{number:03}.png").write_bytes(encode(image))


def write_tiny_imagenet(root: Path, train: dict[str, list[bytes]], val: list[tuple[bytes, str]]) -> None:
    """The published layout, from encoded images."""
    root.mkdir(parents=True)
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in sorted(train, reverse=True)))
    (root / "words.txt").write_text("".join(f"{wnid}\tname of {wnid}, another name\n" for wnid in train))
    for wnid, images in train.items():
        (root / "train" / wnid / "images").mkdir(parents=True)
        for number, image in enumerate(images):
            (root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG").write_bytes(image)
    (root / "val" / "images").mkdir(parents=True)
    for number, (image, _) in enumerate(val):
        (root / "val" / "images" / f"val_{number}.JPEG").write_bytes(image)
    lines = [f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n" for number, (_, wnid) in enumerate(val)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
