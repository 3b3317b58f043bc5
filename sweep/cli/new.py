"""`sweep new`: files to start from."""

from __future__ import annotations

import keyword
import re
import shlex
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from sweep.cli.waiting import telling
from trainers.errors import InputError, unknown_name

TEMPLATES = Path(__file__).parent / "templates"
FILES = {"method": {"{}.py": "method.py.txt", "{}.yaml": "spec.yaml.txt", "test_{}.py": "test.py.txt"}}
"""By kind: the files that are written, and what from."""
LONGEST = 50
"""Characters of a name; a sweep may have some more."""


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What to start: method.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What specs are to call it.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where to write; made where there is none.")] = Path(),
) -> None:
    """Write a method of your own to start from: a file, a spec and a test."""
    with telling("looking at the names that are taken"):
        files = texts(kind, name, folder)
    write(files)
    for path in files:
        typer.echo(f"wrote  {path}")
    typer.echo("\nnow:")
    if folder != Path():
        typer.echo(f"  cd {shlex.quote(str(folder))}")
    for command in (f"sweep check {name}.py", f"sweep run {name}.yaml", f"pytest test_{name}.py"):
        typer.echo(f"  {command}")


def texts(kind: str, name: str, folder: Path) -> dict[Path, str]:
    """The files to write. Raises InputError for a kind that does not exist, a name that cannot be used, and where a
    file is there already."""
    if kind not in FILES:
        raise InputError(unknown_name("kind", kind, FILES))
    raw = {folder / file.format(name): (TEMPLATES / source).read_text("utf-8") for file, source in FILES[kind].items()}
    check_name(name, folder, "".join(raw.values()))
    for path in raw:
        if path.exists():
            raise InputError(f"{path} is there already; nothing was written")
    return {path: Template(text).substitute(name=name) for path, text in raw.items()}


def check_name(name: str, folder: Path, text: str) -> None:
    """Raises InputError for a name that is none in Python, is taken, hides a module, or stands in the text itself."""
    from trainers.code import Code, load_installed
    from trainers.distillers import METHODS
    from trainers.own.registration import NAME

    if not (name.isidentifier() and name.isascii() and NAME.fullmatch(name)) or keyword.iskeyword(name):
        raise InputError(f"'{name}' is no name for a function: it begins with a letter, then letters, digits and '_'")
    if len(name) > LONGEST:
        raise InputError(f"'{name}' is longer than {LONGEST} characters")
    load_installed()
    if name in METHODS:
        raise InputError(f"there is a method '{name}' already; give yours another name")
    Code(((f"{name}.py", ""),), ((f"{name}.py", str(folder.absolute())),)).check()
    if re.search(rf"(?<!\$)\b{name}\b", text):
        raise InputError(f"'{name}' means something else in the files that would be written; give yours another name")


def write(files: dict[Path, str]) -> None:
    """Write them all, over none. Raises InputError where that cannot be."""
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise InputError(f"cannot write {error.filename}: {error.strerror}") from error
