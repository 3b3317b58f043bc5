"""`sweep teachers`: list the store, import published checkpoints, train a spec's teachers.

Three verbs, each followed by what it does.
"""

from __future__ import annotations

from collections.abc import Callable
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
from trainers.config import DatasetConfig
from trainers.errors import InputError, KDError, unknown_name

if TYPE_CHECKING:
    from sweep.engine.display import Display
    from trainers.data import ImageData
    from trainers.teacher.passport import Passport
    from trainers.teacher.store import TeacherStore

DOUBTFUL = "a low accuracy: was it trained on this data set, at this image size, with its normalisation (mean, std)?"
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
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    how: FormatOption = Format.TABLE,
) -> None:
    """Store published checkpoints as teachers, with their accuracy as it is measured here."""
    place = Root.at(root, storage)
    with telling(f"importing {path}: reading its data set, and measuring teachers on it"), place.newly_made():
        reports, good = import_all(path, dataset, architecture, place, lambda line: typer.echo(line, err=True))
    typer.echo(listing(reports, how), nl=False)
    raise typer.Exit(DONE if good else SOME_FAILED)


def import_all(
    path: Path, dataset: str, architecture: str | None, root: Root, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], bool]:
    """Import a weight file, or every one below a folder.

    Args:
        path: the file or folder.
        dataset: the data set that the teachers were trained on: a name, or one name with its options as YAML.
        architecture: one of our names, for all files; by default each is recognised.
        root: below which the teachers are stored.
        say: told of each file before it is read and measured, which may take minutes.

    Returns:
        One row per file, and whether all were imported.

    Raises:
        InputError, CheckpointError: when the data set or the folder is wrong, or the only file is.
    """
    from trainers.teacher.store import TeacherStore

    files = weight_files(path)
    root.offer_cache()
    config, data = read_dataset(dataset)
    store = TeacherStore(root.teachers, root.storage)
    reports, good = [], True
    for file in files:
        say(f"reading {file}")
        try:
            reports.append(_imported(file, path, architecture, store, data, config))
        except KDError as error:
            if not path.is_dir():
                raise
            good = False
            reports.append(_report(file, path, "", "", f"not imported: {error}"))
    return reports, good


def weight_files(path: Path) -> list[Path]:
    """The file itself, or the weight files below a folder. Raises InputError where there is none."""
    from trainers.teacher.pretrained import SUFFIXES

    if not path.is_dir():
        return [path]
    weights = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES))
    if not weights:
        raise InputError(f"there is no weight file below {path}; their names end in {', '.join(SUFFIXES)}")
    return weights


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
    file: Path, path: Path, architecture: str | None, store: TeacherStore, data: ImageData, config: DatasetConfig
) -> dict[str, Any]:
    """Store a file's network as a teacher, measured on its data set; the row of what came of it."""
    import torch

    from trainers.teacher.pretrained import read

    published = read(file, architecture)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    passport = store.adopt(published, data, config, device)
    remarks = [*published.origin.notes, *([DOUBTFUL] if passport.doubtful else [])]
    row = _row(passport)
    return _report(file, path, row["teacher"], row["test_acc"], "; ".join(remarks))


def _report(file: Path, path: Path, teacher: str, test_acc: str, remarks: str) -> dict[str, Any]:
    """One row of what an import prints."""
    name = str(file.relative_to(path)) if path.is_dir() else file.name
    return {"file": name, "teacher": teacher, "test_acc": test_acc, "remarks": remarks}


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
    from sweep.plan.expand import build_plan
    from sweep.run import run_sweep
    from trainers.teacher.store import TeacherStore

    loaded = load_spec(spec)
    code = run_sweep(loaded, root, uri, display, verbose, only_teachers=True)
    store = TeacherStore(root.teachers, root.storage)
    passports = (store.trained_by(slot.id) for slot in build_plan(loaded, store).teachers)
    return code, [_row(passport) for passport in passports if passport is not None]
