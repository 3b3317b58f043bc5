"""What a file is that should hold weights and does not: told by its first bytes, in a few words that say what to do.

An archive that weights were published in, a pointer or a web page that was downloaded in their place, nothing at all.
"""

from __future__ import annotations

import tarfile
import zipfile
from typing import BinaryIO

BEGINNING = 1024
"""Bytes that tell what a file is."""
SHOWN = 40
"""Characters of a text that a message shows."""
ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
"""Names of archives by their first bytes. tar and zip are told otherwise."""
OTHERS = {
    b"version https://git-lfs.github.com/spec/": "is a pointer of Git LFS: run `git lfs pull` where it came from",
    b"/annex/objects/": "is a pointer of git-annex: run `git annex get` where it came from",
    b"\x89HDF\r\n\x1a\n": "is an HDF5 file, as Keras writes them: expected weights of torch",
    b"\x93NUMPY": "is an array of NumPy: expected weights of torch",
    b"GGUF": "is a GGUF file, as llama.cpp reads them: expected weights of torch",
}
"""What else is known by its first bytes."""
PAGES = (b"<!doctype html", b"<html", b"<head", b"<script")
MARKUP = (b"<?xml", b"<")
ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
MARK = b"\xef\xbb\xbf"
"""With which a text may begin."""


def what_it_is(file: BinaryIO) -> str | None:
    """What is wrong with an open file, as the end of a sentence; None where it may be torch's or safetensors'.

    It is read from its beginning, and left anywhere.
    """
    file.seek(0)
    beginning = file.read(BEGINNING)
    if not beginning:
        return "is empty"
    known = next((name for magic, name in ARCHIVES.items() if beginning.startswith(magic)), None)
    if known is not None or _is_tar(beginning):
        return _archive(known or "tar")
    if beginning.startswith(ZIPS):
        return _zip(file)
    other = next((what for magic, what in OTHERS.items() if beginning.startswith(magic)), None)
    return other or _text(beginning)


def _archive(kind: str) -> str:
    article = "an" if kind in ("xz", "lz4") else "a"
    return f"is {article} {kind} archive: unpack it and import the folder"


def _is_tar(beginning: bytes) -> bool:
    """Whether the first block is a header whose checksum is right, of any of tar's forms."""
    try:
        tarfile.TarInfo.frombuf(beginning[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _zip(file: BinaryIO) -> str | None:
    """What a zip archive is, unless it is what `torch.save` writes, or torn."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    below = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in below):
        return "is a TorchScript archive, which holds code: ask its author for model.state_dict() alone"
    if "archive_format" in below:
        return "is a program that torch.export has written: ask its author for model.state_dict() alone"
    if "data.pkl" in below:
        return None
    if names and all(name.endswith(".npy") for name in names):
        return "is an archive of NumPy's arrays (.npz): expected weights of torch"
    return _archive("zip")


def _text(beginning: bytes) -> str | None:
    """What a text is; None for bytes that are none."""
    text = beginning.removeprefix(MARK).lstrip()
    if text.lower().startswith(PAGES):
        return "is a web page, not the file that it leads to: download that"
    try:
        shown = text.decode("utf-8", "strict" if len(beginning) < BEGINNING else "ignore")
    except UnicodeDecodeError:
        return None
    if not shown or not all(character.isprintable() or character in "\r\n\t" for character in shown):
        return None
    what = "markup, such as a server's refusal" if text.startswith(MARKUP) else "a text"
    return f"is {what}, not weights; it begins with {shown[:SHOWN]!r}"
