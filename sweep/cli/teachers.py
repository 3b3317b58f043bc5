"""`sweep teachers`: list the store, import published checkpoints, train a spec's teachers.

Three verbs, each followed by what it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from search_spaces.fields import FieldReader
from search_spaces.yaml_lines import Document
from sweep.cli.options import FormatOption, RootOption, SpecArgument, StorageOption, UriOption, VerboseOption
from sweep.cli.run import doing
from sweep.cli.waiting import telling
from sweep.exit_codes import DONE, INTERRUPTED, SOME_FAILED
from sweep.formats import Format, listing
from sweep.layout import DEFAULT_ROOT, Root
from trainers.config import DatasetConfig, Normalisation
from trainers.errors import InputError, KDError, unknown_name
from trainers.storage.inputs import expanded, is_folder, readable

if TYPE_CHECKING:
    from sweep.engine.display import Display
    from trainers.data import ImageData
    from trainers.teacher.passport import Passport
    from trainers.teacher.store import TeacherStore

SHOWN = 12
"""Digits of a hash that are shown; six name a teacher."""

teachers = typer.Typer(help="List, import and train teachers.", no_args_is_help=True)


# -- list -------------------------------------------------------------------------------------------------------------


@teachers.command("list")
def teachers_list(
    root: RootOption = DEFAULT_ROOT, storage: StorageOption = None, how: FormatOption = Format.TABLE
) -> None:
    """List the stored teachers."""
    stored = rows(Root.at(root, storage))
    if not stored:
        typer.echo(f"no teacher is stored below {root} yet", err=True)
    typer.echo(listing(stored, how) if stored or how is not Format.TABLE else "", nl=False)


def rows(root: Root) -> list[dict[str, Any]]:
    """The stored teachers. Raises CheckpointError for a passport that cannot be read."""
    from trainers.teacher.store import TeacherStore

    return [_row(passport) for passport in TeacherStore(root.teachers, root.storage).passports()]


def _row(passport: Passport) -> dict[str, Any]:
    """A teacher in a listing."""
    return {
        "teacher": f"{passport.architecture}@{passport.hash[:SHOWN]}",
        "dataset": passport.dataset.name,
        "classes": passport.num_classes,
        "test_acc": f"{passport.test_acc:.2f}",
        "from": passport.came_from,
    }


# -- import -----------------------------------------------------------------------------------------------------------


@teachers.command("import")
def teachers_import(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A weight file, or a folder with some in it.")],
    dataset: Annotated[
        str, typer.Option("--dataset", help="What they were trained on: 'digits', or 'parquet: {path: data}'.")
    ],
    architecture: Annotated[
        str | None, typer.Option("--architecture", help="A model of `sweep list models`; by default it is recognised.")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option("--mean", help="They were trained with, of pixels in [0, 1]: '0.5', or '0.49, 0.48, 0.45'."),
    ] = None,
    std: Annotated[
        str | None, typer.Option("--std", help="The same of the standard deviation; both by default the data set's.")
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    how: FormatOption = Format.TABLE,
) -> None:
    """Store published checkpoints as teachers, with their accuracy as it is measured here."""
    place = Root.at(root, storage)
    said = _Said(architecture, normalisation_said(mean, std))
    with telling(f"importing {path}: reading its data set, and measuring teachers on it"), place.newly_made():
        reports, good = import_all(path, dataset, said, place, lambda line: typer.echo(line, err=True))
    typer.echo(listing(reports, how), nl=False)
    raise typer.Exit(DONE if good else SOME_FAILED)


@dataclass(frozen=True)
class _Said:
    """What is said of all files of an import."""

    architecture: str | None
    """One of our names; None: each is recognised."""
    normalisation: Normalisation | None
    """None: they were trained with the data set's."""


def normalisation_said(mean: str | None, std: str | None) -> Normalisation | None:
    """What `--mean` and `--std` say; None where neither is given.

    Raises:
        InputError: where one is missing, or is not one number or three of pixels in [0, 1].
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise InputError("--mean and --std go together: give both, of pixels that are scaled to [0, 1]")
    try:
        return Normalisation.model_validate({"mean": _numbers(mean), "std": _numbers(std)})
    except ValueError as error:
        raise InputError(
            f"--mean '{mean}' --std '{std}': each must be one number or three, of pixels that are scaled to [0, 1]:"
            " means from 0 to 1, deviations above 0 and at most 1 (of pixels up to 255, divide both by 255)"
        ) from error


def _numbers(text: str) -> float | list[float]:
    """One number, or several, as they stand in Python, YAML or a sentence. Raises ValueError for anything else."""
    numbers = [float(part) for part in re.split(r"[,;\s]+", text.strip().strip("()[]").strip()) if part]
    return numbers[0] if len(numbers) == 1 else numbers


def import_all(
    path: Path, dataset: str, said: _Said, root: Root, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], bool]:
    """Import a weight file, or every one below a folder.

    Args:
        path: the file or folder; a leading ``~`` is the home folder.
        dataset: the data set that the teachers were trained on: a name, or one name with its options as YAML.
        said: what is said of all files.
        root: below which the teachers are stored.
        say: told of each file before it is read and measured, which may take minutes, and of what was passed over.

    Returns:
        One row per file, and whether all were imported.

    Raises:
        InputError, CheckpointError: when the data set or the folder is wrong, or the only file is.
    """
    from trainers.teacher.store import TeacherStore

    path = expanded(path)
    files = weight_files(path, say)
    root.offer_cache()
    config, data = read_dataset(dataset)
    store = TeacherStore(root.teachers, root.storage)
    reports, good = [], True
    for file in files:
        say(f"reading {readable(file)}")
        try:
            reports.append(_imported(file, path, said, store, data, config))
        except KDError as error:
            if not is_folder(path):
                raise
            good = False
            reports.append(_report(file, path, "", "", f"not imported: {error}"))
    return reports, good


def weight_files(path: Path, say: Callable[[str], None]) -> list[Path]:
    """The file itself, or the weight files below a folder; `say` is told how many others were passed over.

    Raises InputError where there is none.
    """
    from trainers.teacher.folders import weights_below

    if not is_folder(path):
        return [path]
    below = weights_below(path)
    if below.passed:
        say(below.passed_over)
    return below.weights


def read_dataset(text: str) -> tuple[DatasetConfig, ImageData]:
    """A data set as a spec names it, in one line: ``digits``, or ``parquet: {path: data}``.

    Returns:
        What a trial's config says of it, and the data set itself.

    Raises:
        InputError: with all that is wrong with it, or when it cannot be read.
    """
    from trainers.data import DATASETS

    document = Document(text, "--dataset")
    reader = FieldReader(document)
    name, options = reader.named((), document.data)
    source = None
    if name in DATASETS:
        source = reader.model((str(name),), DATASETS[str(name)], options)
    elif name is not None:
        document.add((), unknown_name("data set", name, DATASETS))
    if source is None:
        raise InputError(f"--dataset {text}: {'; '.join(mistake.message for mistake in document.mistakes)}")
    data = source.load()
    return DatasetConfig(name=str(name), options=source.identity, content=data.content), data


def _imported(
    file: Path, path: Path, said: _Said, store: TeacherStore, data: ImageData, config: DatasetConfig
) -> dict[str, Any]:
    """Store a file's network as a teacher, measured on its data set; the row of what came of it."""
    import torch

    from trainers.teacher.pretrained import read

    published = read(file, said.architecture, said.normalisation)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    passport = store.adopt(published, data, config, device)
    remarks = passport.read_from(published.origin).remarks
    row = _row(passport)
    return _report(file, path, row["teacher"], row["test_acc"], "; ".join(remarks))


def _report(file: Path, path: Path, teacher: str, test_acc: str, remarks: str) -> dict[str, Any]:
    """One row of what an import prints."""
    name = file.relative_to(path) if is_folder(path) else Path(file.name)
    return {"file": readable(name), "teacher": teacher, "test_acc": test_acc, "remarks": remarks}


# -- train ------------------------------------------------------------------------------------------------------------


@teachers.command("train")
def teachers_train(
    spec: SpecArgument,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    tracking_uri: UriOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Train the teachers of a spec, and nothing else of it; those that are stored already stay as they are."""
    from sweep.cluster.carried import nothing_lost
    from sweep.engine import display
    from sweep.tracking.address import tracking_uri as address_of

    place = Root.at(root, storage)
    uri = address_of(place, tracking_uri)
    console = Console()
    shown = display.for_console(console)
    try:
        with telling(partial(doing, spec, shown), terminal=True):
            code, trained = train(spec, place, uri, shown, verbose)
    except KeyboardInterrupt:
        console.print(f"stopped; {nothing_lost()}")
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(listing(trained, Format.TABLE), nl=False)
    raise typer.Exit(code)


def train(spec: str, root: Root, uri: str, display: Display, verbose: bool) -> tuple[int, list[dict[str, Any]]]:
    """Train the teachers of a spec that are not stored yet, with the engine that runs whole sweeps.

    Returns:
        The exit code of :func:`sweep.run.run_sweep`, and one row for each of the spec's teachers that is stored.
    """
    from search_spaces.loader import load_spec
    from sweep.cost.compiling import known
    from sweep.plan.expand import build_plan
    from sweep.run import run_sweep
    from trainers.teacher.store import TeacherStore

    loaded = load_spec(spec)
    code = run_sweep(loaded, root, uri, display, verbose, only_teachers=True)
    store = TeacherStore(root.teachers, root.storage)
    passports = (store.trained_by(slot.id) for slot in build_plan(known(loaded, root), store).teachers)
    return code, [_row(passport) for passport in passports if passport is not None]
