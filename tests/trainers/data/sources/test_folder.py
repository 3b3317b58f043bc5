"""Class folders: in memory where they fit, streamed where they do not."""

from __future__ import annotations

import os
import shutil
import time
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tests.trainers.data.examples import Pixels, encode, pixels, write_folder
from trainers.config import Recipe
from trainers.contract.pretended_gpu import pretended
from trainers.data import ImageData, Images, TrainingData
from trainers.data.base import Framing
from trainers.data.pixels.decode import UNKNOWN, centre, shrunk
from trainers.data.pixels.mapped import MappedSplit
from trainers.data.pixels.streaming import Cropping, Crops, StreamedSplit
from trainers.data.sources.folder import Folder, ImageNet
from trainers.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on

IMAGES = np.random.default_rng(1).integers(0, 256, (12, 20, 30, 3), dtype=np.uint8)
OPTIONS = {"image_size": 16, "resize": 18}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of 30 × 20 pixels; the test split has images of two."""
    root = tmp_path / "set"
    write_folder(root, {"a": IMAGES[:3], "b c": IMAGES[3:6], "ü": IMAGES[6:9]}, {"a": IMAGES[9:11], "ü": IMAGES[11:]})
    return root


def opened(root: Path, source: type[Folder] = Folder, **options: Any) -> ImageData:
    return source(path=root, **(OPTIONS | options)).load()


def streamed(root: Path, **options: Any) -> ImageData:
    return opened(root, **({"memory_gb": 0, "workers": 0} | options))


def fault(root: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        opened(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def middle(image: Pixels) -> Pixels:
    """Shorter side to 18, the middle 16 × 16."""
    return np.asarray(Image.fromarray(image).resize((27, 18), Image.Resampling.BILINEAR))[1:17, 5:21]


def all_of(split: Images, framing: Framing | None = None, size: int = 4) -> torch.Tensor:
    """Every image, in batches."""
    parts = torch.arange(len(split)).split(size)
    return torch.cat([batch.images for batch in split.batches(parts, framing)])


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_class_folders_are_read(folder: Path, memory_gb: float) -> None:
    data = opened(folder, memory_gb=memory_gb, workers=0)
    assert isinstance(data.train, StreamedSplit if memory_gb == 0 else MappedSplit)
    assert data.classes == ("a", "b c", "ü")
    assert data.train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert data.test.labels.tolist() == [0, 0, 2]
    assert data.train.index.tolist() == list(range(9))
    assert data.test.index.tolist() == [9, 10, 11]
    assert data.image_size == (16, 16)
    assert np.array_equal(all_of(data.train).permute(0, 2, 3, 1), np.stack([middle(image) for image in IMAGES[:9]]))
    assert np.array_equal(all_of(data.test).permute(0, 2, 3, 1), np.stack([middle(image) for image in IMAGES[9:]]))


def test_the_test_folder_may_have_other_names(folder: Path) -> None:
    content = opened(folder).content
    (folder / "val").rename(folder / "test")
    assert opened(folder).content == content


def test_any_format_and_weird_names_are_read(folder: Path) -> None:
    (folder / "val" / "a" / "deep er").mkdir()
    Image.fromarray(IMAGES[0]).save(folder / "val" / "a" / "deep er" / "z.BMP")
    Image.fromarray(IMAGES[1]).save(folder / "val" / "a" / "z.webp", lossless=True)
    (folder / "val" / "a" / ".hidden.png").write_bytes(b"no image")
    (folder / "val" / "a" / "notes.txt").write_bytes(b"no image")
    (folder / "val" / ".cache").mkdir()
    weird = os.fsencode(folder / "train" / "b c") + b"/\xff\n\xfe.png"
    Path(os.fsdecode(weird)).write_bytes(encode(IMAGES[2]))
    for memory_gb in (4, 0):
        data = opened(folder, memory_gb=memory_gb, workers=0)
        assert len(data.test) == 5
        found = all_of(data.test).permute(0, 2, 3, 1)
        assert np.array_equal(found[2:4], np.stack([middle(IMAGES[1]), middle(IMAGES[0])]))
        assert len(data.train) == 10
        assert np.array_equal(all_of(data.train)[6].permute(1, 2, 0), middle(IMAGES[2]))


def test_a_class_whose_name_is_no_text_is_read(folder: Path) -> None:
    (folder / "train" / "a").rename(os.fsdecode(os.fsencode(folder / "train") + b"/\xff"))
    (folder / "val" / "a").rename(os.fsdecode(os.fsencode(folder / "val") + b"/\xff"))
    for memory_gb in (4, 0):
        assert set(opened(folder, memory_gb=memory_gb).classes) == {"b c", "ü", "\\xff"}


def test_whether_it_fits_decides(folder: Path) -> None:
    size = 12 * 3 * 16 * 16 / 1e9
    assert isinstance(opened(folder, memory_gb=size).train, MappedSplit)
    assert isinstance(opened(folder, memory_gb=size * 0.999).train, StreamedSplit)


def test_statistics_are_measured_or_imagenet_s(folder: Path) -> None:
    data = opened(folder)
    scaled = all_of(data.train).double() / 255
    assert data.mean == pytest.approx(scaled.mean((0, 2, 3)).tolist())
    known = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for other in (streamed(folder), opened(folder, ImageNet), opened(folder, ImageNet, memory_gb=0)):
        assert (other.mean, other.std) == known


def test_imagenet_s_sizes_are_the_field_s() -> None:
    source = ImageNet()
    assert (source.path, source.image_size, source.resize) == (Path("data/imagenet"), 224, 256)
    assert (source.area, source.aspect) == ((0.08, 1.0), (3 / 4, 4 / 3))


def test_what_is_part_of_the_key() -> None:
    assert set(Folder(path=Path("x")).identity) == {"image_size", "resize", "area", "aspect", "test_fraction"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area": (0, 1)}, "area must be two rising shares"),
        ({"area": (0.5, 0.1)}, "area must be two rising shares"),
        ({"area": (0.5, 1.5)}, "area must be two rising shares"),
        ({"aspect": (2, 1)}, "aspect must be two rising positive ratios"),
        ({"aspect": (0, 1)}, "aspect must be two rising positive ratios"),
        ({"image_size": 32, "resize": 31}, "resize (31) must be at least image_size (32)"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Folder(path=Path("x"), **options)
    assert message in str(error.value)


# -- streaming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "cpu", "gpu"), [(None, 2, 5), (0, 0, 0), (3, 3, 3)])
def test_beside_a_gpu_every_thread_has_a_process_that_decodes(
    folder: Path, asked: int | None, cpu: int, gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    split = streamed(folder, workers=asked).train
    with pretended():
        there = split.to(torch.device("cuda"))
        assert isinstance(split, StreamedSplit)
        assert isinstance(there, StreamedSplit)
        assert (split.processes, there.processes) == (cpu, gpu)


def test_views_do_not_depend_on_the_number_of_workers(folder: Path) -> None:
    framing = Framing(seed=3, epoch=2, flip=True)
    alone = all_of(streamed(folder).train, framing)
    assert torch.equal(all_of(streamed(folder, workers=2).train, framing), alone)
    assert torch.equal(all_of(streamed(folder).train, framing, size=2), alone)


def test_views_are_drawn_by_address(folder: Path) -> None:
    train = streamed(folder).train
    views = all_of(train, Framing(0, 1, flip=True))
    assert torch.equal(all_of(train.take(torch.tensor([5, 2])), Framing(0, 1, flip=True)), views[[5, 2]])
    assert not torch.equal(all_of(train, Framing(0, 2, flip=True)), views)
    assert not torch.equal(all_of(train, Framing(1, 1, flip=True)), views)
    straight = all_of(train, Framing(0, 1, flip=False))
    mirrored = [not torch.equal(view, other) for view, other in zip(views, straight, strict=True)]
    assert 0 < sum(mirrored) < 9
    assert all(torch.equal(view.flip(2), other) for view, other, m in zip(views, straight, mirrored, strict=True) if m)


def test_a_view_is_a_part_of_the_image(folder: Path) -> None:
    cropping, framing = Cropping(16, 18), Framing(0, 1, flip=False)
    crops = Crops(cropping, framing, torch.arange(9))
    views = all_of(streamed(folder).train, framing)
    for position in range(9):
        part = Image.fromarray(IMAGES[position]).crop(crops.box(position, 30, 20))
        expected = np.asarray(part.resize((16, 16), Image.Resampling.BILINEAR))
        assert np.array_equal(views[position].permute(1, 2, 0), expected)


@pytest.mark.parametrize(
    ("width", "height", "area", "aspect"),
    [(300, 200, (0.08, 1.0), (3 / 4, 4 / 3)), (200, 300, (0.5, 0.6), (1.0, 1.0)), (40, 41, (0.2, 0.3), (0.5, 2.0))],
)
def test_crops_keep_to_area_and_aspect(
    width: int, height: int, area: tuple[float, float], aspect: tuple[float, float]
) -> None:
    crops = Crops(Cropping(16, 16, area, aspect), Framing(0, 1, flip=False), torch.arange(2000))
    boxes = np.array([crops.box(position, width, height) for position in range(2000)], dtype=float)
    left, top, right, bottom = boxes.T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= width
    assert bottom.max() <= height
    share, ratio = (right - left) * (bottom - top) / (width * height), (right - left) / (bottom - top)
    rounding = 1.1 / min(width, height) / area[0] ** 0.5
    assert area[0] * (1 - rounding) <= share.min() < share.max() <= area[1] * (1 + rounding)
    assert aspect[0] * (1 - rounding) <= ratio.min()
    assert ratio.max() <= aspect[1] * (1 + rounding)
    if area == (0.08, 1.0):  # spread over what is allowed, and not always in one corner
        assert share.std() > 0.15
        assert np.mean(left / np.maximum(width - (right - left), 1)) == pytest.approx(0.5, abs=0.03)


def test_where_no_crop_fits_the_middle_is_taken() -> None:
    crops = Crops(Cropping(16, 16, (1.0, 1.0), (0.75, 4 / 3)), Framing(0, 1, flip=False), torch.arange(5))
    assert crops.box(0, 100, 10) == (43, 0, 56, 10)
    assert crops.box(1, 10, 100) == (0, 43, 10, 56)


def test_the_middle_is_the_middle() -> None:
    image = Image.fromarray(pixels(1, 30)[0])
    assert shrunk(image, 30) is image
    assert np.array_equal(np.asarray(centre(image, (10, 20))), np.asarray(image)[10:20, 5:25])
    assert shrunk(image.crop((0, 0, 30, 7)), 9).size == (39, 9)


def test_subsets_and_cuts_work_on_references(folder: Path) -> None:
    data = streamed(folder)
    parts = TrainingData.cut(data, Recipe(val_fraction=1 / 3))
    assert isinstance(parts.train, StreamedSplit)
    assert isinstance(parts.val, StreamedSplit)
    assert torch.bincount(parts.train.labels).tolist() == [2, 2, 2]
    assert torch.bincount(parts.val.labels).tolist() == [1, 1, 1]
    found = all_of(parts.val)
    assert torch.equal(found, all_of(data.train)[parts.val.index])
    assert len(parts.train.to(torch.device("cpu"))) == 6


def test_a_streamed_set_is_known_by_its_files(folder: Path, tmp_path: Path) -> None:
    content = streamed(folder).content
    assert content != opened(folder).content
    assert len({hash(streamed(folder)), hash(opened(folder))}) == 2  # workers keep opened sets by it
    folder.rename(tmp_path / "moved")
    assert streamed(tmp_path / "moved").content == content
    file = tmp_path / "moved" / "train" / "a" / "001.png"
    before = file.stat()
    file.write_bytes(encode(IMAGES[1], "PNG")[:-1] + b"\x83")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert streamed(tmp_path / "moved").content != content
    file.write_bytes(encode(IMAGES[1]))
    assert streamed(tmp_path / "moved").content == content
    file.rename(file.with_name("100.png"))
    assert streamed(tmp_path / "moved").content != content


def test_a_second_call_does_not_read_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(0.11)
    content = streamed(folder).content
    monkeypatch.setattr("trainers.data.pixels.file_hashes.file_sha256", None)
    assert streamed(folder).content == content


# -- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_a_damaged_image_is_named_when_the_set_is_opened(folder: Path, memory_gb: float) -> None:
    file = folder / "val" / "ü" / "000.png"
    file.write_bytes(b"no image at all")
    assert fault(folder, memory_gb=memory_gb) == f"{file} is not a readable image: {UNKNOWN}"


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_fails_while_streaming_is_named(folder: Path, workers: int) -> None:
    data = streamed(folder, workers=workers)
    file = folder / "train" / "b c" / "001.png"
    file.write_bytes(encode(IMAGES[4])[:200])
    with pytest.raises(InputError) as error:
        all_of(data.train)
    assert str(error.value).startswith(f"{file} is not a readable image: ")
    file.unlink()
    with pytest.raises(InputError, match=r"^cannot read .*001\.png: No such file"):
        all_of(data.train, Framing(0, 1, flip=True))


def test_nobody_decodes_for_an_epoch_that_failed(folder: Path) -> None:
    """However long the error is kept: processes that are forgotten with it are waited for when it is."""
    data = streamed(folder, workers=2)
    (folder / "train" / "b c" / "001.png").write_bytes(b"no image")
    before = active_children()
    with pytest.raises(InputError) as kept:
        all_of(data.train, size=2)
    assert [process for process in active_children() if process not in before] == [], kept


def test_missing_folders_are_named(folder: Path, tmp_path: Path) -> None:
    assert fault(tmp_path / "none") == (
        f"no folder train/ in {tmp_path}/none: expected train/CLASS/ and val/CLASS/ (or test/CLASS/) with the images of"
        " each class (option path), or class folders alone and the option test_fraction"
    )
    (folder / "val").rename(folder / "exam")
    assert fault(folder).startswith(f"no folder val/ or test/ or validation/ or valid/ or testing/ in {folder}: ")
    (folder / "val").mkdir()
    assert fault(folder) == f"{folder}/val holds no image in a class folder"
    (tmp_path / "empty" / "train").mkdir(parents=True)
    (tmp_path / "empty" / "val").mkdir(parents=True)
    assert fault(tmp_path / "empty") == f"{tmp_path}/empty/train holds no class folder"


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_classes_must_have_training_images(folder: Path, memory_gb: float) -> None:
    (folder / "val" / "d").mkdir()
    assert fault(folder, memory_gb=memory_gb).startswith(f"{folder}/val/d: ")
    (folder / "train" / "d").mkdir()
    assert fault(folder, memory_gb=memory_gb) == f"{folder}/train: no training image of class 'd'"


def test_a_dangling_link_is_named(folder: Path) -> None:
    link = folder / "train" / "a" / "link.png"
    link.symlink_to(folder / "gone.png")
    for memory_gb in (4.0, 0.0):
        assert fault(folder, memory_gb=memory_gb) == f"cannot read {link}: No such file or directory"


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_what_is_no_file_is_named(folder: Path, memory_gb: float) -> None:
    pipe = folder / "train" / "a" / "pipe.png"
    os.mkfifo(pipe)  # to read it would wait for a writer for ever
    assert fault(folder, memory_gb=memory_gb) == f"{pipe} is a pipe, not a file"
    pipe.unlink()
    pipe.symlink_to("/dev/zero")
    assert fault(folder, memory_gb=memory_gb) == f"{pipe} is a device, not a file"


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_postscript_is_named_and_not_left_out(folder: Path, memory_gb: float) -> None:
    file = folder / "train" / "a" / "drawing.eps"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    assert fault(folder, memory_gb=memory_gb).startswith(f"{file} is not a readable image: its format is none that")


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_a_picture_too_long_to_be_resized_is_named(folder: Path, memory_gb: float) -> None:
    file = folder / "train" / "a" / "strip.png"
    file.write_bytes(encode(np.zeros((2, 30_000, 3), np.uint8)))
    assert fault(folder, memory_gb=memory_gb, image_size=64, resize=1024) == (
        f"{file} is not a readable image: it is 30,000 × 2 pixels (width × height), and with its shorter side at 1024"
        " it would be 15,360,000 × 1,024; at most 67,108,864 are made"
    )


def test_a_strip_is_cropped_at_any_aspect(folder: Path) -> None:
    strip = encode(np.full((1, 500, 3), 7, np.uint8))
    for name in ("000", "001", "002"):
        (folder / "train" / "a" / f"{name}.png").write_bytes(strip)
    data = streamed(folder, area=(1.0, 1.0), aspect=(0.1, 0.1))
    assert all_of(data.train, Framing(0, 1, flip=True))[:3].unique().tolist() == [7]


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_a_folder_within_itself_is_named(folder: Path, memory_gb: float) -> None:
    (folder / "train" / "a" / "again").symlink_to(folder / "train")
    assert fault(folder, memory_gb=memory_gb) == (
        f"{folder}/train/a/again/a is a link to a folder that it lies in: its images have no end"
    )


def test_folders_may_be_linked(folder: Path, tmp_path: Path) -> None:
    content = opened(folder).content
    (folder / "train" / "a").rename(tmp_path / "elsewhere")
    (folder / "train" / "a").symlink_to(tmp_path / "elsewhere")
    assert opened(folder).content == content


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_one_class_is_no_data_set(folder: Path, memory_gb: float) -> None:
    for name in ("b c", "ü"):
        shutil.rmtree(folder / "train" / name)
    shutil.rmtree(folder / "val" / "ü")
    assert fault(folder, memory_gb=memory_gb) == (
        f"{folder}/train has only one class, 'a'; a network learns to tell at least 2 classes apart"
    )


def test_a_path_of_no_file_is_named(tmp_path: Path) -> None:
    assert fault(tmp_path / "a\0b").endswith("a\\0b: no file can have such a name")
    assert fault(Path("~nobody-of-that-name")).endswith("there is no such home folder")
