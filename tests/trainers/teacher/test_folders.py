"""Which files below a folder are weight files, and what is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.errors import InputError
from trainers.storage.endings import WEIGHTS, named_as_weights
from trainers.teacher.folders import weights_below


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_below(folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in weights_below(folder).weights]


@pytest.mark.parametrize(
    "ending", [*WEIGHTS, ".pth.tar", ".PTH", ".Pt", ".TH", ".CKPT", ".Bin", ".PTH.TAR", ".SafeTensors"]
)
def test_every_usual_ending_is_one_in_any_case(tmp_path: Path, ending: str) -> None:
    touched(tmp_path, f"deep/er/resnet8{ending}", f"resnet8{ending}.txt")
    assert named_as_weights(f"resnet8{ending}")
    assert names_below(tmp_path) == [f"deep/er/resnet8{ending}"]


def test_what_is_passed_over_is_counted_by_its_ending(tmp_path: Path) -> None:
    touched(tmp_path, "a.pth", "b.th", "README.md", "notes.MD", "x/log.txt", "LICENSE", ".DS_Store", "x/._a.pth")
    touched(tmp_path, ".git/objects/pack.pth", "__MACOSX/._a.pth")
    (tmp_path / "gone.pth").symlink_to(tmp_path / "nowhere.pth")
    below = weights_below(tmp_path)
    assert [file.name for file in below.weights] == ["a.pth", "b.th"]
    assert below.passed == {".md": 2, ".txt": 1, "without an ending": 1, "hidden": 2, "that is no file": 1}
    assert below.passed_over.startswith("passed over 7 other files: 2 ")
    assert "1 without an ending" in below.passed_over


def test_nothing_passed_over_is_not_worth_a_word(tmp_path: Path) -> None:
    touched(tmp_path, "a.pth")
    assert weights_below(tmp_path).passed_over == ""
    touched(tmp_path, "a.json")
    assert weights_below(tmp_path).passed_over == "passed over 1 other file: 1 .json"


def test_a_folder_without_weights_says_what_is_there(tmp_path: Path) -> None:
    touched(tmp_path, "teachers.zip", "README.md")
    with pytest.raises(InputError, match=r"no weight file below .*; their names end in \.pth, .*; passed over 2 other"):
        weights_below(tmp_path)


def test_links_are_followed_and_each_folder_is_looked_into_once(tmp_path: Path) -> None:
    touched(tmp_path / "elsewhere", "a.pth")
    touched(tmp_path / "teachers", "b.pth")
    (tmp_path / "teachers" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "teachers" / "loop").symlink_to(tmp_path / "teachers")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "teachers")
    assert names_below(tmp_path / "teachers") == ["b.pth", "link/a.pth"]
