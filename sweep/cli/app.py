"""The command line: verbs only. Knobs live in the spec.

Exit codes: 0 done; 1 some trials failed, a report of the run could not be written, the budget is used up or the cluster
was lost; 2 the input is wrong, or the machine does not let the command go on; 75 the time that a run was given is up;
130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from sweep.cli import check, cluster, compare, new, packs, rerun, run, slurm, students, teachers, verbs
from sweep.exit_codes import WRONG_INPUT
from sweep.terminal import fit_streams, visible
from trainers.errors import KDError
from trainers.versions import at_work

app = typer.Typer(
    name="sweep",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        named = at_work()
        typer.echo("\n".join(f"{package} {release}" for package, release in named.items()))
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the releases at work here.")
    ] = False,
) -> None:
    """Sweep teacher → student pairs, distillation methods and loss weights, from a spec to a table."""


VERBS: tuple[Callable[..., None], ...] = (
    *(run.run, rerun.rerun, verbs.plan, verbs.status, verbs.studies, verbs.leaderboard, compare.compare),
    *(verbs.export, verbs.report, packs.pack, packs.unpack, verbs.list_, check.check, new.new, verbs.sync, verbs.ui),
    *(cluster.submit, cluster.logs, cluster.cancel, slurm.slurm),
)
"""In the order of the help."""
for _verb in VERBS:
    _parser = compare.SeveralValues if _verb is compare.compare else None
    app.command(_verb.__name__.removesuffix("_"), cls=_parser)(_verb)
app.command(hidden=True)(run.submitted)
app.add_typer(teachers.teachers, name="teachers")
app.add_typer(students.students, name="students")


def _end_at_once() -> None:
    """Spare the interpreter the walk through all that torch, Ray and MLflow have made, which takes it seconds."""
    if "triton" not in sys.modules:  # it would complain of what is not taken apart
        gc.freeze()


def main(arguments: list[str] | None = None) -> Any:
    """The console script: errors meant for the user become one message on standard error, without a traceback."""
    fit_streams()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    atexit.register(_end_at_once)
    try:
        app(args=arguments, prog_name="sweep")
    except KDError as error:
        print(f"sweep: {visible(str(error))}", file=sys.stderr)
        sys.exit(WRONG_INPUT)
