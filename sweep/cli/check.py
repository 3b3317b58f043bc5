"""`sweep check`: whether methods and models hold what they must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import FormatOption
from sweep.cli.waiting import telling
from sweep.exit_codes import SOME_FAILED
from sweep.formats import Format, listing
from trainers.errors import InputError, unknown_name

if TYPE_CHECKING:
    from trainers.contract import Verdict

HOLDS = {True: "✓", False: "✗", None: "–"}
Subjects = tuple[dict[str, dict[str, Any]], list[str]]
"""Methods with their hyperparameters, and models."""


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
    how: FormatOption = Format.TABLE,
) -> None:
    """Try what a method or a model must hold: gradients, extreme logits, bf16, every student, resuming and more."""
    with telling("loading torch") as say:
        import torch

        torch.set_num_threads(1)  # the networks are so small that threads wait for each other alone
        methods, models = chosen(what or [], ours)
        verdicts = []
        for subject, requirement, verdict in _tried(methods, models):
            say(f"checking {subject}: {requirement}")
            verdicts.append(verdict)
    typer.echo(listing([_row(verdict, how) for verdict in verdicts], how), nl=False)
    wrong = sum(verdict.holds is False for verdict in verdicts)
    if how is Format.TABLE:
        typer.echo(f"\n{_sum(len(methods), 'method')}, {_sum(len(models), 'model')}: {_ending(wrong)}", err=True)
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


def _tried(methods: dict[str, dict[str, Any]], models: list[str]) -> Iterator[tuple[str, str, Verdict]]:
    """Each verdict, and what is tried next."""
    from trainers.contract import METHOD, MODEL, Case, ModelCase, examine

    for name, params in methods.items():
        case = Case.roomy(name, params)
        following = [str(requirement) for requirement in METHOD[1:]] + ["done"]
        tried = examine(name, lambda case=case: Case(case.name, case.params, case.classes), METHOD)  # type: ignore[misc]
        yield from ((name, after, verdict) for after, verdict in zip(following, tried, strict=True))
    for name in models:
        following = [str(requirement) for requirement in MODEL[1:]] + ["done"]
        verdicts = examine(name, lambda name=name: ModelCase(name), MODEL)  # type: ignore[misc]
        yield from ((name, after, verdict) for after, verdict in zip(following, verdicts, strict=True))


def _row(verdict: Verdict, how: Format) -> dict[str, Any]:
    return {
        "what": verdict.subject,
        "must hold": verdict.requirement,
        "holds": verdict.holds if how is Format.JSON else HOLDS[verdict.holds],
        "found": verdict.found or None,
    }


def _sum(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _ending(wrong: int) -> str:
    return "all holds" if not wrong else f"{wrong} of what must hold {'does' if wrong == 1 else 'do'} not"
