"""Pickles of arrays as published with CIFAR, read without letting them build anything.

Unpickling calls whatever a file names. Here a file may name only what NumPy's arrays were pickled with, and each of
those names stands for an inert object that keeps what it is given; the array is then made from the bytes. Everything
else is plain data: numbers, text, bytes, lists, dicts.
"""

from __future__ import annotations

import codecs
import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainers.data.pixels.decode import reason
from trainers.errors import InputError
from trainers.storage.inputs import readable


class _Marker:
    """Stands for the class `numpy.ndarray`."""


class _Type:
    """Stands for a `numpy.dtype`."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment: bytes have neither."""


class _Array:
    """Stands for a `numpy.ndarray`: version, shape, type, order and bytes, once the file has given them."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """How Python 3 writes bytes into the older protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("text in another encoding than latin1")
    return codecs.encode(text, "latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Marker,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}
"""All that a file may name."""


class _Inert(pickle._Unpickler):
    """The unpickler that is written in Python: the one in C makes as much room for notes as ten bytes may ask for."""

    dispatch: ClassVar = {code: do for code, do in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}
    """All but the array that is made in the size that the file claims before it is read; no published file has one."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no published file does")
        return ALLOWED[module, name]


def read_pickle(content: bytes, where: Path | str) -> dict[str, Any]:
    """The dict that a file holds: keys as text, arrays of bytes as NumPy arrays, all else as it stands.

    Raises:
        InputError: when it is damaged, names anything that is not allowed, or holds no dict.
    """
    try:
        unpickled = _Inert(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(unpickled, dict):
            raise pickle.UnpicklingError(f"it holds a {type(unpickled).__name__}, not a dict")
        return {_text(key): _array(value) if isinstance(value, _Array) else value for key, value in unpickled.items()}
    except Exception as error:  # a damaged pickle raises anything at all
        why = "it is cut off, or no pickle" if isinstance(error, LookupError | EOFError) else reason(error)
        raise InputError(f"{readable(where)} is not a readable CIFAR file: {why}") from error


def text_list(values: object) -> tuple[str, ...]:
    """A list of names, which the published files hold as bytes; raises TypeError or ValueError for anything else."""
    if not isinstance(values, list):
        raise TypeError(f"expected a list of names, found a {type(values).__name__}")
    return tuple(_text(value) for value in values)


def _text(value: object) -> str:
    if not isinstance(value, bytes | str):
        raise TypeError(f"expected a name, found a {type(value).__name__}")
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _array(array: _Array) -> NDArray[np.uint8]:
    """The array of bytes that the file describes."""
    match array.state:
        case (_, tuple(shape), _Type(name=("u1" | b"u1")), False, bytes(content)):
            return np.frombuffer(content, np.uint8).reshape(shape)
        case (_, tuple(shape), _Type(name=("u1" | b"u1")), True, bytes(content)):
            return np.frombuffer(content, np.uint8).reshape(shape, order="F")
    raise pickle.UnpicklingError("an array in it is not one of bytes")
