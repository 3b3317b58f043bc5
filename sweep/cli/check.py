"""`sweep check`: whether methods and models hold what they must."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from sweep.cli.examining import Examination, Row, Subjects
from sweep.cli.options import FormatOption
from sweep.cli.waiting import telling
from sweep.exit_codes import SOME_FAILED
from sweep.formats import Format, listing
from trainers.code.limit import SECONDS
from trainers.errors import InputError, unknown_name

HOLDS = {True: "✓", False: "✗", None: "–"}
LONGEST = 86_400
"""Seconds of a limit."""


def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT]...",
            help="Python files or package folders, a spec, or names of methods.",
            show_default=False,
        ),
    ] = None,
    ours: Annotated[bool, typer.Option("--ours", help="All methods that ship with the project.")] = False,
    limit: Annotated[
        float,
        typer.Option(
            "--limit", metavar="SECONDS", min=0, max=LONGEST, help="For each requirement; 0: none, as for a debugger."
        ),
    ] = SECONDS,
    how: FormatOption = Format.TABLE,
) -> None:
    """Try what a method or a model must hold: gradients, extreme logits, bf16, every student, resuming and more."""
    given = what or []
    places = tuple(str(Path(name).absolute()) for name in given)
    examination = Examination(partial(chosen, given, ours), limit, places)
    with telling("loading torch") as say:
        examination.run(say)
    typer.echo(listing([_row(row, how) for row in examination.rows], how), nl=False)
    wrong = sum(row.holds is False for row in examination.rows)
    if how is Format.TABLE:
        counts = f"{_sum(examination.methods, 'method')}, {_sum(examination.models, 'model')}"
        typer.echo(f"\n{counts}: {_ending(wrong)}", err=True)
    if wrong:
        raise typer.Exit(SOME_FAILED)


def chosen(what: list[str], ours: bool) -> Subjects:
    """What is to be tried. Raises InputError where that is nothing, or does not exist."""
    files = [name for name in what if name.endswith(".py") or Path(name).is_dir()]
    methods: dict[str, dict[str, Any]] = {}
    models: list[str] = []
    rest = [name for name in what if name not in files]
    if files:
        methods, models = _of_files(files)
    for name in rest:
        found, more = _named(name, alone=len(what) == 1)
        methods, models = methods | found, models + more
    if ours:
        methods |= {name: {} for name in _methods_of_ours()}
    if not methods and not models:
        raise InputError("name what to check: a Python file, a spec, a method, or --ours")
    return methods, models


def _of_files(files: list[str]) -> Subjects:
    from trainers.code import current, load, load_installed, read

    for file in files:
        if not Path(file).exists():
            raise InputError(f"there is no file {file}")
    load_installed()
    load(read(files, Path()))
    found = _of_modules(set(current().modules))
    if not any(found):
        raise InputError(f"{', '.join(files)}: no method and no model is registered there; `sweep plan` reads the rest")
    return found


def _of_modules(modules: set[str]) -> Subjects:
    """What the user's modules have registered."""
    from trainers.distillers import METHODS
    from trainers.models import MODELS

    methods = {name: dict[str, Any]() for name in METHODS if METHODS.module(name) in modules}
    return methods, [name for name in MODELS if MODELS.module(name) in modules]


def _named(name: str, *, alone: bool) -> Subjects:
    """A method, or what a spec names."""
    from search_spaces.files import shipped_specs
    from trainers.code import load_installed
    from trainers.distillers import METHODS

    load_installed()
    if name in METHODS:
        return {name: {}}, []
    is_spec = name in shipped_specs() or Path(name).suffix in (".yaml", ".yml")
    if not is_spec:
        raise InputError(unknown_name("method", name, METHODS) + "; or a Python file, or a spec's path")
    if not alone:
        raise InputError(f"check the spec {name} alone: it brings code of its own")
    return _of_spec(name)


def _of_spec(name: str) -> Subjects:
    """The methods that a spec names, each at the first point of its grid, and the models of its own code."""
    from search_spaces.loader import load_spec

    spec = load_spec(name)
    methods: dict[str, dict[str, Any]] = {}
    for grid in spec.methods:
        methods.setdefault(grid.name, grid.variants[0].value)
    return methods, _of_modules(set(spec.code.modules))[1]


def _methods_of_ours() -> list[str]:
    from trainers.distillers import METHODS

    return [name for name in METHODS if not METHODS.module(name)]


def _row(row: Row, how: Format) -> dict[str, Any]:
    return {
        "what": row.subject,
        "must hold": row.requirement,
        "holds": row.holds if how is Format.JSON else HOLDS[row.holds],
        "found": row.found or None,
    }


def _sum(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _ending(wrong: int) -> str:
    return "all holds" if not wrong else f"{wrong} of what must hold {'does' if wrong == 1 else 'do'} not"
