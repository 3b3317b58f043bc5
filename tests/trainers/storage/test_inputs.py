"""Files that others made: none is opened before it is known what it is."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from trainers.errors import InputError
from trainers.storage.inputs import FILE, FOLDER, check_file, expanded, is_file, is_folder, kind, open_file, read_file

Reader = Callable[[Path], object]
READERS: list[Reader] = [check_file, open_file, partial(read_file, largest=100)]


def fault(read: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        read()
    return str(error.value)


def test_a_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        assert check_file(tmp_path / name).st_size == 7
        assert kind(tmp_path / name) == FILE
        assert read_file(tmp_path / name, 7) == b"content"
        with open_file(tmp_path / name, 7) as file:
            assert file.read() == b"content"
    assert (is_file(tmp_path), is_folder(tmp_path), kind(tmp_path)) == (False, True, FOLDER)


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_named_and_not_opened(tmp_path: Path, read: Reader) -> None:
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer for ever
    (tmp_path / "link").symlink_to("pipe")
    assert fault(lambda: read(tmp_path / "pipe")) == f"{tmp_path}/pipe is a pipe, not a file"
    assert fault(lambda: read(tmp_path / "link")) == f"{tmp_path}/link is a pipe, not a file"
    assert fault(lambda: read(Path("/dev/zero"))) == "/dev/zero is a device, not a file"
    assert fault(lambda: read(tmp_path)) == f"{tmp_path} is a folder, not a file"


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is at most some hundred bytes long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert fault(lambda: check_file(Path("socket"))) == "socket is a socket, not a file"
        assert not is_file(Path("socket"))


@pytest.mark.parametrize("read", [check_file, open_file, read_file])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, read: Callable[[Path, int], object]) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10**12)  # a hole: no place on the disk
    assert fault(lambda: read(tmp_path / "large", 100)) == (
        f"{tmp_path}/large has 1,000,000,000,000 bytes; such a file has at most 100"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "gone: No such file or directory"),
        ("a\0b", "a\\0b: no file can have such a name"),
        ("\ud800", "\\ud800: no file can have such a name"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_path_of_no_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    for read in READERS:
        text = fault(partial(read, tmp_path / name))
        assert text.startswith(f"cannot read {tmp_path}/")
        assert text.endswith(message)


def test_what_is_not_there_is_of_no_kind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert kind(tmp_path / "gone") is None
    assert kind(tmp_path / "file" / "below") is None
    assert not is_file(tmp_path / "gone")
    (tmp_path / "loop").symlink_to("loop")
    assert fault(lambda: kind(tmp_path / "loop")).startswith(f"cannot read {tmp_path}/loop: Too many levels")
    assert fault(lambda: kind(tmp_path / "a\0b")).startswith("cannot read ")


def test_a_home_folder_of_nobody_is_named() -> None:
    assert expanded(Path("plain")) == Path("plain")
    assert fault(lambda: expanded(Path("~nobody-of-that-name/x"))) == (
        "cannot read ~nobody-of-that-name/x: there is no such home folder"
    )
