"""Parquet as other tools write it: categories, truth values, texts of every kind, folders; and what cannot be read."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainers.data.examples import encode, pixels, write_shard
from trainers.data import ImageData
from trainers.data.sources.parquet import Parquet
from trainers.errors import InputError

IMAGES = pixels(6)
BYTES = [encode(image) for image in IMAGES]
NAMES = ["cat", "dog", "emu"] * 2


def opened(path: Path, **options: Any) -> ImageData:
    return Parquet(path=path, **options).load()


def fault(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        opened(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def write(folder: Path, labels: Any, test: Any = None) -> Path:
    """One shard of each split, with these labels."""
    write_shard(folder / "train.parquet", BYTES, labels)
    write_shard(folder / "test.parquet", BYTES, labels if test is None else test)
    return folder


# -- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(NAMES).dictionary_encode(),
        pa.array(NAMES, pa.large_string()).dictionary_encode(),
        pa.array(NAMES, pa.large_string()),
        pa.array(NAMES, pa.string_view()),
        pa.DictionaryArray.from_arrays(pa.array([1, 2, 0] * 2, pa.int8()), pa.array(["emu", "cat", "dog", "yak"])),
    ],
    ids=["category", "category of large texts", "large text", "view of text", "category with one not used"],
)
def test_names_are_read_however_they_are_kept(tmp_path: Path, labels: pa.Array) -> None:
    data = opened(write(tmp_path, labels))
    assert data.classes == ("cat", "dog", "emu")
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 1, 2] * 2
    assert data.content == opened(write(tmp_path / "plain", NAMES)).content
    assert opened(tmp_path, label="label").content == data.content


def test_a_category_of_numbers_is_numbers(tmp_path: Path) -> None:
    data = opened(write(tmp_path, pa.array([2, 0, 1] * 2).dictionary_encode()))
    assert (data.classes, data.train.labels.tolist()) == (("0", "1", "2"), [2, 0, 1] * 2)


def test_truth_values_are_two_classes(tmp_path: Path) -> None:
    data = opened(write(tmp_path, [name == "cat" for name in NAMES]))
    assert (data.classes, data.train.labels.tolist()) == (("false", "true"), [1, 0, 0] * 2)
    assert data.train.labels.dtype.is_floating_point is False
    assert fault(write(tmp_path / "a", [True] * 6)) == f"{tmp_path}/a: no training image of class 'false'"
    message = "label None is not one of 0 to 1"
    assert fault(write(tmp_path / "b", [True, False, None] * 2)).endswith(f"train.parquet, row 2: {message}")


def test_shards_may_keep_one_column_in_several_ways(tmp_path: Path) -> None:
    """As they do where each was written by itself: categories of other widths, numbers of other sizes."""
    category, text = pa.array(NAMES).dictionary_encode(), pa.array(NAMES, pa.large_string())
    for number, labels in enumerate([category, text, NAMES]):
        write_shard(tmp_path / "names" / f"train-{number}.parquet", BYTES, labels)
    write_shard(tmp_path / "names" / "test-0.parquet", BYTES, NAMES)
    assert opened(tmp_path / "names").train.labels.tolist() == [0, 1, 2] * 6
    for number, kind in enumerate([pa.int8(), pa.int64(), pa.uint16()]):
        write_shard(tmp_path / "numbers" / f"train-{number}.parquet", BYTES, pa.array([0, 1] * 3, kind))
    write_shard(tmp_path / "numbers" / "test-0.parquet", BYTES, [0, 1] * 3)
    assert opened(tmp_path / "numbers").train.labels.tolist() == [0, 1] * 9
    write_shard(tmp_path / "names" / "train-1.parquet", BYTES, [0, 1] * 3)
    assert "train-1.parquet: column 'label' is missing, or of another type than in train-0.parquet" in fault(
        tmp_path / "names"
    )


CURE = "labels are whole numbers from 0, names, categories, or true and false; convert it, in pandas with .astype(int)"


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([float(len(name)) for name in NAMES], "double"),
        (pa.array([1, 2, 3] * 2).cast(pa.decimal128(21, 2)), "decimal128(21, 2)"),
        (pa.array([None] * 6), "null"),
        ([[1, 0], [0, 1]] * 3, "list<element: int64>"),
        (pa.array([1.0, 2.0] * 3).dictionary_encode(), "double"),
    ],
    ids=["fractions", "decimals", "nothing", "lists", "categories of fractions"],
)
def test_advice_on_labels_of_another_type_leads_somewhere(tmp_path: Path, labels: Any, kind: str) -> None:
    """Whether or not the column is named, the message says what it holds and what to do, and never to name it."""
    write(tmp_path, labels)
    for options in ({}, {"label": "label"}):
        text = fault(tmp_path, **options)
        assert text.startswith(f"{tmp_path}/train.parquet: column 'label' holds {kind}; {CURE}")
        assert "Name it" not in text


def test_a_column_is_asked_for_only_where_there_are_several(tmp_path: Path) -> None:
    columns = {"image": BYTES, "animal": [0, 1] * 3, "colour": ["red", "blue"] * 3, "size": [1.5] * 6}
    for split in ("train", "test"):
        pq.write_table(pa.table(columns), tmp_path / f"{split}.parquet")
    shard = f"{tmp_path}/train.parquet"
    assert fault(tmp_path) == f"{shard}: which column holds the label? Name it with the option label: animal or colour"
    assert opened(tmp_path, label="animal").classes == ("0", "1")
    assert opened(tmp_path, label="colour").classes == ("blue", "red")
    assert fault(tmp_path, label="size").startswith(f"{shard}: column 'size' holds double; labels are whole numbers")
    assert fault(tmp_path, label="Animal") == (
        f"{shard}: unknown column 'Animal'; did you mean 'animal'? columns that hold labels: animal, colour"
    )
    for split in ("train", "test"):
        pq.write_table(pa.table({"image": BYTES, "size": [1.5] * 6}), tmp_path / f"{split}.parquet")
    assert fault(tmp_path).startswith(f"{shard}: no column holds labels, which are whole numbers from 0, names, ")
    assert fault(tmp_path).endswith("; columns: image (binary), size (double)")
    assert fault(tmp_path, label="x") == f"{shard}: unknown column 'x'; columns: image (binary), size (double)"


def test_paths_may_be_categories(tmp_path: Path) -> None:
    for number, content in enumerate(BYTES):
        (tmp_path / f"{number}.png").write_bytes(content)
    paths = pa.array([f"{number}.png" for number in range(6)]).dictionary_encode()
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}.parquet", paths, NAMES)
    images = opened(tmp_path, image="image", label="label").train
    (batch,) = images.batches([images.index])
    assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), IMAGES)


def test_two_forms_of_one_name_are_one_class(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "émeu") for form in ("NFC", "NFD"))
    data = opened(write(tmp_path / "a", ["ant", apart] * 3, ["ant", composed] * 3))
    assert data.classes == ("ant", apart)
    assert data.test.labels.tolist() == [0, 1] * 3
    data = opened(write(tmp_path / "b", ["ant", apart, composed] * 2))
    assert len(data.classes) == 2
    assert data.train.labels.tolist() == [0, 1, 1] * 2
    assert "is no class of the training split" in fault(write(tmp_path / "c", ["ant", apart] * 3, ["ant", "emu"] * 3))


@pytest.mark.parametrize(
    ("test", "told"), [([0, 1] * 3, "'0'"), ([True, False] * 3, "'True'"), ([None, "cat"] * 3, "'None'")]
)
def test_a_label_to_test_on_of_another_type_than_names_is_no_class(tmp_path: Path, test: list[Any], told: str) -> None:
    message = f"{tmp_path}/test.parquet, row 0: label {told} is no class of the training split"
    assert fault(write(tmp_path, NAMES, test)) == message


@pytest.mark.parametrize("test", [NAMES, [True, False] * 3])
def test_nor_is_one_of_another_type_than_numbers(tmp_path: Path, test: list[Any]) -> None:
    if isinstance(test[0], bool):
        assert opened(write(tmp_path, [0, 1] * 3, test)).test.labels.tolist() == [1, 0] * 3
    else:
        assert "test.parquet, row 0: label cat is not one of 0 to 1" in fault(write(tmp_path, [0, 1] * 3, test))


# -- where shards lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [
        ("train-0.parquet", "test-0.parquet"),
        ("data/train-0.parquet", "data/test-0.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("data/train/0000.parquet", "data/validation/0000.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("default/train-0.parquet", "default/test-0.parquet"),
        ("train/a/0.parquet", "valid/a/0.parquet"),
        ("train.parquet/part-0.snappy.parquet", "val.parquet/part-0.snappy.parquet"),
        ("train.parquet", "validation.parquet"),
    ],
    ids=lambda layout: layout[0],
)
def test_shards_lie_in_folders_as_well(tmp_path: Path, layout: tuple[str, str]) -> None:
    for place in layout:
        write_shard(tmp_path / place, BYTES, NAMES)
    data = opened(tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (6, 6, ("cat", "dog", "emu"))


def test_all_shards_of_a_folder_are_one_split_in_their_order(tmp_path: Path) -> None:
    for number in range(3):
        write_shard(tmp_path / "train" / f"{number:04}.parquet", BYTES[:2], [number] * 2)
    write_shard(tmp_path / "test" / "0000.parquet", BYTES, [0, 1, 2] * 2)
    write_shard(tmp_path / "validation" / "0000.parquet", BYTES[:1], [0])
    data = opened(tmp_path)
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(data.test) == 6, "test, where both are there"


def test_of_several_sets_none_is_taken(tmp_path: Path) -> None:
    for name in ("fine", "coarse"):
        for split in ("train", "test"):
            write_shard(tmp_path / name / split / "0.parquet", BYTES, NAMES)
    assert fault(tmp_path) == (
        f"{tmp_path} holds several data sets, coarse/, fine/: which one? Give its folder as path"
    )
    assert len(opened(tmp_path / "fine").train) == 6


def test_what_lies_deeper_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "a" / "b" / "x.parquet", BYTES, NAMES)
    assert fault(tmp_path).endswith("; the folder holds no Parquet file itself, but a/b/x.parquet")
