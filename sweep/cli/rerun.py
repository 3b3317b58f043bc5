"""`sweep rerun`: some trials of a sweep once more, on purpose."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.options import NamedArgument, RootOption, StorageOption, UriOption, VerboseOption, chosen_sweep
from sweep.cli.run import AddressOption, LocalOption, run_and_show
from sweep.cli.waiting import telling
from sweep.layout import DEFAULT_ROOT, Root, SweepPaths

if TYPE_CHECKING:
    from search_spaces.schema import Spec
    from sweep.results.again import Again


def rerun(
    name: NamedArgument,
    spec: Annotated[
        str | None, typer.Argument(metavar="[SPEC]", help="The sweep's spec; by default as it was last run.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="All trials of a method.")] = None,
    trial: Annotated[
        list[str] | None, typer.Option("--trial", help="A trial by its name or key, or all of a row by its label.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that broke or diverged.")] = False,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    tracking_uri: UriOption = None,
    address: AddressOption = None,
    local: LocalOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train some trials of a sweep again, from their beginning; what was known of them counts no longer."""
    from sweep.results.again import Again

    place = Root.at(root, storage)
    again = Again(tuple(method or ()), tuple(trial or ()), failed)
    with telling("reading the ledger and the spec", terminal=True):
        loaded = _spec(spec, place.sweep(chosen_sweep(name, place)), again)
    run_and_show(loaded, place, tracking_uri, address, verbose, local=local, again=again)


def _spec(given: str | None, paths: SweepPaths, again: Again) -> Spec:
    """The spec to be run: the one that is named, or the last one. Raises InputError where there is nothing to do again,
    before anything is set up."""
    from search_spaces.loader import load_spec
    from sweep.ledger.last_spec import last_spec, of_sweep
    from sweep.ledger.store import Ledger

    with closing(Ledger(paths.ledger)) as ledger:
        again.chosen(ledger)
        return last_spec(ledger) if given is None else of_sweep(load_spec(given), paths)
