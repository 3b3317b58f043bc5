"""`sweep students`: a trained student as files for production, and how long it takes here."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.options import FormatOption, NamedArgument, RootOption, StorageOption, at_home, chosen_sweep
from sweep.cli.waiting import telling
from sweep.formats import Format, listing
from sweep.layout import DEFAULT_ROOT, Root

students = typer.Typer(help="Hand on trained students.", no_args_is_help=True)
PixelsOption = Annotated[
    str, typer.Option("--pixels", help="What a graph reads: float, in [0, 1], or uint8. Both are normalised inside.")
]
PairOption = Annotated[str, typer.Option("--pair", help="'teacher -> student', as in the spec or the table.")]
MethodOption = Annotated[
    str | None, typer.Option("--method", help="A row's label, or its method; by default the best of the pair.")
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="By default the row's best by validation, or its first seed.")
]
RecipeOption = Annotated[str | None, typer.Option("--recipe", help="As in the table, where the sweep has several.")]


@students.command("export")
def students_export(
    name: NamedArgument,
    pair: PairOption,
    form: Annotated[str, typer.Option("--format", help="safetensors, onnx or torch-export.")],
    method: MethodOption = None,
    seed: SeedOption = None,
    recipe: RecipeOption = None,
    pixels: PixelsOption = "float",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", callback=at_home, help="The folder; by default one in this folder, named after the student."
        ),
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
) -> None:
    """Write a trained student for production, with its preprocessing, class names and a model card; checked."""
    place = Root.at(root, storage)
    with telling(f"reading the student of {name}") as say:
        from sweep.students.choice import choose
        from sweep.students.exporting import export
        from sweep.students.finding import find

        paths = place.sweep(chosen_sweep(name, place))
        place.offer_cache()
        student, about = find(paths, partial(choose, pair=pair, method=method, seed=seed, recipe=recipe))
        made = export(student, about, form, out, pixels=pixels, say=say)
    typer.echo(f"student  {about.name}")
    for reason in about.chosen:
        typer.echo(f"chosen   {reason}")
    typer.echo(f"checked  {made.check.words}")
    typer.echo(f"wrote    {made.file}")
    typer.echo(f"card     {made.folder / 'README.md'}, whose licences wait to be filled in")


@students.command("latency")
def students_latency(
    name: NamedArgument,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what is remembered.")] = False,
    how: FormatOption = Format.TABLE,
) -> None:
    """Show how long a sweep's students take for one image and for 64 on this machine; measured once and remembered."""
    from contextlib import closing

    from sweep.cost import latency
    from sweep.ledger.store import Ledger
    from sweep.plan.code import at_hand
    from sweep.results.read import planned

    place = Root.at(root, storage)
    paths = place.sweep(chosen_sweep(name, place))
    with telling(f"reading the plan of {name}") as say:
        with closing(Ledger(paths.ledger)) as ledger:
            plan = planned(ledger)
        at_hand(plan.code, place)
        known = latency.measured(plan, place, say, again=again)
    typer.echo(listing(latency.rows(plan, known), how), nl=False)
    if latency.unsteady(known):
        busy = ", ".join(latency.unsteady(known))
        typer.echo(f"measured beside other work, it seems: {busy}; --again measures anew", err=True)
