"""A sweep's table in each form that it is shown in, taken apart again into cells; bold ones as ``**text**``."""

from __future__ import annotations

import html
import re
from contextlib import closing
from pathlib import Path

from typer.testing import CliRunner

import sweep
from sweep.cli.app import app
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.grid import Square, layout
from sweep.results.headline import headline
from sweep.tracking.mlflow_internals import NOTE
from tests.support.tracked import client_of, runs

Cells = list[list[str]]
TEX = {r"$\pm$": "±", r"$\alpha$": "α", r"$^\dagger$": "†", r"$^\ddagger$": "‡", "$-$": "−", "--": "–", r"\%": "%"}


def printed(board: Leaderboard) -> Cells:
    """What all forms must show, as the ledger's table has it."""
    return [[_marked(square) for square in line] for group in layout(board).groups for line in group]


def _marked(square: Square) -> str:
    return f"**{square.text}**" if square.bold else square.text


def from_markdown(text: str) -> Cells:
    """The body of the first pipe table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def from_html(text: str) -> Cells:
    """The bodies of the first table."""
    table = text.partition("<table")[2].partition("</table>")[0]
    bodies = re.findall(r"<tbody>(.*?)</tbody>", table, re.DOTALL)
    rows = [row for body in bodies for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]
    return [[_of_html(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)] for row in rows]


def _of_html(cell: str) -> str:
    return html.unescape(re.sub(r"</?b>", "**", cell)).strip()


def from_latex(text: str) -> Cells:
    """The body below the first rule."""
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    lines = [line.strip().removesuffix(r"\\") for line in body.splitlines() if line.strip().endswith(r"\\")]
    return [[_of_latex(cell.strip()) for cell in line.split(" & ")] for line in lines]


def _of_latex(cell: str) -> str:
    for tex, text in TEX.items():
        cell = cell.replace(tex, text)
    return re.sub(r"\\textbf\{(.*)\}", r"**\1**", cell)


def all_agree(root: Root, name: str, uri: str, pack: Path) -> Leaderboard:
    """Compare what a sweep's command, files, server and pack show with its ledger's table, which is given back.

    Args:
        root: below which it has come to its end.
        name: the sweep's.
        uri: of the store that it was delivered to.
        pack: made of it.
    """
    with closing(Ledger(root.sweep(name).ledger)) as ledger:
        board = leaderboard(ledger)
    cells, came_out = printed(board), headline(board)
    note, experiment = _descriptions(name, uri)
    page = root.sweep(name).report.read_text()
    away = _typed("leaderboard", name, "--root", str(root.path), "--from-mlflow", "--tracking-uri", uri)
    packed = sweep.open(str(pack))
    tables = {
        "leaderboard.md": from_markdown(root.sweep(name).leaderboard.read_text()),
        "sweep leaderboard": from_markdown(_typed("leaderboard", name, "--root", str(root.path))),
        "--from-mlflow": from_markdown(away),
        "MLflow's description": from_markdown(note),
        "report": from_html(page),
        "notebook": from_html(sweep.open(name, root=root.path)._repr_html_()),
        "LaTeX": from_latex(_typed("leaderboard", name, "--root", str(root.path), how="latex")),
        "pack": from_html(packed._repr_html_()),
        "the server in Python": from_html(sweep.open(name, root=root.path, tracking_uri=uri)._repr_html_()),
    }
    for form, found in tables.items():
        assert found == cells, form
    assert [*{away.split("\n")[0], note.split("\n")[0], experiment.split("\n")[0], packed.headline}] == [came_out]
    assert f'<p class="lead">{html.escape(came_out)}</p>' in page
    assert packed.table().equals(sweep.open(name, root=root.path).table())
    return board


def _typed(*words: str, how: str = "markdown") -> str:
    done = CliRunner().invoke(app, [*words, "--format", how], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def _descriptions(name: str, uri: str) -> tuple[str, str]:
    """Of the parent run and of the experiment."""
    experiment = client_of(uri).get_experiment_by_name(name)
    assert experiment is not None
    return runs(uri)["sweep"].data.tags[NOTE], experiment.tags[NOTE]
