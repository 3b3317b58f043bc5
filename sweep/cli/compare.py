"""`sweep compare`: is mine better?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from sweep.cli.options import FormatOption, RootOption, StorageOption, UriOption, chosen_sweep, complete_sweep
from sweep.cli.verbs import READING, board_of_sweep
from sweep.cli.waiting import telling
from sweep.formats import Format
from sweep.layout import DEFAULT_ROOT, Root
from trainers.errors import InputError

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard


class SeveralValues(TyperCommand):
    """A command whose `--against` takes all that follows, up to the next option: ``--against kd dkd``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the option before each of its values, as the parser wants it."""
        return super().parse_args(ctx, repeated(args, "--against"))


def repeated(words: list[str], option: str) -> list[str]:
    """The words, with the option before each of its values: ``--against kd --against dkd``."""
    told: list[str] = []
    within = 0
    for word in words:
        if word.startswith("-"):
            within = 1 if word == option else 0
        elif within:
            told += [option] if within > 1 else []
            within += 1
        told.append(word)
    return told


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Sweeps, of which one table is made; by default the latest.",
            autocompletion=complete_sweep,
        ),
    ] = None,
    mine: Annotated[str, typer.Option("--mine", help="A row as the table prints it, its label, or a method.")] = "",
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="Rows that it is compared with, one or several; by default the baseline."),
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    storage: StorageOption = None,
    how: FormatOption = Format.TABLE,
    from_mlflow: Annotated[
        bool, typer.Option("--from-mlflow", help="Read sweeps that ran elsewhere off their MLflow server.")
    ] = False,
    tracking_uri: UriOption = None,
) -> None:
    """Say whether a row is better than others: by how much, how sure that is, and how many seeds would show it."""
    from sweep.results.answer import render
    from sweep.results.comparison import contrasts
    from sweep.results.together import other_teachers, together

    place, remote = Root.at(root, storage), from_mlflow or tracking_uri is not None
    with telling("reading MLflow's runs" if remote else READING):
        chosen: list[str | None] = [*dict.fromkeys(names or [])]
        boards = [_board(name, place, remote, tracking_uri) for name in chosen or [None]]
    board = together(boards)
    others = against or ([board.baseline] if board.baseline else [])
    if not mine or not others:
        raise InputError(f"{'--against' if mine else '--mine'} names a row; there are {_labels(board)}")
    shown = render(board, contrasts(board, mine, others), how)
    for remark in other_teachers(boards):
        typer.echo(f"note: {remark}", err=True)
    typer.echo(shown, nl=False)


def _board(name: str | None, place: Root, remote: bool, uri: str | None) -> Leaderboard:
    return board_of_sweep(name if remote else chosen_sweep(name, place), place, remote, uri)


def _labels(board: Leaderboard) -> str:
    return ", ".join(f"'{label}'" for label in dict.fromkeys(row.label for row in board.rows))
