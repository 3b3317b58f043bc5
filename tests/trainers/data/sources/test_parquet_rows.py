"""One table that holds what to train and what to test on: told apart by a column, or by the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tests.trainers.data.examples import Pixels, encode, pixels, write_parquet
from tests.trainers.data.sources.test_parquet import fault, images_of, opened
from trainers.config import DatasetConfig
from trainers.data.sources.parquet import Parquet

ALL = pixels(24, seed=5)
LABELS = [n % 3 for n in range(24)]


def write(path: Path, images: Pixels = ALL, labels: list[Any] | None = None, **columns: Any) -> None:
    """One shard with further columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {"image": [encode(image) for image in images], "label": LABELS if labels is None else labels}
    pq.write_table(pa.table(table | columns), path)


def shown(images: Pixels) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_a_column_says_which_rows_are_to_test_on(tmp_path: Path) -> None:
    sides = ["Test" if n in (1, 5, 6) else "train" for n in range(24)]
    write(tmp_path / "scans.parquet", split=sides)
    data = opened(tmp_path, split_column="split")
    assert np.array_equal(images_of(data.test), ALL[[1, 5, 6]])
    assert data.test.labels.tolist() == [1, 2, 0]
    assert np.array_equal(images_of(data.train), np.delete(ALL, [1, 5, 6], axis=0))
    assert len(data.train.labels) == 21


def test_validation_rows_are_left_out_where_there_are_test_rows(tmp_path: Path) -> None:
    sides = ["train"] * 18 + ["validation"] * 3 + ["test"] * 3
    write(tmp_path / "a" / "scans.parquet", fold=sides)
    data = opened(tmp_path / "a", split_column="fold")
    assert (len(data.train), np.array_equal(images_of(data.test), ALL[21:])) == (18, True)
    write(tmp_path / "b" / "scans.parquet", fold=["train"] * 18 + ["validation"] * 6)
    assert np.array_equal(images_of(opened(tmp_path / "b", split_column="fold").test), ALL[18:])


def test_a_fraction_takes_its_share_of_each_class_whatever_the_order(tmp_path: Path) -> None:
    write(tmp_path / "a" / "train-0.parquet")
    data = opened(tmp_path / "a", test_fraction=0.25)
    assert sorted(data.test.labels.tolist()) == [0, 0, 1, 1, 2, 2]
    assert shown(images_of(data.train)) | shown(images_of(data.test)) == shown(ALL)
    order = np.random.default_rng(0).permutation(24)
    half, rest = order[:10], order[10:]
    for number, some in enumerate((half, rest)):
        write(tmp_path / "b" / f"part-{number}.parquet", ALL[some], [LABELS[place] for place in some])
    other = opened(tmp_path / "b", test_fraction=0.25)
    assert shown(images_of(other.test)) == shown(images_of(data.test))


def test_a_set_that_grows_keeps_most_of_its_test_images(tmp_path: Path) -> None:
    many = pixels(300, seed=6)
    labels = [n % 3 for n in range(300)]
    before, after = (
        shown(images_of(_of(tmp_path / str(count), many[:count], labels[:count]).test)) for count in (240, 300)
    )
    assert (len(before), len(after)) == (60, 75)
    assert len(before & after) >= 50


def _of(folder: Path, images: Pixels, labels: list[int]) -> Any:
    write(folder / "all.parquet", images, labels)
    return opened(folder, test_fraction=0.25)


def test_class_names_stay_with_their_images(tmp_path: Path) -> None:
    names = [["ant", "bee", "cow"][label] for label in LABELS]
    write(tmp_path / "scans.parquet", labels=names)
    data = opened(tmp_path, test_fraction=0.25)
    known = {image.tobytes(): label for image, label in zip(ALL, LABELS, strict=True)}
    assert data.classes == ("ant", "bee", "cow")
    for split in (data.train, data.test):
        assert [known[image.tobytes()] for image in images_of(split)] == split.labels.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_column": "fold"}, "no column 'fold' of text; columns of text: split"),
        ({"split_column": "label"}, "no column 'label' of text"),
        ({"split_column": "split"}, "no row of column 'split' says 'test' (option split_column); it holds dev, train"),
    ],
)
def test_what_no_column_says_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write(tmp_path / "scans.parquet", split=["train"] * 20 + ["dev"] * 4)
    assert message in fault(tmp_path, **options)


def test_a_wrong_label_is_named_by_its_row_in_the_file(tmp_path: Path) -> None:
    labels = [*LABELS[:23], -1]
    write(tmp_path / "scans.parquet", labels=labels, split=["test"] * 4 + ["train"] * 20)
    assert "scans.parquet, row 23: label -1" in fault(tmp_path, split_column="split")


def test_there_is_one_way_to_split() -> None:
    for options in ({"test": "b*", "test_fraction": 0.2}, {"split_column": "fold", "test_fraction": 0.2}):
        with pytest.raises(ValidationError, match="each say what is to test on; leave one"):
            Parquet(path="somewhere", **options)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Parquet(path="somewhere", test_fraction=1.0)  # type: ignore[arg-type]


def test_the_way_to_split_is_in_the_key_and_no_way_is_not(tmp_path: Path) -> None:
    def key(**options: Any) -> dict[str, Any]:
        identity = Parquet(path=tmp_path, **options).identity
        return DatasetConfig(name="parquet", options=identity, content="00").key_content()

    assert key()["options"] == {"image": None, "label": None, "image_size": None}
    assert key(test_fraction=0.2)["options"]["test_fraction"] == 0.2


def test_shards_of_their_own_are_read_as_before(tmp_path: Path) -> None:
    write_parquet(tmp_path, ALL[:10], ALL[10:14])
    assert len(opened(tmp_path).test) == 4
    halved = opened(tmp_path, test_fraction=0.5)  # of the training shards alone: 2 of 4, 2 of 3 and 2 of 3
    assert (len(halved.train), len(halved.test)) == (4, 6)
