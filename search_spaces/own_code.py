"""A spec's own code: the files that it names, read beside it and loaded into this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search_spaces.fields import shown
from trainers.code import Code, load, load_installed, read
from trainers.errors import InputError


def loaded(paths: Sequence[Any], spec: str, given: Code | None) -> Code:
    """The code under `code`, loaded, and what installed packages register.

    Args:
        paths: as the spec has them.
        spec: its file, beside which they lie.
        given: the files where they have come with the spec's text.

    Raises:
        InputError: for what is no path, and as :func:`trainers.code.read` and :func:`trainers.code.load` do.
    """
    load_installed()
    for path in paths:
        if not isinstance(path, str):
            raise InputError(f"must be Python files or package folders, found {shown(path)}")
    code = given if given is not None else read(paths, Path(spec).parent)
    load(code)
    return code
