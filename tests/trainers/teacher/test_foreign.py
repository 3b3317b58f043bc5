"""Files that hold no weights are called what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainers.teacher.test_pretrained import written
from trainers.errors import CheckpointError
from trainers.models import Network
from trainers.teacher.foreign import what_it_is
from trainers.teacher.pretrained import read


def tar(content: bytes, form: int = tarfile.GNU_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        member = tarfile.TarInfo("teachers/resnet8.pth")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def v7(content: bytes) -> bytes:
    """A header as tar wrote it before it had a magic word."""
    head = bytearray(tar(content))
    head[257:265] = bytes(8)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head[:512])
    return bytes(head)


def zipped(content: bytes, name: str = "teachers/resnet8.pth") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, content)
    return made.getvalue()


def arrays(_: bytes) -> bytes:
    made = io.BytesIO()
    np.savez(made, a=np.zeros(3), b=np.zeros(2))
    return made.getvalue()


ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "tar": (tar, "a tar"),
    "pax tar": (lambda content: tar(content, tarfile.PAX_FORMAT), "a tar"),
    "ustar": (lambda content: tar(content, tarfile.USTAR_FORMAT), "a tar"),
    "old tar": (v7, "a tar"),
    "tar.gz": (lambda content: gzip.compress(tar(content)), "a gzip"),
    "gzip": (gzip.compress, "a gzip"),
    "bzip2": (bz2.compress, "a bzip2"),
    "xz": (lzma.compress, "an xz"),
    "zip": (zipped, "a zip"),
    "empty zip": (lambda content: b"PK\x05\x06" + bytes(18), "a zip"),
    "7z": (lambda content: b"7z\xbc\xaf\x27\x1c\x00\x04" + content, "a 7z"),
    "rar": (lambda content: b"Rar!\x1a\x07\x01\x00" + content, "a rar"),
    "rar 4": (lambda content: b"Rar!\x1a\x07\x00" + content, "a rar"),
    "zstd": (lambda content: b"\x28\xb5\x2f\xfd\x04" + content, "a zstd"),
}


@pytest.mark.parametrize("name", ["resnet8.pth.tar", "model.safetensors"])
@pytest.mark.parametrize(("pack", "kind"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_is_named_whatever_it_is_called(
    tmp_path: Path, network: Network, name: str, pack: Callable[[bytes], bytes], kind: str
) -> None:
    content = written(tmp_path / "in", network.state_dict()).read_bytes()
    (tmp_path / name).write_bytes(pack(content))
    with pytest.raises(CheckpointError) as error:
        read(tmp_path / name)
    assert str(error.value) == f"{tmp_path / name} is {kind} archive: unpack it and import the folder"


PAGE = "is a web page, not the file that it leads to: download that"
OTHERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "git lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n",
        "is a pointer of Git LFS: run `git lfs pull` where it came from",
    ),
    "git annex": (b"/annex/objects/MD5E-s12--abc.pth\n", "is a pointer of git-annex: run `git annex get`"),
    "a page": (b"<!DOCTYPE html><html><head>", PAGE),
    "a page in capitals": (b"\n\n  <HTML>\n<TITLE>Google Drive - Virus scan warning</TITLE>", PAGE),
    "a page behind a mark": (b"\xef\xbb\xbf<!doctype html>" + b" " * 2000, PAGE),
    "a refusal": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "is markup, such as a server's refusal, not weights; it begins with '<?xml",
    ),
    "json": (b'{"message": "Not Found"}', 'is a text, not weights; it begins with \'{"message": "Not Found"}\''),
    "a sentence": (b"Entry not found", "is a text, not weights; it begins with 'Entry not found'"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, as Keras writes them"),
    "npz": (arrays(b""), r"is an archive of NumPy's arrays"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(100), "is an array of NumPy"),
}


@pytest.mark.parametrize(("data", "what"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_was_downloaded_in_place_of_weights_is_named(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckpointError) as error:
        read(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name} {what}")


def test_a_torchscript_archive_is_code(tmp_path: Path) -> None:
    made = written(tmp_path, {"weight": torch.zeros(3)})
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("ckpt/code/__torch__.py", "op_version_set = 1")
    with pytest.raises(
        CheckpointError, match=r"is a TorchScript archive, which holds code: ask its author for model\."
    ):
        read(made)


@pytest.mark.parametrize("zip_", [True, False], ids=["zip", "legacy"])
def test_weights_are_taken_for_nothing_else(tmp_path: Path, network: Network, zip_: bool) -> None:
    made = written(tmp_path, network.state_dict(), _use_new_zipfile_serialization=zip_)
    with made.open("rb") as file:
        assert what_it_is(file) is None
    for length in (100, 1000, 5000):  # torn ones are torch's to name
        torn = io.BytesIO(made.read_bytes()[:length])
        assert what_it_is(torn) is None, length
    assert what_it_is(io.BytesIO(bytes(5000))) is None
