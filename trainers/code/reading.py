"""A user's files, read beside a spec.

A file is a module of its name, a folder is a package. Of a folder the Python files count alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainers.code.files import MOST_BYTES, Code, check_size, is_name, module_of
from trainers.errors import InputError
from trainers.storage.inputs import FILE, FOLDER, expanded, kind, read_file, readable

MAIN = "__main__.py"
"""What ``python -m mypaper`` runs: a script, which no module imports."""
NO_MODULES = ("__main__", "__init__")
"""Names of files that are other modules: the program that runs, and the package around them."""


def read(paths: Sequence[str], folder: Path) -> Code:
    """The files and package folders that a spec names.

    Args:
        paths: as the spec has them, ``my_losses.py`` or ``mypaper``.
        folder: the spec's, from which they start.

    Raises:
        InputError: for what is missing, no Python, not a file or folder, a link that leads elsewhere, two of one name,
            names that hide another module, and more than :data:`MOST_BYTES`.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    size = 0
    for path in paths:
        place = folder / expanded(Path(path))
        for name, file in _python_files(place, path):
            if name in files:
                raise InputError(f"{path}: there is a file {name} under `code` already; a module's name stands for one")
            data = read_file(file, MOST_BYTES)
            size += len(data)
            files[name] = _text(data, file)
            check_size(size, len(files))
        folders[place.name] = str(place.parent.absolute())
    code = Code(tuple(sorted(files.items())), tuple(folders.items()))
    _check_once(code)
    code.check()
    return code


def _python_files(place: Path, path: str) -> Iterator[tuple[str, Path]]:
    """The files of one entry, by the name that they have as modules."""
    found = kind(place)
    if found is None:
        raise InputError(f"there is no {path} beside the spec; `code` takes Python files and package folders")
    if found == FILE and place.suffix == ".py":
        _check_name(place.stem, path)
        _check_leads_nowhere(place, place.parent, path)
        yield place.name, place
    elif found == FOLDER:
        _check_name(Path(path).name, path)
        _check_leads_nowhere(place, place.parent, path)
        yield from _below(place, path)
    else:
        raise InputError(f"{path} is {found}, not a Python file or a package folder")


def _below(place: Path, path: str) -> Iterator[tuple[str, Path]]:
    count = 0
    for file in sorted(place.rglob("*.py")):
        name = file.relative_to(place.parent).as_posix()
        if not is_name(name) or file.name == MAIN:
            continue  # what no import statement names: a hidden file, a script
        _check_leads_nowhere(file, place, path)
        count += 1
        yield name, file
    if not count:
        raise InputError(f"there is no Python file in the folder {path}")


def _check_leads_nowhere(file: Path, within: Path, path: str) -> None:
    """Raises InputError for a link whose end lies elsewhere: other machines would not have it."""
    end, inside = (Path(os.path.realpath(place)) for place in (file, within))  # links in a circle have no end: no error
    if not end.is_relative_to(inside):
        raise InputError(f"{path}: {readable(file)} is a link that leads out of its folder; put the file itself there")


def _check_once(code: Code) -> None:
    """A file and a folder may not be modules of one name."""
    names = [module_of(path) for path, _ in code.files]
    for name in names:
        if names.count(name) > 1 or (f"{name.split('.')[0]}.py" in code.texts and "." in name):
            raise InputError(f"two files under `code` are the module '{name.split('.')[0]}'; rename one of them")


def _check_name(name: str, path: str) -> None:
    if not name.isidentifier() or name in NO_MODULES:
        raise InputError(f"{path}: no module can have the name '{name}'; use letters, digits and '_'")


def _text(data: bytes, file: Path) -> str:
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a mark of its encoding
    except UnicodeDecodeError as error:
        raise InputError(f"{readable(file)} is not a text file (byte {error.start} is not UTF-8)") from error
