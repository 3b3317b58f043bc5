"""The hash of each file: read once, never believed of a file that has changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from trainers.data.pixels import file_hashes as module
from trainers.data.pixels.file_hashes import file_hashes
from trainers.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, old enough to be remembered."""
    root = tmp_path / "set"
    root.mkdir()
    for name in ("a", "b", os.fsdecode(b"\xff\n")):
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    time.sleep(0.11)
    return root


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that have been read."""
    names: list[str] = []

    def noted(path: Path) -> str:
        names.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(module, "file_sha256", noted)
    return names


def hashes(root: Path) -> dict[Path, str]:
    return file_hashes(root, sorted(root.iterdir()), root.parent / "cache")


def true_hashes(root: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.iterdir()}


def note(root: Path) -> Path:
    (one,) = (root.parent / "cache" / "files").iterdir()
    return one


def test_each_file_is_read_once(folder: Path, read: list[str]) -> None:
    assert hashes(folder) == true_hashes(folder)
    assert len(read) == 3
    assert hashes(folder) == true_hashes(folder)
    assert len(read) == 3


def test_what_is_new_or_has_changed_is_read_and_nothing_else(folder: Path, read: list[str]) -> None:
    hashes(folder)
    before = (folder / "a").stat()
    (folder / "a").write_bytes(b"A")  # as long as before
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "c").write_bytes(b"new")
    (folder / "b").rename(folder / "d")
    read.clear()
    assert hashes(folder) == true_hashes(folder)
    assert sorted(read) == ["a", "c", "d"]


def test_a_file_that_is_replaced_by_an_older_one_is_read(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"B")
    hashes(folder)
    before = (folder / "b").stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(folder / "b")
    assert hashes(folder) == true_hashes(folder)


def test_a_damaged_note_is_made_anew(folder: Path, read: list[str]) -> None:
    hashes(folder)
    whole = note(folder).read_bytes()
    changed = whole.replace(hashlib.sha256(b"a").hexdigest().encode(), b"0" * 64)
    assert changed != whole
    for content in (b"", whole[:-9], changed, b"{}\n{}", whole[:65] + b"[1]", b"\xff"):
        note(folder).write_bytes(content)
        read.clear()
        assert hashes(folder) == true_hashes(folder)
        assert len(read) == 3
        assert note(folder).read_bytes() == whole


def test_a_file_that_changed_this_instant_is_not_remembered(folder: Path, read: list[str]) -> None:
    (folder / "a").write_bytes(b"this instant")
    hashes(folder)
    read.clear()
    hashes(folder)
    assert read == ["a"]


def test_a_file_that_was_looked_at_by_nobody_is_read_again_to_be_looked_at(folder: Path) -> None:
    def refuse(path: Path) -> None:
        raise InputError(f"{path.name} is odd")

    hashes(folder)
    with pytest.raises(InputError, match="is odd"):
        file_hashes(folder, [folder / "a"], folder.parent / "cache", refuse)


def test_a_file_that_is_gone_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="none: No such file"):
        file_hashes(folder, [folder / "none"], folder.parent / "cache")
