"""What lies in a weight file that others have published, read as data.

A file is never trusted. It is read with `weights_only=True`, and what would need code to be read is refused; plain data
beside the weights are read around (:mod:`trainers.teacher.aside`). Nothing is made for what a file only claims to hold:
its parts are measured before they are unpacked, and its tensors before anybody computes with them, since one of a few
bytes can claim any shape.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from torch import Tensor

from trainers.errors import CheckpointError, InputError
from trainers.storage.inputs import expanded, is_folder, open_file, readable
from trainers.storage.safetensors import LENGTH
from trainers.teacher.aside import LET_THROUGH
from trainers.teacher.foreign import what_it_is
from trainers.teacher.pickles import check_nesting, without_attributes

BEGINNING = 40
"""Bytes of a file that is none of torch's that a message shows."""
PICKLED = (b"PK", b"\x80")
"""How files of `torch.save` begin: an archive with a pickle, or, before torch 1.6, pickles one after the other."""
MOST_UNPACKED = 4
"""How many times the file's size its parts may claim. torch compresses nothing; who packs weights gains little."""
SAFETENSORS = ".safetensors"
TOLD = frozenset({"architecture", "method"})
"""What an exported student says of itself that decides whether it is one network alone."""
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Numbers that weights may be."""
COUNTS = (torch.int64, torch.int32, torch.int16, torch.bool)
"""Numbers that may lie beside them: how many batches, which place, which mask."""


class _Unnumbered(io.BufferedReader):
    """A file whose descriptor torch does not see: it would try to unpack it as a tar archive first."""

    def fileno(self) -> int:
        """None, as of a file in memory."""
        raise io.UnsupportedOperation("fileno")


def read_content(path: Path) -> tuple[Any, str]:
    """What a weight file holds, and the SHA-256 of the file; no code in it is run.

    Raises:
        InputError: when there is no such file.
        CheckpointError: when it is no weight file, or needs code to be read.
    """
    path = expanded(path)
    if is_folder(path):
        raise InputError(f"{readable(path)} is a folder; name a weight file in it")
    with _Unnumbered(open_file(path).detach()) as file:
        foreign = what_it_is(file)
        if foreign is not None:
            raise CheckpointError(f"{readable(path)} {foreign}")
        content = _safetensors(path) if _is_safetensors(file, path) else _torch(file, path)
        file.seek(0)
        return content, hashlib.file_digest(file, "sha256").hexdigest()


def _torch(file: BinaryIO, path: Path) -> Any:
    """What `torch.save` has written."""
    file.seek(0)
    beginning = file.read(BEGINNING)
    try:
        _check_parts(file)
        check_nesting(file)
        file.seek(0)
        with torch.serialization.safe_globals(LET_THROUGH), warnings.catch_warnings(action="ignore"):
            return without_attributes(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged or foreign file raises anything from EOFError to UnpicklingError
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise CheckpointError(
                f"{path} holds Python objects ({refused[1]}) beside its tensors, and reading those could run code;"
                " nothing was read. Ask its author for model.state_dict() alone"
            ) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, UnpicklingError):  # torch's message goes on to advise reading the file as code
            reason = f"it begins with {beginning!r}"
            if "Unsupported operand" in str(error) and beginning.startswith(PICKLED):
                reason = "it is no file of torch.save's, or of another pickle protocol than the default, 2"
        raise CheckpointError(f"{path} cannot be read as a torch weight file: {reason}") from error


def _is_safetensors(file: BinaryIO, path: Path) -> bool:
    """Whether a file is named so, or begins with the length of a head of JSON and that head, whatever its name."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(LENGTH.size + 1)
    begins = len(head) > LENGTH.size and LENGTH.unpack_from(head)[0] < size and head[LENGTH.size :] == b"{"
    return begins or path.suffix.lower() == SAFETENSORS


def _check_parts(file: BinaryIO) -> None:
    """Raises ValueError for an archive that unpacks to far more than it is. A torn one is left to torch."""
    size = file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except zipfile.BadZipFile:
        return  # the form before torch 1.6, or no weight file
    if unpacked > MOST_UNPACKED * size:
        raise ValueError(f"its parts claim {unpacked:,} bytes, the file has {size:,}")


def _safetensors(path: Path) -> dict[str, Any]:
    """The tensors in a file; of one that this project has exported, under the names that a ``weights.pt`` has."""
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{path} needs the package safetensors: pip install safetensors (timm brings it)") from error
    try:
        with safe_open(path, framework="pt") as file:
            told = _told(file.metadata() or {})
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as a safetensors file: {error}") from error
    return {**told, "state_dict": tensors} if told.keys() == TOLD else tensors


def _told(texts: Mapping[str, str]) -> dict[str, Any]:
    """What a file says as this project writes it: of other files' texts nothing is read."""
    try:
        return {name: json.loads(texts[name]) for name in TOLD & texts.keys()}
    except (ValueError, RecursionError):
        return {}


# -- its tensors ------------------------------------------------------------------------------------------------------


def check_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Whether tensors are what weights are: numbers, one for each place, in memory.

    Raises:
        CheckpointError: for the first that is not, by name.
    """
    for key, tensor in tensors.items():
        fault = _fault(tensor)
        if fault:
            raise CheckpointError(f"{path}: {key} {fault}; weights are dense tensors of float32, float16 or the like")


def kind_of(tensor: Tensor) -> str:
    """What kind of numbers a tensor holds, as torch calls it."""
    return str(tensor.dtype).removeprefix("torch.")


def _fault(tensor: Tensor) -> str | None:
    """Why a tensor cannot be weights. What it claims is compared with what it has, and nothing is computed."""
    if tensor.layout is not torch.strided or tensor.is_nested:
        return f"is a sparse or nested tensor ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_quantized or tensor.dtype not in (*FLOATS, *COUNTS):
        return f"holds {'quantised' if tensor.is_quantized else kind_of(tensor)} numbers"
    if tensor.device.type != "cpu":
        return f"has no numbers (its device is {tensor.device.type})"
    claimed, there = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if claimed > there:
        return f"claims {claimed:,} bytes, of which the file has {there:,}"
    return None
