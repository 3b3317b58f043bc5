"""Parquet in the layout of Hugging Face's data sets: read exactly, and every fault named."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tests.trainers.data.examples import NAMES, Pixels, encode, pixels, structs, write_parquet, write_shard
from trainers.data import DATASETS, ImageData, Images
from trainers.data.pixels.decode import UNKNOWN
from trainers.data.pixels.mapped import MappedSplit
from trainers.data.sources import parquet_table
from trainers.data.sources.parquet import Parquet
from trainers.data.sources.parquet_table import MOST_ROWS
from trainers.errors import InputError

TRAIN, TEST = pixels(10, seed=1), pixels(4, seed=2)


def images_of(split: Images) -> Pixels:
    """All images ``[N, H, W, 3]``."""
    assert isinstance(split, MappedSplit)
    return np.asarray(split.images.permute(0, 2, 3, 1))


def opened(folder: Path, **options: Any) -> ImageData:
    return Parquet(path=folder, **options).load()


def fault(folder: Path, **options: Any) -> str:
    """What opening says is wrong."""
    with pytest.raises(InputError) as error:
        opened(folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_sources_are_registered() -> None:
    assert {"digits", "cifar10", "cifar100", "tiny_imagenet", "imagenet", "parquet", "folder"} <= set(DATASETS)
    assert all(source.whereabouts <= set(source.model_fields) for source in DATASETS.values())


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    data = opened(tmp_path)
    assert np.array_equal(images_of(data.train), TRAIN)
    assert np.array_equal(images_of(data.test), TEST)
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert data.test.labels.tolist() == [0, 1, 2, 0]
    assert data.train.index.tolist() == list(range(10))
    assert data.test.index.tolist() == list(range(10, 14))
    assert data.classes == ("ant", "bee", "cow")
    assert data.image_size == (8, 8)


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    data = opened(tmp_path)
    scaled = TRAIN.astype(np.float64) / 255
    assert data.mean == pytest.approx(tuple(scaled.mean((0, 1, 2))), rel=1e-12)
    assert data.std == pytest.approx(tuple(scaled.std((0, 1, 2))), rel=1e-12)


def test_the_content_is_the_pixels_not_the_place_or_the_compression(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a", TRAIN, TEST)
    write_shard(tmp_path / "b" / "data" / "train-0.parquet", structs(TRAIN, "BMP"), [n % 3 for n in range(10)])
    write_shard(tmp_path / "b" / "data" / "test-0.parquet", structs(TEST, "BMP"), [n % 3 for n in range(4)])
    a, b = opened(tmp_path / "a"), opened(tmp_path / "b")
    assert a.content == b.content
    assert b.classes == ("0", "1", "2")
    write_parquet(tmp_path / "c", TEST, TRAIN)
    assert opened(tmp_path / "c").content != a.content


def test_where_the_files_lie_is_no_part_of_the_key(tmp_path: Path) -> None:
    one = Parquet(path=tmp_path, train="a*", test="b*", label="fine_label")
    later = {"split_column": None, "test_fraction": None}
    assert one.identity == {"image": None, "label": "fine_label", "image_size": None} | later


@pytest.mark.parametrize(
    "column",
    [
        [encode(image) for image in TRAIN],
        structs(TRAIN),
        pa.array([encode(image) for image in TRAIN], pa.large_binary()),
    ],
    ids=["bytes", "struct", "large"],
)
def test_images_may_be_bytes_or_structs(tmp_path: Path, column: Any) -> None:
    for split in ("train", "validation"):
        write_shard(tmp_path / f"{split}-0.parquet", column, [n % 3 for n in range(10)], columns="img fine_label")
    data = opened(tmp_path)
    assert np.array_equal(images_of(data.train), TRAIN)
    assert np.array_equal(images_of(data.test), TRAIN)


@pytest.mark.parametrize("form", ["text", "struct", "mixed"])
def test_images_may_be_files_beside_the_table(tmp_path: Path, form: str) -> None:
    (tmp_path / "images").mkdir()
    for number, image in enumerate(TRAIN):
        (tmp_path / "images" / f"ü {number}.png").write_bytes(encode(image))
    paths: list[Any] = [f"images/ü {number}.png" for number in range(10)]
    column = paths if form == "text" else [{"bytes": None, "path": path} for path in paths]
    if form == "mixed":
        column = [*column[:5], *structs(TRAIN[5:])]
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.parquet", column, [n % 3 for n in range(10)])
    assert np.array_equal(images_of(opened(tmp_path).train), TRAIN)
    content = opened(tmp_path).content
    (tmp_path / "images" / "ü 3.png").write_bytes(encode(255 - TRAIN[3]))
    assert opened(tmp_path).content != content


def test_a_row_s_path_beside_its_bytes_need_not_exist(tmp_path: Path) -> None:
    column = [{"bytes": encode(image), "path": f"gone/{number}.png"} for number, image in enumerate(TRAIN)]
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.parquet", column, [n % 3 for n in range(10)])
    assert np.array_equal(images_of(opened(tmp_path).train), TRAIN)


def test_labels_may_be_names(tmp_path: Path) -> None:
    names = ["cow", "ant", "bee", "ant", "cow", "bee", "cow", "ant", "bee", "ant"]
    write_shard(tmp_path / "train.parquet", structs(TRAIN), names)
    write_shard(tmp_path / "test.parquet", structs(TEST[:2]), ["cow", "bee"])
    data = opened(tmp_path)
    assert data.classes == ("ant", "bee", "cow")
    assert data.train.labels.tolist() == [("ant", "bee", "cow").index(name) for name in names]
    assert data.test.labels.tolist() == [2, 1]  # no ant among the test images: allowed
    write_shard(tmp_path / "test.parquet", structs(TEST[:2]), ["cow", "dog"])
    assert fault(tmp_path) == f"{tmp_path}/test.parquet, row 1: label 'dog' is no class of the training split"


def test_a_class_may_be_missing_in_the_test_split(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST[:2])
    assert opened(tmp_path).test.labels.tolist() == [0, 1]


def test_columns_and_shards_may_be_named(tmp_path: Path) -> None:
    table = pa.table(
        {
            "left": structs(TRAIN),
            "right": structs(255 - TRAIN),
            "a": [n % 3 for n in range(10)],
            "b": [n % 2 for n in range(10)],
        }
    )
    pq.write_table(table, tmp_path / "learn.parquet")
    pq.write_table(table, tmp_path / "exam.parquet")
    data = opened(tmp_path, train="learn*", test="exam.parquet", image="right", label="b")
    assert np.array_equal(images_of(data.train), 255 - TRAIN)
    assert data.classes == ("0", "1")
    options = {"train": "learn*", "test": "exam.parquet"}
    assert "which column holds the image? Name it with the option image: left or right" in fault(
        tmp_path, **options, label="a"
    )
    assert "which column holds the label?" in fault(tmp_path, **options, image="left")
    assert "unknown column 'x'; columns that hold labels: a, b" in fault(tmp_path, **options, image="left", label="x")


def test_a_file_stands_for_its_folder(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    data = opened(tmp_path / "train-00001-of-00002.parquet")
    assert np.array_equal(images_of(data.train), TRAIN[5:])
    assert np.array_equal(images_of(data.test), TEST)


def test_jpegs_are_decoded_as_pillow_does(tmp_path: Path) -> None:
    for split, images in (("train", TRAIN), ("test", TEST)):
        write_shard(tmp_path / f"{split}-0.parquet", structs(images, "JPEG"), [n % 3 for n in range(len(images))])
    expected = [np.asarray(Image.open(io.BytesIO(encode(image, "JPEG")))) for image in TRAIN]
    assert np.array_equal(images_of(opened(tmp_path).train), np.stack(expected))


def test_every_kind_of_image_becomes_rgb(tmp_path: Path) -> None:
    grey = TRAIN[0, :, :, 0]
    kinds = {
        "L": Image.fromarray(grey),
        "RGBA": Image.fromarray(np.dstack([TRAIN[0], grey])),
        "I;16": Image.fromarray(grey.astype(np.uint16) * 257),
        "1": Image.fromarray(grey).convert("1", dither=Image.Dither.NONE),
        "P": Image.fromarray(grey).convert("P"),
    }
    rows = []
    for image in kinds.values():
        image.save(tmp_path / "one.png")
        rows.append((tmp_path / "one.png").read_bytes())
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.parquet", rows, [0, 1, 0, 1, 0])
    found = images_of(opened(tmp_path).train)
    repeated = np.repeat(grey[:, :, None], 3, axis=2)
    assert np.array_equal(found[0], repeated)
    assert np.array_equal(found[1], TRAIN[0])
    assert np.array_equal(found[2], repeated)
    assert np.array_equal(found[3], np.where(repeated > 127, 255, 0))
    assert np.array_equal(found[4], repeated)


def test_images_of_several_sizes_need_image_size(tmp_path: Path) -> None:
    wide = pixels(1, side=16)[0, :12]  # 12 × 16
    rows = [*structs(TRAIN), {"bytes": encode(wide), "path": None}]
    write_shard(tmp_path / "train-0.parquet", rows, [n % 3 for n in range(11)])
    write_shard(tmp_path / "test-0.parquet", structs(TEST), [0, 1, 2, 0])
    assert fault(tmp_path) == (
        f"{tmp_path}/train-0.parquet, row 10 has 12 × 16 pixels, the first image 8 × 8; set image_size to bring all"
        " to one size"
    )
    data = opened(tmp_path, image_size=12)
    assert data.image_size == (12, 12)
    assert np.array_equal(images_of(data.train)[10], wide[:, 2:14])
    assert np.array_equal(images_of(data.train)[0], np.asarray(Image.fromarray(TRAIN[0]).resize((12, 12), 2)))
    with pytest.raises(ValidationError, match="image_size"):
        Parquet(path=tmp_path, image_size=7)


# -- faults ---------------------------------------------------------------------------------------------------------


def test_a_damaged_image_is_named_by_file_and_row(tmp_path: Path) -> None:
    rows = structs(TRAIN)
    rows[7]["bytes"] = rows[7]["bytes"][:60]
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [n % 3 for n in range(10)])
    write_shard(tmp_path / "train-1.parquet", rows, [n % 3 for n in range(10)])
    write_shard(tmp_path / "test-0.parquet", structs(TEST), [0, 1, 2, 0])
    assert fault(tmp_path).startswith(f"{tmp_path}/train-1.parquet, row 7 is not a readable image: ")
    rows[7]["bytes"] = b"GIF, or so it says"
    write_shard(tmp_path / "train-1.parquet", rows, [n % 3 for n in range(10)])
    assert fault(tmp_path).endswith(f"train-1.parquet, row 7 is not a readable image: {UNKNOWN}")


@pytest.mark.parametrize(("label", "names"), [(3, NAMES), (-1, NAMES), (None, NAMES), (-1, None)])
def test_a_label_out_of_range_is_named_by_file_and_row(
    tmp_path: Path, label: int | None, names: list[str] | None
) -> None:
    write_shard(tmp_path / "test-0.parquet", structs(TEST), [0, 1, 2, 0], names)
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [0, 1, 2, 0, 1, 2, 0, 1, label, 0], names)
    assert fault(tmp_path) == f"{tmp_path}/train-0.parquet, row 8: label {label} is not one of 0 to 2"
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [n % 3 for n in range(10)], names)
    write_shard(tmp_path / "test-0.parquet", structs(TEST), [0, 1, label, 0], names)
    assert f"{tmp_path}/test-0.parquet, row 2: label {label} is not one of 0 to 2" in fault(tmp_path)


def test_a_class_without_a_training_image_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [0, 2] * 5, NAMES)
    write_shard(tmp_path / "test-0.parquet", structs(TEST), [0, 1, 2, 0], NAMES)
    assert fault(tmp_path) == f"{tmp_path}: no training image of class 'bee'"


def test_missing_folders_and_shards_are_named(tmp_path: Path) -> None:
    assert fault(tmp_path / "none") == (
        f"no Parquet files at {tmp_path}/none: there is no such folder or file (option path)"
    )
    assert "looked for 'train-*.parquet' or 'train.parquet' or 'train/**/*.parquet'" in fault(tmp_path)
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [n % 3 for n in range(10)])
    assert "no test shards in" in fault(tmp_path)
    assert "looked for 'exam*' (option test); the folder holds train-0.parquet" in fault(tmp_path, test="exam*")


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    shard = tmp_path / "train-00001-of-00002.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    assert fault(tmp_path).startswith(f"{shard} is not a readable Parquet file: ")


def test_damage_in_the_middle_of_a_shard_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    shard = tmp_path / "train-00001-of-00002.parquet"
    content = bytearray(shard.read_bytes())
    content[4:600] = bytes(596)
    shard.write_bytes(content)
    assert str(shard) in fault(tmp_path)


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    test = tmp_path / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(test).slice(0, 0), test)
    assert fault(tmp_path) == f"{test} has no rows"


def test_shards_must_agree(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    write_shard(tmp_path / "train-00001-of-00002.parquet", structs(TRAIN), [0] * 10, columns="image group")
    assert fault(tmp_path) == (
        f"{tmp_path}/train-00001-of-00002.parquet: column 'label' is missing, or of another type than in"
        " train-00000-of-00002.parquet"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "column 'image' is empty, there is no image"),
        ("../secret.png", "the image's path '../secret.png' leads out of"),
        ("none.png", "does not exist"),
    ],
)
def test_an_image_that_is_not_there_is_named(tmp_path: Path, value: str | None, message: str) -> None:
    (tmp_path / "secret.png").write_bytes(encode(TRAIN[0]))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "good.png").write_bytes(encode(TRAIN[0]))
    write_shard(folder / "train-0.parquet", ["good.png", value], [0, 1])
    write_shard(folder / "test-0.parquet", ["good.png"], [0])
    text = fault(folder)
    assert text.startswith(f"{folder}/train-0.parquet, row 1: ")
    assert message in text


def test_images_are_known_by_their_digest(tmp_path: Path) -> None:
    """The hash that a trial's key holds is that of the pixels and labels, and stays as it is."""
    write_parquet(tmp_path, TRAIN, TEST)
    data = opened(tmp_path)
    digest = hashlib.sha256()
    for name, tensor in (
        ("test/images", torch.from_numpy(TEST).permute(0, 3, 1, 2).contiguous()),
        ("test/labels", data.test.labels),
        ("train/images", torch.from_numpy(TRAIN).permute(0, 3, 1, 2).contiguous()),
        ("train/labels", data.train.labels),
    ):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.numpy().tobytes())
    assert data.content == digest.hexdigest()[:16]


def test_a_label_beyond_the_images_is_named_before_its_classes_are_made(tmp_path: Path) -> None:
    write_shard(tmp_path / "test-0.parquet", structs(TEST), [0, 1, 2, 0])
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [0, 1, 2, 0, 1, 2_000_000_000, 0, 1, 2, 0])
    assert fault(tmp_path) == (
        f"{tmp_path}/train-0.parquet, row 5: label 2000000000 would be that of one of 2000000001 classes, but the split"
        " has 10 images; labels without names count the classes from 0"
    )
    labels = pa.array([0, 1, 2, 0, 1, 2**64 - 1, 0, 1, 2, 0], pa.uint64())
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), labels)
    assert "row 5: label 18446744073709551615 would be" in fault(tmp_path)
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [0, 1, 2, 0, 1, 9, 0, 1, 2, 0])
    assert fault(tmp_path) == f"{tmp_path}: no training image of class '3', '4', '5' and 3 more"


def test_more_rows_than_any_set_has_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal rows pack into nothing: a file of some kilobytes may have any number of them."""
    assert MOST_ROWS == 20_000_000
    monkeypatch.setattr(parquet_table, "MOST_ROWS", 100_000)
    write_parquet(tmp_path, TRAIN, TEST)
    shard = tmp_path / "train-00000-of-00002.parquet"
    write_shard(shard, [b"x"] * 99_996, [0] * 99_996)
    assert shard.stat().st_size < 10_000
    assert fault(tmp_path) == f"{shard} and the others of its split: 100,001 rows; a split has at most 100,000"
    write_shard(shard, [b"x"] * 99_995, [0] * 99_995)
    assert "rows; a split" not in fault(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a\0b.png", "the image's path 'a\\0b.png' is none that a file could have"),
        ("n" * 5000, f"the image's path '{'n' * 80}…' is none that a file could have"),
        ("n" * 300, "File name too long"),
        ("pipe.png", "pipe.png is a pipe, not a file"),
        ("folder.png", "folder.png is a folder, not a file"),
        ("loop.png", "is a link to itself"),
        ("/dev/zero", "the image's path '/dev/zero' leads out of"),
        ("zero.png", "the image's path 'zero.png' leads out of"),
    ],
)
def test_a_path_that_leads_to_no_file_is_named_by_its_row(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "good.png").write_bytes(encode(TRAIN[0]))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    write_shard(tmp_path / "train-0.parquet", ["good.png", "good.png", path], [0, 1, 0])
    write_shard(tmp_path / "test-0.parquet", ["good.png"], [0])
    text = fault(tmp_path)
    assert text.startswith(f"{tmp_path}/train-0.parquet, row 2: ")
    assert message in text


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"bytes": [[1]], "path": "a.png"}] * 10),
        pa.array([{"bytes": {"bytes": b"x"}, "path": None}] * 10),
        pa.array([[b"x"]] * 10),
        pa.array([{"path": [b"x"]}] * 10),
    ],
    ids=["bytes are a list", "bytes are a struct", "a list", "a path is a list"],
)
def test_a_nested_column_holds_no_images(tmp_path: Path, column: pa.Array) -> None:
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.parquet", column, [n % 3 for n in range(10)])
    for options in ({}, {"image": "image"}):
        text = fault(tmp_path, **options)
        assert text.startswith(f"{tmp_path}/train-0.parquet: column 'image' holds {str(column.type)[:4]}")
        assert text.endswith(
            "; images are bytes of image files, structs of 'bytes' and 'path', or paths; write the files' bytes"
        )


def test_only_a_path_that_is_wanted_must_be_text(tmp_path: Path) -> None:
    column = [{"bytes": encode(image), "path": [1]} for image in TRAIN]
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.parquet", column, [n % 3 for n in range(10)])
    assert np.array_equal(images_of(opened(tmp_path).train), TRAIN)
    column[4]["bytes"] = None
    write_shard(tmp_path / "train-0.parquet", column, [n % 3 for n in range(10)])
    assert fault(tmp_path) == f"{tmp_path}/train-0.parquet, row 4: column 'image' is empty, there is no image"


@pytest.mark.parametrize("names", ["abc", 3, {"a": 0}, [["a"], ["b"], ["c"]], [None, "b", "c"]])
def test_class_names_that_are_no_list_of_names_are_refused(tmp_path: Path, names: Any) -> None:
    write_shard(tmp_path / "train-0.parquet", structs(TRAIN), [n % 3 for n in range(10)], names)
    write_shard(tmp_path / "test-0.parquet", structs(TEST), [0, 1, 2, 0], names)
    assert fault(tmp_path) == (
        f"{tmp_path}/train-0.parquet: in its Hugging Face metadata the 'names' of the classes of column 'label' are no"
        " list of names"
    )


@pytest.mark.parametrize(
    "text", [b"", b"no JSON", b"[" * 100_000, b'{"info": {"features": {"label": {"names": null}}}}']
)
def test_metadata_of_another_tool_name_no_classes(tmp_path: Path, text: bytes) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    for shard in tmp_path.glob("*.parquet"):
        pq.write_table(pq.read_table(shard).replace_schema_metadata({"huggingface": text}), shard)
    assert opened(tmp_path).classes == ("0", "1", "2")


@pytest.mark.parametrize("labels", [[0] * 10, ["ant"] * 10])
def test_one_class_is_no_data_set(tmp_path: Path, labels: list[Any]) -> None:
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.parquet", structs(TRAIN), labels)
    assert fault(tmp_path) == (
        f"{tmp_path} has only one class, '{labels[0]}'; a network learns to tell at least 2 classes apart"
    )


def test_text_that_is_no_utf_8_is_named_by_its_row(tmp_path: Path) -> None:
    words = pa.array([b"ant", b"bee", b"\xff\xfe", b"cow"] * 3)
    text = pa.Array.from_buffers(pa.string(), len(words), words.buffers())
    write_shard(tmp_path / "train-0.parquet", structs(np.repeat(TRAIN[:4], 3, axis=0)), text)
    write_shard(tmp_path / "test-0.parquet", structs(TEST), ["ant"] * 4)
    assert fault(tmp_path) == f"{tmp_path}/train-0.parquet, row 2: its text is not UTF-8"
    write_shard(tmp_path / "train-0.parquet", text, ["ant", "bee", "cow"] * 4)
    write_shard(tmp_path / "test-0.parquet", ["x"] * 4, ["ant"] * 4)
    assert fault(tmp_path) == f"{tmp_path}/train-0.parquet, row 2: its text is not UTF-8"


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    shard = tmp_path / "train-00000-of-00002.parquet"
    pq.write_table(pa.table([pa.array(structs(TRAIN)), *[pa.array([0] * 10)] * 2], ["image", "label", "label"]), shard)
    assert fault(tmp_path) == f"{shard}: two columns are called 'label'"


@pytest.mark.parametrize("where", ["pipe", "/dev/zero"])
def test_a_path_that_is_neither_file_nor_folder_is_named(tmp_path: Path, where: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    what = "a pipe" if where == "pipe" else "a device"
    assert fault(tmp_path / where) == (
        f"no Parquet files at {tmp_path / where}: there is {what}, where a folder or a file is wanted (option path)"
    )


@pytest.mark.parametrize("pattern", ["/etc/*", ""])
def test_a_pattern_of_no_file_below_is_refused(tmp_path: Path, pattern: str) -> None:
    write_parquet(tmp_path, TRAIN, TEST)
    assert fault(tmp_path, train=pattern) == f"'{pattern}' is no pattern of files below {tmp_path} (option train)"
