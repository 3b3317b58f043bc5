"""Arguments and options that several verbs take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.formats import Format, TableFormat
from sweep.layout import DEFAULT_ROOT, Root
from trainers.storage.inputs import expanded

if TYPE_CHECKING:
    from search_spaces.schema import Spec

CLUSTER = "SWEEP_ADDRESS"
"""The variable that names the cluster where no `--address` does."""


def at_home(path: Path | None) -> Path | None:
    """Where an option says that something is to be written; a leading ``~`` is the home folder."""
    return None if path is None else expanded(path)


def _complete_spec(incomplete: str) -> list[str]:
    folder = Path(__file__).parents[2] / "search_spaces"
    return sorted(path.stem for path in folder.glob(f"{incomplete}*.yaml"))


def complete_sweep(incomplete: str) -> list[str]:
    """Names of sweeps below the root that begin so, for the shell."""
    names = Root(expanded(Path(os.environ.get("SWEEP_ROOT", DEFAULT_ROOT)))).names()
    return [name for name in names if name.startswith(incomplete)]


RootOption = Annotated[
    Path,
    typer.Option(
        "--root", envvar="SWEEP_ROOT", callback=expanded, help="Everything that is written lies below this folder."
    ),
]
"""A leading ``~`` is the home folder, also where no shell has seen it: ``--root=~/runs``, ``SWEEP_ROOT='~/runs'``."""
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="SWEEP_STORAGE",
        help="What several machines share: s3://bucket/prefix, gs://…, hdfs://… or a folder; --root is then a copy.",
    ),
]
UriOption = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow server; by default MLFLOW_TRACKING_URI, else a database below --root."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Let Ray talk.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print.")]
TableFormatOption = Annotated[TableFormat, typer.Option("--format", help="How to print; parquet goes to a file.")]
SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="A YAML file, or a shipped spec's name.", autocompletion=_complete_spec)
]
NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A sweep; by default the latest.", autocompletion=complete_sweep)
]
NamedArgument = Annotated[str, typer.Argument(metavar="NAME", help="A sweep.", autocompletion=complete_sweep)]
SmokeOption = Annotated[
    bool, typer.Option("--smoke", help="Shrink the spec to about a minute on a CPU, as a sweep NAME-smoke of its own.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option("--address", envvar=CLUSTER, help="Of a cluster's job server, http://host:8265.", show_default=False),
]


def shrunk_spec(spec: Spec, root: Root) -> Spec:
    """The spec as `--smoke` runs it; data sets are decoded into the cache below the root."""
    from search_spaces.smoke import shrunk

    root.offer_cache()
    with root.newly_made():
        return shrunk(spec)


def chosen_sweep(name: str | None, root: Root) -> str:
    """The name of a sweep that is there, its ledger as new as the storage's; the latest where none is given.

    Raises:
        InputError: when there is no such sweep, or none at all.
    """
    from sweep.ledger.snapshot import restore

    with root.newly_made():
        restore(root, name)
    return root.choose(name)
