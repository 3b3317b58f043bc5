"""A data set as a function of the user's."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.own import Folder
from trainers.code import Code, current, load, unload
from trainers.data import DATASETS, ImageData
from trainers.errors import InputError

HEAD = """
import numpy as np
import torch
from pathlib import Path
from typing import Annotated, Literal
from pydantic import Field
from PIL import Image
from trainers import dataset

def arrays(n, size=8, classes=2, dtype=np.uint8):
    draws = np.random.default_rng(n)
    return draws.integers(0, 256, (n, size, size, 3)).astype(dtype), np.arange(n) % classes
"""


def source(folder: Folder, text: str, **options: Any) -> Any:
    folder.load(one=HEAD + textwrap.dedent(text))
    return DATASETS["own"].model_validate(options)


def loaded(folder: Folder, text: str, **options: Any) -> ImageData:
    found: ImageData = source(folder, text, **options).load()
    return found


def refused(folder: Folder, text: str, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        loaded(folder, text, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_function_of_arrays_is_a_data_set(folder: Folder) -> None:
    data = loaded(folder, "@dataset('own')\ndef own():\n    'Mine.'\n    return arrays(6), arrays(4), ['cat', 'dog']\n")
    assert (len(data.train), len(data.test), data.classes, data.image_size) == (6, 4, ("cat", "dog"), (8, 8))
    assert (data.name, DATASETS["own"].summary) == ("own", "Mine.")
    assert data.content == loaded(folder, "@dataset('own')\ndef own():\n    return arrays(6), arrays(4)\n").content


def test_options_are_typed_and_gridded_and_paths_are_no_part_of_them(folder: Folder) -> None:
    text = """
    @dataset("own")
    def own(*, path: Path, cache: Path | None = None, size: Annotated[int, Field(ge=8)] = 8):
        assert path.name == "data"
        return arrays(6, size), arrays(4, size)
    """
    here = source(folder, text, path="/a/data", size=16)
    assert here.identity == {"size": 16}
    assert here.whereabouts == {"path", "cache"}
    assert here.load().image_size == (16, 16)
    with pytest.raises(ValueError, match="greater than or equal to 8"):
        source(folder, text, path="/a/data", size=4)
    with pytest.raises(ValueError, match="path"):
        source(folder, text)


def test_a_path_beside_the_file_can_be_a_default(folder: Folder) -> None:
    (folder.path / "data.npy").write_bytes(b"")
    text = """
    @dataset("own")
    def own(*, path: Path = Path(__file__).parent / "data.npy"):
        assert path.exists()
        return arrays(6), arrays(4)
    """
    assert source(folder, text).path == folder.path / "data.npy"
    assert loaded(folder, text)
    spec = folder.spec(["one.py"], dataset="own")
    assert spec.dataset_options == {"path": str(folder.path / "data.npy")}


def test_one_set_is_cut_by_what_its_images_show(folder: Folder) -> None:
    text = """
    @dataset("own", test_fraction=0.25)
    def own(*, turned: bool = False):
        images, labels = arrays(40)
        return (images[::-1], labels[::-1]) if turned else (images, labels)
    """
    one, other = (loaded(folder, text, turned=turned) for turned in (False, True))
    assert (len(one.train), len(one.test), one.test.labels.bincount().tolist()) == (30, 10, [5, 5])
    assert {bytes(image.numpy()) for image in one.test.images} == {bytes(image.numpy()) for image in other.test.images}


def test_a_set_of_pairs_is_read_item_by_item(folder: Folder) -> None:
    text = """
    class Set:
        classes = ["cat", "dog"]
        def __len__(self):
            return 4
        def __getitem__(self, place):
            return Image.new("L", (8, 8), place), place % 2

    @dataset("own")
    def own():
        return Set(), Set()
    """
    data = loaded(folder, text)
    assert (data.classes, data.train.images[3].unique().tolist()) == (("cat", "dog"), [3])


BAD = {
    "one set": ("return arrays(6)", "'own' returned one set of images; return (train, test), or one set, with a test_"),
    "nothing": ("pass", "'own' returned NoneType; return (train, test)"),
    "four": ("return 1, 2, 3, 4", "'own' returned tuple; return (train, test)"),
    "no images": ("return 1, 2", "data set 'own', train is int; give arrays"),
    "pixels of floats": ("return arrays(6, dtype=np.float32), arrays(4)", "pixels are float32; give uint8"),
    "an empty set": ("return arrays(0), arrays(4)", "train has 0 images and 0 labels"),
    "too few labels": ("return (arrays(6)[0], [0, 1]), arrays(4)", "train has 6 images and 2 labels"),
    "labels of floats": ("return (arrays(2)[0], [0.0, 1.0]), arrays(4)", "item 0: label 0.0 is no class's number"),
    "negative labels": ("return (arrays(2)[0], [0, -1]), arrays(4)", "item 1: label -1 is no class's number"),
    "a test label too many": ("return arrays(6), arrays(4, classes=3)", "test, item 2: label 2 is not one of 0 to 1"),
    "a class without images": ("return (arrays(2)[0], [0, 2]), arrays(2)", "no training image of class '1'"),
    "one class": ("return arrays(6, classes=1), arrays(4, classes=1)", "only one class"),
    "two sizes": ("return arrays(6), arrays(4, 9)", "images of (8, 8) to train on and (9, 9) to test on"),
    "five axes": ("return (arrays(6)[0][None], [0]), arrays(4)", "pixels have the shape [1, 6, 8, 8, 3]"),
    "items that are no pairs": ("return [1, 2], [1, 2]", "item 0: it is int, no pair of an image and a label"),
    "items of two sizes": (
        "return [(np.zeros((8, 8), np.uint8), 0), (np.zeros((9, 8), np.uint8), 1)], arrays(4)",
        "item 1: its image is 9 × 8, the first one 8 × 8",
    ),
    "an image of words": ("return [('cat', 0)], arrays(4)", "item 0: its image is str"),
    "an error": ("1 / 0", "ZeroDivisionError: division by zero"),
    "the end of the process": ("raise SystemExit(0)", "SystemExit: 0"),
    "a file that is not there": ("open('/nowhere/at/all')", "FileNotFoundError"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_data_set_is_told(folder: Folder, case: str) -> None:
    body, told = BAD[case]
    assert told in refused(folder, f"@dataset('own')\ndef own():\n    {body}\n")


def test_an_error_in_an_item_is_told_with_the_user_s_line(folder: Folder) -> None:
    text = """
    class Set:
        def __len__(self):
            return 4
        def __getitem__(self, place):
            return {}["no such key"]

    @dataset("own")
    def own():
        return Set(), Set()
    """
    assert "one.py:" in refused(folder, text)
    assert "KeyError: 'no such key'" in refused(folder, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("@dataset('own')\ndef own(path): ...", "a data set's options are keyword arguments: put a `*` before them"),
        ("@dataset('own', test_fraction=1.0)\ndef own(): ...", "test_fraction is a share between 0 and 1, found 1.0"),
        ("@dataset('own')\ndef own(*, size=8): ...", "the argument 'size' has no type"),
        ("@dataset('own')\ndef own(*, name: str = 'a'): ...", "the argument 'name' has a name that is taken"),
        ("@dataset('own')\ndef own(*, load: str = 'a'): ...", "the argument 'load' has a name that is taken"),
        ("@dataset('own')\ndef own(*, size: int = 'a'): ...", "a default is none that its type allows: size: "),
    ],
)
def test_a_function_that_cannot_be_one(folder: Folder, text: str, told: str) -> None:
    assert told in refused(folder, text)


def test_what_it_prints_does_not_mix_with_our_output(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(folder, "@dataset('own')\ndef own():\n    print('reading')\n    return arrays(6), arrays(4)\n")
    assert capsys.readouterr() == ("", "reading\n")


def test_paths_are_read_as_paths(folder: Folder) -> None:
    text = "@dataset('own')\ndef own(*, path: Path = Path('a')):\n    return arrays(6), arrays(4)\n"
    assert source(folder, text, path="b/c").path == Path("b/c")


def test_a_file_beside_the_code_is_missing_where_the_code_is_text_alone(folder: Folder) -> None:
    """As on a worker; the same without the remark where the file itself was read."""
    text = "@dataset('own')\ndef own():\n    return (Path(__file__).parent / 'no.npz').read_bytes()\n"
    assert "say where" not in refused(folder, text)
    code = current()
    unload()
    load(Code(code.files))
    with pytest.raises(InputError, match=r"FileNotFoundError.*; a worker .* option of type Path say where the data"):
        DATASETS["own"].model_validate({}).load()
