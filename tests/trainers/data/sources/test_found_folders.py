"""Class folders as people have them: which folder is taken, what is passed over, and what lies in no class folder."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.data.examples import encode, pixels
from trainers.data import ImageData
from trainers.data.sources.folder import Folder
from trainers.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on

IMAGES = pixels(12, 16, seed=3)
BOTH = pytest.mark.parametrize("memory_gb", [4.0, 0.0])


def save(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(IMAGES[number % len(IMAGES)]))


def write(root: Path, **splits: int) -> Path:
    """Each split with so many images of two classes; no two splits have one in common."""
    first = 0
    for split, count in splits.items():
        for number in range(count):
            save(root / split / ("cat", "dog")[number % 2] / f"{number}.png", first + number)
        first += count
    return root


def opened(root: Path, **options: Any) -> ImageData:
    return Folder(path=root, **({"image_size": 16, "resize": 16, "workers": 0} | options)).load()


def fault(root: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        opened(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def first_of(data: ImageData) -> bytes:
    (batch,) = data.test.batches([torch.tensor([0])])
    pixels_of: bytes = batch.images[0].permute(1, 2, 0).numpy().tobytes()
    return pixels_of


# -- which folder ---------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("name", ["val", "test", "validation", "valid", "testing", "Valid", "TEST", "Val"])
@pytest.mark.parametrize("train", ["train", "training", "Train"])
def test_every_usual_name_of_a_split_is_taken_in_any_case(
    tmp_path: Path, name: str, train: str, memory_gb: float
) -> None:
    data = opened(write(tmp_path, **{train: 4, name: 2}), memory_gb=memory_gb)
    assert (len(data.train), len(data.test), data.classes) == (4, 2, ("cat", "dog"))
    assert first_of(data) == IMAGES[4].tobytes()
    usual = name in ("val", "test")
    assert data.remarks == (() if usual else (f"the test set is {tmp_path / name}/",))


@pytest.mark.parametrize(
    ("splits", "taken", "left"),
    [
        (("valid", "test"), "test", "valid/"),
        (("validation", "test"), "test", "validation/"),
        (("val", "test"), "val", "test/"),
        (("valid", "validation"), "validation", "valid/"),
        (("test", "val", "valid"), "val", "test/, valid/"),
    ],
)
def test_of_several_one_is_taken_and_it_is_said_which(
    tmp_path: Path, splits: tuple[str, ...], taken: str, left: str
) -> None:
    data = opened(write(tmp_path, train=2, **dict.fromkeys(splits, 2)))
    assert first_of(data) == IMAGES[2 + 2 * splits.index(taken)].tobytes()
    assert data.remarks == (f"the test set is {tmp_path / taken}/; not used: {left}",)


def test_a_split_without_labels_gives_way_to_one_that_has_them(tmp_path: Path) -> None:
    write(tmp_path, train=4, valid=2)
    for number in range(3):
        save(tmp_path / "test" / f"{number}.png", 8)
    data = opened(tmp_path)
    assert first_of(data) == IMAGES[4].tobytes()
    assert data.remarks == (f"the test set is {tmp_path}/valid/; not used: test/",)


def test_remarks_are_made_each_time_and_are_no_part_of_the_content(tmp_path: Path) -> None:
    plain, more = write(tmp_path / "a", train=4, val=2), write(tmp_path / "b", train=4, valid=2)
    (more / "train" / "cat" / "list.txt").touch()
    first, again = opened(more), opened(more)
    assert len(first.remarks) == 2
    assert first.remarks == again.remarks
    assert first.content == opened(plain).content


def test_a_class_may_be_called_valid_where_nobody_has_split_the_set(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path / ("valid", "invalid")[number % 2] / f"{number}.png", number)
    assert opened(tmp_path, test_fraction=0.25).classes == ("invalid", "valid")


# -- what lies in no class folder -----------------------------------------------------------------------------------


def test_flat_images_are_told_with_how_to_sort_them(tmp_path: Path) -> None:
    write(tmp_path, train=4)
    save(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG", 0)
    own = " (docs/datasets.md#folder-imagenet has the lines that do it)"
    val = tmp_path / "val"
    assert fault(tmp_path) == f"the image in {val} lies in no class folder: move each into {val}/CLASS/{own}"
    save(val / "ILSVRC2012_val_00000002.JPEG", 0)
    assert fault(tmp_path) == f"the 2 images in {val} lie in no class folder: move each into {val}/CLASS/{own}"
    for path in val.iterdir():
        path.rename(val / f"photo{path.name[-6]}.jpg")
    assert fault(tmp_path) == f"the 2 images in {val} lie in no class folder: move each into {val}/CLASS/"


def test_the_lines_of_the_guide_sort_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[4] / "docs" / "datasets.md").read_text(encoding="utf-8")
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "LOC_val_solution" in block)
    root = tmp_path / "data" / "imagenet"
    rows = ["ImageId,PredictionString"]
    for number, wnid in enumerate(("n01440764", "n01443537"), start=1):
        save(root / "train" / wnid / f"{wnid}_1.JPEG", number)
        save(root / "val" / f"ILSVRC2012_val_{number:08}.JPEG", number + 2)
        rows.append(f"ILSVRC2012_val_{number:08},{wnid} 85 1 499 272 {wnid} 1 2 3 4 ")
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows))
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "docs/datasets.md", "exec"), {})
    assert opened(root).test.labels.tolist() == [0, 1]


def test_flat_training_images_and_archives_are_told_too(tmp_path: Path) -> None:
    train = tmp_path / "train"
    write(tmp_path, val=2)
    for number in range(3):
        save(train / f"{number}.png", 0)
    assert fault(tmp_path).startswith(f"the 3 images in {train} lie in no class folder: move each into {train}/CLASS/")
    assert fault(train, test_fraction=0.5).startswith(f"the 3 images in {train} lie in no class folder")
    for path in train.iterdir():
        path.rename(train / f"n0144076{path.stem}.tar")
    assert fault(tmp_path) == (
        f"{train} holds no class folder but 3 archives (n01440760.tar …): unpack each into a folder of its class's name"
    )


@BOTH
def test_flat_images_beside_class_folders_are_counted(tmp_path: Path, memory_gb: float) -> None:
    write(tmp_path, train=4, val=2)
    for number in range(2):
        save(tmp_path / "val" / f"{number}.png", 0)
    data = opened(tmp_path, memory_gb=memory_gb)
    assert len(data.test) == 2
    assert data.remarks == (f"{tmp_path}/val: 2 images that lie in no class folder are left out",)


@BOTH
def test_what_is_passed_over_is_counted_by_its_ending(tmp_path: Path, memory_gb: float) -> None:
    write(tmp_path, train=4, val=2)
    for name in ("a.HEIC", "b.heic", "c.heic", "list.txt", "d.jpg.bak", "README", ".DS_Store", "._0.png", "x.svg"):
        (tmp_path / "train" / "cat" / name).touch()
    data = opened(tmp_path, memory_gb=memory_gb)
    assert len(data.train) == 4
    (remark,) = data.remarks
    start = f"{tmp_path}/train: files that are no images by their endings are left out: 3 .heic, "
    assert remark.startswith(start)
    assert sorted(remark.removeprefix(start).split(", ")) == ["1 .bak", "1 .svg", "1 .txt", "1 without ending"]


def test_a_class_of_other_files_alone_says_which_they_are(tmp_path: Path) -> None:
    write(tmp_path, train=4, val=2)
    for number in range(12):
        path = tmp_path / "train" / "emu" / f"{number}.heic"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    message = "no training image of class 'emu'; files that are no images by their endings: 12 .heic"
    assert fault(tmp_path) == f"{tmp_path}/train: {message}"


def test_many_endings_are_counted_together(tmp_path: Path) -> None:
    write(tmp_path, train=4, val=2)
    for number in range(9):
        (tmp_path / "train" / "cat" / f"a.x{number}").touch()
    (remark,) = opened(tmp_path).remarks
    assert remark.endswith(", 4 of other endings")


# -- links ----------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("target", [".", "..", "../..", "../../train/dog"])
def test_links_that_lead_back_are_named_whatever_they_lead_through(
    tmp_path: Path, target: str, memory_gb: float
) -> None:
    write(tmp_path, train=4, val=2)
    (tmp_path / "train" / "cat" / "again").symlink_to(target)
    (tmp_path / "train" / "dog" / "back").symlink_to("../cat")
    assert "is a link to a folder that it lies in: its images have no end" in fault(tmp_path, memory_gb=memory_gb)


@BOTH
def test_a_link_to_itself_is_named(tmp_path: Path, memory_gb: float) -> None:
    write(tmp_path, train=4, val=2)
    for place in ("train/emu", "train/cat/a.png", "valid"):
        link = tmp_path / place
        link.symlink_to(link.name)
        if place == "train/cat/a.png":
            assert fault(tmp_path, memory_gb=memory_gb) == f"cannot read {link}: Too many levels of symbolic links"
        else:
            assert len(opened(tmp_path, memory_gb=memory_gb).train) == 4  # no folder, and no image
        link.unlink()


# -- Unicode --------------------------------------------------------------------------------------------------------

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@BOTH
def test_two_forms_of_one_name_are_one_class(tmp_path: Path, memory_gb: float) -> None:
    """As a set that was packed on macOS and completed elsewhere has them."""
    for number, place in enumerate(("train/ant", f"train/{DECOMPOSED}", "val/ant", f"val/{COMPOSED}")):
        save(tmp_path / place / "0.png", number)
    data = opened(tmp_path, memory_gb=memory_gb)
    assert data.classes == ("ant", DECOMPOSED)
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1], [0, 1])
    assert first_of(data) == IMAGES[2].tobytes()


@BOTH
def test_two_folders_of_one_class_are_put_together(tmp_path: Path, memory_gb: float) -> None:
    for number, place in enumerate(("train/ant", f"train/{COMPOSED}", f"train/{DECOMPOSED}", f"val/{COMPOSED}")):
        save(tmp_path / place / "0.png", number)
    if len(list((tmp_path / "train").iterdir())) == 2:
        pytest.skip("this file system knows one form of a name")
    data = opened(tmp_path, memory_gb=memory_gb)
    assert len(data.classes) == 2
    assert data.train.labels.tolist() == [0, 1, 1]
    assert data.test.labels.tolist() == [1]
