"""A temporary folder whose path is too long for a socket, as a cluster's jobs have them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.trainers.data.examples import pixels, write_folder
from trainers.errors import InputError
from trainers.storage import sockets
from trainers.storage.sockets import BELOW, SOCKET_BYTES, room_for_sockets

STREAMS = """
import sys
from pathlib import Path
import torch
from trainers.data.sources.folder import Folder

if __name__ == "__main__":
    data = Folder(path=Path(sys.argv[1]), image_size=16, memory_gb=0, workers=1).load()
    print([len(batch.images) for batch in data.train.batches([torch.tensor([0, 1]), torch.tensor([2])])])
"""


def deep(folder: Path, length: int) -> Path:
    """A folder whose path has so many characters."""
    folder = folder / "people"
    path = folder / ("j" * (length - len(str(folder)) - 1))
    path.mkdir(parents=True)
    assert len(str(path)) == length
    return path


def test_a_folder_that_has_room_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (SOCKET_BYTES - BELOW - 1))
    before = dict(os.environ)
    with room_for_sockets():
        assert dict(os.environ) == before


@pytest.mark.parametrize("given", ["/somewhere", None])
def test_another_one_is_taken_only_meanwhile(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    if given is None:
        monkeypatch.delenv("TMPDIR", raising=False)
    else:
        monkeypatch.setenv("TMPDIR", given)
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (SOCKET_BYTES - BELOW))
    with room_for_sockets():
        assert os.environ["TMPDIR"] == tempfile.gettempdir() == "/tmp"
    assert os.environ.get("TMPDIR") == given
    assert tempfile.gettempdir() == "/" + "x" * (SOCKET_BYTES - BELOW)


def test_where_there_is_no_other_the_cure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sockets, "SHORT", tmp_path / "none")
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 90)
    with pytest.raises(InputError, match=rf"it may have {SOCKET_BYTES - BELOW} characters\. Set TMPDIR to a shorter"):
        room_for_sockets().__enter__()


@pytest.mark.slow(20)
def test_images_are_streamed_below_a_long_folder(tmp_path: Path) -> None:
    images = pixels(6, 16)
    write_folder(tmp_path / "set", {"a": images[:2], "b": images[2:3]}, {"a": images[3:4], "b": images[4:]})
    environment = os.environ | {"TMPDIR": str(deep(tmp_path, 200)), "SWEEP_CACHE": str(tmp_path / "cache")}
    (tmp_path / "streams.py").write_text(STREAMS)
    done = subprocess.run(
        [sys.executable, tmp_path / "streams.py", tmp_path / "set"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "[2, 1]\n", done.stderr
