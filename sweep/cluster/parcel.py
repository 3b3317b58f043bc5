"""The user's own code as a parcel that Ray carries: a folder with one file, named by its content.

A job's environment has no room for a megabyte: Ray writes all of it into one variable, and into one word of a command
line, and a process takes none longer than 128 KiB. So the code goes as Ray's own packages do: the client uploads the
folder to the head by the token, and whatever runs for the job finds it below a folder on its ``PYTHONPATH``. The file
holds text and is no module; nothing can be imported from there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.code import NO_CODE, Code
from trainers.errors import InputError
from trainers.storage.inputs import is_file, read_file

FOLDER = "kd_sweep_parcel"
"""The folder that travels; as a package it is empty."""
LARGEST = 2**23
"""Bytes of its file: what :data:`trainers.code.MOST_BYTES` may take as JSON."""


@contextmanager
def laid_out(code: Code) -> Iterator[list[str]]:
    """The folders that Ray is to send along, as its `py_modules` has them; none where there is no code."""
    if not code:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="kd-sweep-parcel-") as place:
        folder = Path(place, FOLDER)
        folder.mkdir()
        (folder / _name(code.key)).write_bytes(code.to_json().encode("utf-8", "surrogatepass"))
        yield [str(folder)]


def arrived(key: str) -> Code:
    """The code of this key that has come with this process's job.

    Raises:
        InputError: where it has not come, or is not what was sent.
    """
    if not key:
        return NO_CODE
    code = Code.from_json(read_file(_found(key), LARGEST).decode("utf-8", "surrogatepass"))
    if code.key != key:
        raise InputError("the code that came with this job is not what was sent; submit the sweep again")
    return code


def _found(key: str) -> Path:
    """Where Ray has put it."""
    for place in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        path = Path(place, FOLDER, _name(key))
        if place and is_file(path):
            return path
    raise InputError("the code that belongs to this job has not come with it; submit the sweep again")


def _name(key: str) -> str:
    return f"{key}.json"
